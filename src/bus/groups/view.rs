//! Looking at groups: which there are, where they stand, how far behind they are.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;

use super::GroupRecord;
use crate::{
    bus::{
        Bus, Inner,
        delivery::RetryPolicy,
        group::{GroupView, PartitionRow},
        groups::GroupSettings,
    },
    error::{Error, Result},
    log::{Bounds, LogTime, TopicPartition},
    name::Group,
};

/// A group.
#[derive(Clone, Debug)]
pub struct GroupInfo {
    pub name: Group,
    pub revision: u64,
    /// Rises with each reset.
    pub epoch: u64,
    /// The reset that is being carried out.
    pub active_reset: Option<String>,
    pub settings: GroupSettings,
    /// As in force.
    pub retry: RetryPolicy,
    pub created: LogTime,
    /// Streams on this replica.
    pub streams: usize,
    pub last_commit: Option<LogTime>,
    pub partitions: Vec<GroupPartition>,
}

/// Where a group stands in one partition.
#[derive(Clone, Debug)]
pub struct GroupPartition {
    pub partition: TopicPartition,
    pub bounds: Bounds,
    /// On the log; `None` = nothing.
    pub committed: Option<i64>,
    /// The age of the oldest event that is not acked; zero when there is none.
    pub lag_time: Duration,
    /// What this replica knows, if it serves the partition.
    pub served: Option<PartitionRow>,
}

impl GroupPartition {
    /// The offset where delivery goes on.
    pub fn position(&self) -> i64 {
        self.committed.unwrap_or(self.bounds.start)
    }

    /// Offsets from there to the end.
    pub fn lag_events(&self) -> i64 {
        (self.bounds.end - self.position().max(self.bounds.start)).max(0)
    }

    /// Events that were deleted before the group got them.
    pub fn lost_events(&self) -> i64 {
        (self.bounds.start - self.position()).max(0)
    }
}

impl Bus {
    pub async fn group(&self, group: &Group) -> Result<GroupInfo> {
        let record = self
            .0
            .groups
            .find(group)
            .await?
            .ok_or_else(|| Error::no_such_group(group))?;
        self.0.group_info(group.clone(), record).await
    }

    /// Groups by name, those after `after`, at most `count`.
    pub async fn groups(&self, after: Option<&Group>, count: usize) -> Result<Vec<GroupInfo>> {
        let mut groups = Vec::new();
        for (group, record) in self.0.groups.list(after, count).await? {
            groups.push(self.0.group_info(group, record).await?);
        }
        Ok(groups)
    }
}

impl Inner {
    async fn group_info(&self, name: Group, record: Arc<GroupRecord>) -> Result<GroupInfo> {
        let topics = &record.settings.topics;
        let mut partitions = self.existing_partitions(topics).await?;
        let bounds = self.bounds_of(topics, &mut partitions).await?;
        let committed = self.log.committed(&name, &partitions).await?;
        let view = match self.groups.active.get(&name) {
            Some(handle) => handle.describe().await,
            None => None,
        };
        let mut rows = Vec::with_capacity(partitions.len());
        for ((partition, bounds), committed) in partitions.into_iter().zip(bounds).zip(committed) {
            let committed = committed.map(|committed| committed.offset);
            let from = committed.unwrap_or(bounds.start).max(bounds.start);
            let lag_time = self.age_at(&partition, from, bounds).await;
            let served = view.as_ref().and_then(|view| row_of(view, &partition));
            rows.push(GroupPartition {
                partition,
                bounds,
                committed,
                lag_time,
                served,
            });
        }
        let retry = record.settings.retry.over(self.settings.delivery.of(&name).retry);
        Ok(GroupInfo {
            name,
            revision: record.revision,
            epoch: record.epoch,
            active_reset: record.reset.as_ref().map(|reset| reset.id.clone()),
            settings: record.settings.clone(),
            retry,
            created: record.created,
            streams: view.as_ref().map_or(0, |view| view.streams),
            last_commit: view.and_then(|view| view.last_commit),
            partitions: rows,
        })
    }

    /// How old the record at an offset is; zero at the end.
    async fn age_at(&self, partition: &TopicPartition, offset: i64, bounds: Bounds) -> Duration {
        if offset >= bounds.end {
            return Duration::ZERO;
        }
        let first = self.log.read(partition, offset, Some(offset + 1)).next().await;
        let time = first.and_then(|batch| batch.ok()?.records.first().map(|record| record.time));
        let age = time.map_or(0, |time| LogTime::now().0 - time.0);
        Duration::from_millis(u64::try_from(age).unwrap_or(0))
    }
}

fn row_of(view: &GroupView, partition: &TopicPartition) -> Option<PartitionRow> {
    view.partitions.iter().find(|row| row.partition == *partition).cloned()
}
