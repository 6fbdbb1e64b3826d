//! Topics: create, change, delete, describe.

mod config;

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::Arc,
    time::Duration,
};

use rdkafka::{
    admin::{
        AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewPartitions, NewTopic,
        OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
    },
    error::KafkaResult,
    types::RDKafkaErrorCode,
};
use tokio::time::{Instant, timeout_at};

use self::config::{config, of_table, settings};
use super::{
    Cluster,
    catalog::Known,
    client::{Context, NO_STATISTICS},
    fault::{failed, failed_with, unavailable},
    offsets::settles,
};
use crate::{
    error::{Reason, Result},
    log::{
        TopicInfo, TopicSettings,
        rules::{check_growth, check_settings},
    },
    name::{Group, Topic},
};

/// For the cluster to do it.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The cluster's own choice.
const DEFAULT_REPLICATION: i32 = -1;
/// Topics described in one question.
const MOST_AT_ONCE: usize = 500;

/// What a topic's batches of records may have where nothing else is said.
const KAFKA_MAX_BATCH_BYTES: usize = 1 << 20;
/// What Kafka adds to a record that is alone in its batch, and the bus to one that becomes a dead letter, at most.
const BATCH_OVERHEAD: usize = 64 << 10;

pub(super) struct Admin {
    cluster: Arc<Cluster>,
    client: AdminClient<Context>,
}

impl Admin {
    pub(super) fn new(cluster: &Arc<Cluster>) -> Result<Self> {
        Ok(Self {
            // It asks for no topics, and answers without any do not strand it.
            client: cluster.clients.create(&[NO_STATISTICS], cluster.clients.context())?,
            cluster: Arc::clone(cluster),
        })
    }

    /// Waits until the topic can be written to, also where another process has just created it.
    pub(super) async fn create(&self, topic: &Topic, settings: &TopicSettings) -> Result<()> {
        self.cluster.check_open()?;
        check_settings(settings)?;
        self.cluster.names.check_length(topic)?;
        let (name, config) = (self.cluster.names.on_cluster(topic), config(settings));
        let replication = TopicReplication::Fixed(DEFAULT_REPLICATION);
        let mut new = NewTopic::new(&name, settings.partitions, replication);
        for (key, value) in &config {
            new = new.set(key, value);
        }
        let largest = self.cluster.options.max_record_bytes.max(KAFKA_MAX_BATCH_BYTES) + BATCH_OVERHEAD;
        let largest = largest.to_string();
        // The log's clock, not that of whoever writes.
        new = new
            .set("message.timestamp.type", "LogAppendTime")
            .set("max.message.bytes", &largest);
        for (key, value) in of_table(topic, settings) {
            new = new.set(key, value);
        }
        let doing = format!("create topic {topic}");
        let answer = self.client.create_topics([&new], &options()).await;
        let created = told(
            &doing,
            answer.map(|answers| answers.into_iter().map(|answer| answer.map_err(|(_, code)| code))),
        );
        let is_there = |known: Option<Known>| known.is_some_and(|known| known.has_leaders);
        match created {
            Ok(()) => self.wait_until(&doing, topic, is_there).await,
            Err(error) if error.reason() == Reason::TopicExists => {
                // One of before may have lost its leaders: that it exists is the answer all the same.
                let _ = self.wait_until(&doing, topic, |known| known.is_some()).await;
                Err(error)
            }
            failed => failed,
        }
    }

    /// Partitions first: where they cannot be added, nothing is changed.
    pub(super) async fn alter(&self, topic: &Topic, settings: &TopicSettings) -> Result<()> {
        let doing = format!("change topic {topic}");
        check_settings(settings)?;
        let before = self.cluster.must_exist(topic).await?;
        check_growth(settings, before.partitions)?;
        if settings.partitions > before.partitions {
            let name = self.cluster.names.on_cluster(topic);
            let count = usize::try_from(settings.partitions).unwrap_or_default();
            let answer = self
                .client
                .create_partitions([&NewPartitions::new(&name, count)], &options())
                .await;
            told(
                &doing,
                answer.map(|answers| answers.into_iter().map(|answer| answer.map_err(|(_, code)| code))),
            )?;
        }
        self.configure(&doing, topic, settings).await?;
        let has_grown = |known: Option<Known>| {
            known.is_some_and(|known| known.partitions >= settings.partitions && known.has_leaders)
        };
        self.wait_until(&doing, topic, has_grown).await?;
        self.wait_until_described(&doing, topic, settings).await
    }

    /// Waits until the topic is gone.
    pub(super) async fn delete(&self, topic: &Topic) -> Result<()> {
        self.cluster.must_exist(topic).await?;
        let (doing, name) = (format!("delete topic {topic}"), self.cluster.names.on_cluster(topic));
        let answer = self.client.delete_topics(&[&name], &options()).await;
        told(
            &doing,
            answer.map(|answers| answers.into_iter().map(|answer| answer.map_err(|(_, code)| code))),
        )?;
        self.cluster.catalog.forget(topic);
        self.wait_until(&doing, topic, |known| known.is_none()).await
    }

    /// One that the cluster does not know is forgotten already.
    pub(super) async fn forget(&self, group: &Group) -> Result<()> {
        self.cluster.check_open()?;
        let (doing, id) = (format!("forget group {group}"), self.cluster.names.group_id(group));
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let answers = self.client.delete_groups(&[&id], &options()).await;
            let answers = answers.map_err(|error| failed(&doing, &error))?;
            let refused = answers.into_iter().find_map(Result::err).map(|(_, code)| code);
            match refused {
                None | Some(RDKafkaErrorCode::GroupIdNotFound) => return Ok(()),
                Some(code) if settles(code) && Instant::now() < deadline => pause().await,
                Some(code) => return Err(failed_with(&doing, code)),
            }
        }
    }

    pub(super) async fn describe(&self, topic: &Topic) -> Result<Option<TopicInfo>> {
        self.cluster.check_open()?;
        match self.cluster.catalog.find(topic).await? {
            None => Ok(None),
            Some(known) => Ok(self.infos(&[(topic.clone(), known)]).await?.pop()),
        }
    }

    pub(super) async fn describe_all(&self) -> Result<Vec<TopicInfo>> {
        self.cluster.check_open()?;
        self.cluster.catalog.refresh().await;
        if !self.cluster.health.is_reachable() {
            return Err(unavailable("list topics: Kafka cannot be reached".to_owned()));
        }
        let mut infos = Vec::new();
        for part in self.cluster.catalog.all().chunks(MOST_AT_ONCE) {
            infos.append(&mut self.infos(part).await?);
        }
        Ok(infos)
    }

    /// Topics that were deleted meanwhile are left out.
    async fn infos(&self, topics: &[(Topic, Known)]) -> Result<Vec<TopicInfo>> {
        let names: Vec<String> = topics
            .iter()
            .map(|(topic, _)| self.cluster.names.on_cluster(topic))
            .collect();
        let mut configs = self.configs(&names).await?;
        let info = |((topic, known), name): (&(Topic, Known), &String)| {
            let config = configs.remove(name)?;
            Some(TopicInfo {
                name: topic.clone(),
                settings: settings(&config, known.partitions),
                created: None,
            })
        };
        Ok(topics.iter().zip(&names).filter_map(info).collect())
    }

    async fn configs(&self, names: &[String]) -> Result<HashMap<String, ConfigResource>> {
        let asked: Vec<ResourceSpecifier<'_>> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
        let answers = self.client.describe_configs(&asked, &options()).await;
        let answers = answers.map_err(|error| failed("describe topics", &error))?;
        let mut configs = HashMap::new();
        for (answer, name) in answers.into_iter().zip(names) {
            match answer {
                Ok(config) => {
                    let name = match &config.specifier {
                        OwnedResourceSpecifier::Topic(name) => name.clone(),
                        _ => name.clone(),
                    };
                    configs.insert(name, config);
                }
                Err(RDKafkaErrorCode::UnknownTopicOrPartition) => {}
                Err(code) => return Err(failed_with(&format!("describe topic {name}"), code)),
            }
        }
        Ok(configs)
    }

    /// Kafka replaces all settings of a topic at once: those that are not ours are kept.
    async fn configure(&self, doing: &str, topic: &Topic, settings: &TopicSettings) -> Result<()> {
        let name = self.cluster.names.on_cluster(topic);
        let before = self.configs(std::slice::from_ref(&name)).await?;
        let mut all: BTreeMap<String, String> = (before.get(&name).into_iter())
            .flat_map(|config| &config.entries)
            .filter(|entry| entry.source == ConfigSource::DynamicTopic)
            .filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?)))
            .collect();
        all.extend(config(settings).map(|(key, value)| (key.to_owned(), value)));
        let mut alter = AlterConfig::new(ResourceSpecifier::Topic(&name));
        for (key, value) in &all {
            alter = alter.set(key, value);
        }
        let answer = self.client.alter_configs([&alter], &options()).await;
        told(
            doing,
            answer.map(|answers| answers.into_iter().map(|answer| answer.map_err(|(_, code)| code))),
        )
    }

    /// Brokers tell of settings a moment after they were changed.
    async fn wait_until_described(&self, doing: &str, topic: &Topic, settings: &TopicSettings) -> Result<()> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let described = self.describe(topic).await?;
            if described.is_none_or(|info| config(&info.settings) == config(settings)) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(unavailable(format!("{doing}: done, but not seen on the brokers yet")));
            }
            pause().await;
        }
    }

    /// What was done is seen by the brokers one after the other.
    async fn wait_until(&self, doing: &str, topic: &Topic, is_done: impl Fn(Option<Known>) -> bool) -> Result<()> {
        let seen = async {
            let mut changes = self.cluster.catalog.changes();
            loop {
                self.cluster.catalog.refresh().await;
                changes.mark_unchanged();
                if is_done(self.cluster.catalog.known(topic)) {
                    return;
                }
                pause().await;
            }
        };
        let late = |_| unavailable(format!("{doing}: done, but not seen on the brokers yet"));
        timeout_at(Instant::now() + TIMEOUT, seen).await.map_err(late)
    }
}

/// Between two looks at what the brokers know.
pub(super) fn pause() -> impl Future<Output = ()> {
    tokio::time::sleep(Duration::from_millis(20))
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(TIMEOUT))
        .operation_timeout(Some(TIMEOUT))
}

/// What became of one thing that was asked for.
fn told<T>(doing: &str, answer: KafkaResult<impl Iterator<Item = Result<T, RDKafkaErrorCode>>>) -> Result<()> {
    let mut answers = answer.map_err(|error| failed(doing, &error))?;
    match answers.find_map(Result::err) {
        None => Ok(()),
        Some(code) => Err(failed_with(doing, code)),
    }
}
