//! Topics: create, change, list, delete; and creating them on first use where that is allowed.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{Bus, Inner, audit::Act, draining, partitions::partitions};
use crate::{
    error::{Error, Reason, Result},
    log::{Bounds, Cleanup, TopicInfo, TopicSettings},
    name::Topic,
};

const MAX_PARTITIONS: i32 = 1_000;

impl Bus {
    /// Creates a topic; unset settings are the defaults.
    pub async fn create_topic(&self, topic: &Topic, settings: TopicSettings, by: &str) -> Result<TopicInfo> {
        check(topic, &settings)?;
        let (bus, topic, by) = (Arc::clone(&self.0), topic.clone(), by.to_owned());
        let create = async move {
            bus.log.create_topic(&topic, settings.clone()).await?;
            tracing::info!(%topic, "created topic");
            bus.audit_topic("tidings.topics.created", &topic, (&by, Some(settings)))
                .await?;
            bus.must_exist(&topic).await
        };
        self.carry_out(create).await
    }

    pub async fn update_topic(&self, topic: &Topic, settings: TopicSettings, by: &str) -> Result<TopicInfo> {
        check(topic, &settings)?;
        let before = self.0.must_exist(topic).await?;
        if settings.partitions < before.settings.partitions {
            let rule = format!("partitions can only grow; the topic has {}", before.settings.partitions);
            return Err(Error::fault(Reason::TopicInvalid, "settings.partitions", rule));
        }
        let (bus, topic, by) = (Arc::clone(&self.0), topic.clone(), by.to_owned());
        let change = async move {
            bus.log.alter_topic(&topic, settings.clone()).await?;
            tracing::info!(%topic, "changed topic");
            bus.audit_topic("tidings.topics.changed", &topic, (&by, Some(settings)))
                .await?;
            bus.must_exist(&topic).await
        };
        self.carry_out(change).await
    }

    pub async fn delete_topic(&self, topic: &Topic, by: &str) -> Result<()> {
        if topic.is_internal() {
            let rule = format!("{topic} belongs to the bus and cannot be deleted");
            return Err(Error::fault(Reason::TopicInvalid, "name", rule));
        }
        let (bus, topic, by) = (Arc::clone(&self.0), topic.clone(), by.to_owned());
        let delete = async move {
            bus.log.delete_topic(&topic).await?;
            tracing::info!(%topic, "deleted topic");
            bus.audit_topic("tidings.topics.deleted", &topic, (&by, None)).await
        };
        self.carry_out(delete).await
    }

    /// Goes on when its caller is gone, so that what is done is written down too.
    async fn carry_out<T: Send + 'static>(&self, act: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        self.0.tasks.spawn(act).await.unwrap_or_else(|_| Err(draining()))
    }

    /// One topic with the bounds of its partitions.
    pub async fn topic(&self, topic: &Topic) -> Result<(TopicInfo, Vec<Bounds>)> {
        let info = self.0.must_exist(topic).await?;
        let partitions: Vec<_> = partitions(topic, info.settings.partitions).collect();
        let bounds = self.0.log.bounds(&partitions).await?;
        Ok((info, bounds))
    }

    /// All topics, by name.
    pub async fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.0.log.topics().await
    }

    /// What a topic has where nothing else is said.
    pub fn default_topic_settings(&self) -> TopicSettings {
        self.0.default_topic_settings()
    }
}

/// A topic as it is from now on.
#[derive(Serialize)]
struct Details {
    partitions: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_bytes: Option<u64>,
    is_compacted: bool,
}

impl Inner {
    async fn audit_topic(
        &self,
        ty: &'static str,
        topic: &Topic,
        (by, settings): (&str, Option<TopicSettings>),
    ) -> Result<()> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let details = settings.map(|settings| Details {
            partitions: settings.partitions,
            retention_ms: settings.retention.map(millis),
            retention_bytes: settings.retention_bytes,
            is_compacted: settings.cleanup == Cleanup::Compact,
        });
        let act = Act {
            id: &uuid::Uuid::now_v7().simple().to_string(),
            ty,
            subject: topic.as_str(),
            by,
            reason: "",
            details: &details,
        };
        self.audit(&act).await
    }

    pub(super) fn default_topic_settings(&self) -> TopicSettings {
        TopicSettings {
            partitions: self.settings.default_partitions,
            retention: None,
            retention_bytes: None,
            cleanup: Cleanup::Delete,
        }
    }

    pub(super) async fn must_exist(&self, topic: &Topic) -> Result<TopicInfo> {
        self.log.topic(topic).await?.ok_or_else(|| Error::no_such_topic(topic))
    }

    /// Creates those that are missing, if the configuration allows it.
    pub(super) async fn ensure_topics(&self, topics: impl IntoIterator<Item = &Topic>) -> Result<()> {
        let mut known: Option<&Topic> = None;
        for topic in topics {
            if known == Some(topic) {
                continue;
            }
            if self.log.partitions(topic).await?.is_none() {
                self.create_missing(topic).await?;
            }
            known = Some(topic);
        }
        Ok(())
    }

    async fn create_missing(&self, topic: &Topic) -> Result<()> {
        if !self.settings.auto_create || topic.is_internal() {
            return Err(Error::no_such_topic(topic));
        }
        if self.log.ensure_topic(topic, self.default_topic_settings()).await? {
            tracing::info!(%topic, "created topic on first use");
        }
        Ok(())
    }
}

fn check(topic: &Topic, settings: &TopicSettings) -> Result<()> {
    if topic.is_internal() {
        let rule = format!("{topic} belongs to the bus; names that start with tidings. or __ are refused");
        return Err(Error::fault(Reason::TopicInvalid, "name", rule));
    }
    if !(1..=MAX_PARTITIONS).contains(&settings.partitions) {
        let rule = format!(
            "a topic has 1 to {MAX_PARTITIONS} partitions; this has {}",
            settings.partitions
        );
        return Err(Error::fault(Reason::TopicInvalid, "settings.partitions", rule));
    }
    Ok(())
}
