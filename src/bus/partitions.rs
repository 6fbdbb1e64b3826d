//! The partitions of the topics that a client means, as they are now.

use super::{Inner, matching::without};
use crate::{
    error::{Error, Reason, Result},
    log::{Bounds, TopicPartition},
    name::{Selectors, Topic},
};

impl Inner {
    /// The topics that are meant, in order: those named, whether they exist or not, and those that match.
    pub(super) async fn matching(&self, selectors: &Selectors) -> Result<Vec<Topic>> {
        match selectors.has_patterns() {
            true => Ok(selectors.matching(&without(&self.settings.dead_letter_topic, self.log.names().await?))),
            false => Ok(selectors.matching(&[])),
        }
    }

    /// The partitions of what is meant. Topics that are named must exist; what only matches may have gone.
    pub(super) async fn partitions_of(&self, selectors: &Selectors) -> Result<Vec<TopicPartition>> {
        let mut all = Vec::new();
        for topic in self.matching(selectors).await? {
            match self.log.partitions(&topic).await? {
                Some(count) => all.extend(partitions(&topic, count)),
                None if selectors.names(&topic) => return Err(Error::no_such_topic(&topic)),
                None => {}
            }
        }
        Ok(all)
    }

    /// The partitions of what is meant and exists.
    pub(super) async fn existing_partitions(&self, selectors: &Selectors) -> Result<Vec<TopicPartition>> {
        let mut all = Vec::new();
        for topic in self.matching(selectors).await? {
            let count = self.log.partitions(&topic).await?;
            all.extend(partitions(&topic, count.unwrap_or(0)));
        }
        Ok(all)
    }

    /// Their bounds, in the order asked. Partitions of topics that only match and have gone meanwhile are taken out.
    pub(super) async fn bounds_of(
        &self,
        selectors: &Selectors,
        partitions: &mut Vec<TopicPartition>,
    ) -> Result<Vec<Bounds>> {
        self.bounds_without(partitions, |topic| !selectors.names(topic)).await
    }

    /// The same; partitions of topics that have gone and may go are taken out.
    pub(super) async fn bounds_without(
        &self,
        partitions: &mut Vec<TopicPartition>,
        may_go: impl Fn(&Topic) -> bool,
    ) -> Result<Vec<Bounds>> {
        loop {
            let error = match self.log.bounds(partitions).await {
                Ok(bounds) => return Ok(bounds),
                Err(error) => error,
            };
            let is_gone = |topic: &Topic| {
                error.reason() == Reason::TopicNotFound
                    && error.named_resource() == Some(("topic", topic.as_str()))
                    && may_go(topic)
            };
            let before = partitions.len();
            partitions.retain(|partition| !is_gone(&partition.topic));
            if partitions.len() == before {
                return Err(error);
            }
        }
    }
}

pub(super) fn partitions(topic: &Topic, count: i32) -> impl Iterator<Item = TopicPartition> {
    (0..count).map(|partition| TopicPartition {
        topic: topic.clone(),
        partition,
    })
}
