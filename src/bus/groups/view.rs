//! Looking at groups: which there are, where they stand, how far behind they are.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use rustc_hash::FxHashMap;

use super::GroupRecord;
use crate::{
    bus::{
        Bus, Inner, age,
        delivery::RetryPolicy,
        group::{PartitionRow, StreamRow},
        groups::GroupSettings,
        seen::Sight,
    },
    error::{Error, Result},
    log::{Bounds, Committed, LogTime, TopicPartition},
    name::{Group, Tenant},
};

/// A group.
#[derive(Clone, Debug)]
pub struct GroupInfo {
    pub name: Group,
    /// Whose it is, by its name.
    pub tenant: Option<Tenant>,
    pub kind: GroupKind,
    pub revision: u64,
    /// Rises with each reset.
    pub epoch: u64,
    /// The reset that is being carried out.
    pub active_reset: Option<String>,
    pub settings: GroupSettings,
    /// As in force.
    pub retry: RetryPolicy,
    pub created: LogTime,
    /// Replicas that serve it; of a foreign group, its consumers.
    pub members: usize,
    /// On all replicas.
    pub streams: usize,
    /// At most 200 of each replica.
    pub open: Vec<GroupStream>,
    pub last_commit: Option<LogTime>,
    pub partitions: Vec<GroupPartition>,
}

/// Whose a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// Of the bus.
    Tidings,
    /// Of consumers outside the bus: it has no settings, and its name is that on the bus.
    Foreign,
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
    /// Until retention may delete the next event; `None` = nothing foreseen, or not asked.
    pub time_to_loss: Option<Duration>,
    /// When that was so, if it was not asked now.
    pub observed: Option<LogTime>,
    /// What the replica sees that serves the partition, if one does.
    pub served: Option<Served>,
}

/// What a replica sees of a partition that it serves.
#[derive(Clone, Debug)]
pub struct Served {
    pub replica_id: Arc<str>,
    pub row: PartitionRow,
    /// When it was so.
    pub at: LogTime,
}

/// A stream of a group.
#[derive(Clone, Debug)]
pub struct GroupStream {
    pub replica_id: Arc<str>,
    pub row: StreamRow,
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

    /// Acked above the committed offset; where that has moved on since the owner told, so much less.
    pub fn acked_above(&self) -> i64 {
        self.served.as_ref().map_or(0, |Served { row, .. }| {
            let moved = (self.position() - row.committed).max(0);
            (row.acked_above - moved).max(0)
        })
    }

    /// Events that were deleted before the group got them.
    pub fn lost_events(&self) -> i64 {
        (self.bounds.start - self.position()).max(0)
    }
}

impl Bus {
    /// With all there is to know.
    pub async fn group(&self, group: &Group) -> Result<GroupInfo> {
        let mut info = match self.0.groups.find(group).await? {
            Some(record) => {
                let sights = self.0.sights(group, &self.0.others()).await;
                let partitions = self.0.group_partitions(group, &record, &sights).await?;
                self.0.group_info(group.clone(), (record, partitions), &sights)
            }
            None => {
                let foreign = self.0.foreign_group(group).await?;
                foreign.ok_or_else(|| Error::no_such_group(group))?
            }
        };
        self.0.foresee_losses(&mut info.partitions).await?;
        Ok(info)
    }

    /// Groups by name, those after `after`, at most `count`; without `time_to_loss`, and foreign ones without partitions.
    pub async fn groups(
        &self,
        after: Option<&Group>,
        count: usize,
        may: impl Fn(&Group) -> bool,
    ) -> Result<Vec<GroupInfo>> {
        let listed = self.0.groups.list(after, (count, &may)).await?;
        let mut groups = self.0.page(listed).await?;
        let foreign = self.0.foreign_groups(after).await?.into_iter();
        let foreign = foreign.filter(|(group, _)| may(group)).take(count);
        groups.extend(foreign.map(|(group, members)| self.0.foreign_info(group, members)));
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        groups.truncate(count);
        Ok(groups)
    }
}

/// A partition, its bounds and what is committed there.
type Asked = ((TopicPartition, Bounds), Option<Committed>);

impl Inner {
    pub(super) fn group_info(
        &self,
        name: Group,
        (record, partitions): (Arc<GroupRecord>, Vec<GroupPartition>),
        sights: &[Sight],
    ) -> GroupInfo {
        let retry = record.settings.retry.over(self.settings.delivery.of(&name).retry);
        GroupInfo {
            partitions,
            tenant: self.settings.tenancy.tenant_of(&name),
            name,
            kind: GroupKind::Tidings,
            revision: record.revision,
            epoch: record.epoch,
            active_reset: record.reset.as_ref().map(|reset| reset.id.clone()),
            settings: record.settings.clone(),
            retry,
            created: record.created,
            members: sights.len(),
            streams: sights.iter().map(|sight| sight.view.streams).sum(),
            open: sights.iter().flat_map(open_streams).collect(),
            last_commit: sights.iter().filter_map(|sight| sight.view.last_commit).max(),
        }
    }

    async fn group_partitions(
        &self,
        name: &Group,
        record: &GroupRecord,
        sights: &[Sight],
    ) -> Result<Vec<GroupPartition>> {
        let topics = &record.settings.topics;
        let mut partitions = self.existing_partitions(topics).await?;
        let bounds = self.bounds_of(topics, &mut partitions).await?;
        let committed = self.log.committed(name, &partitions).await?;
        let rows = partitions.into_iter().zip(bounds).zip(committed);
        Ok(self.partition_rows(name, rows, sights).await)
    }

    pub(super) async fn partition_rows(
        &self,
        name: &Group,
        asked: impl Iterator<Item = Asked>,
        sights: &[Sight],
    ) -> Vec<GroupPartition> {
        let (mut served, mut rows) = (served(sights), Vec::new());
        for ((partition, bounds), committed) in asked {
            let committed = committed.map(|committed| committed.offset);
            let from = committed.unwrap_or(bounds.start).max(bounds.start);
            let lag_time = self.age_at(&partition, from, bounds).await;
            let served = served.remove(&partition);
            let row = GroupPartition {
                observed: served.as_ref().map(|served| served.at),
                served,
                partition,
                bounds,
                committed,
                lag_time,
                time_to_loss: None,
            };
            self.losses.warn(name, &row);
            rows.push(row);
        }
        rows
    }

    /// How old the record at an offset is; zero at the end.
    async fn age_at(&self, partition: &TopicPartition, offset: i64, bounds: Bounds) -> Duration {
        if offset >= bounds.end {
            return Duration::ZERO;
        }
        self.time_at(partition, offset).await.map_or(Duration::ZERO, age)
    }

    /// When the record at an offset was written, or the next one if it is gone.
    pub(super) async fn time_at(&self, partition: &TopicPartition, offset: i64) -> Option<LogTime> {
        let first = self.log.read(partition, offset, Some(offset + 1)).next().await;
        first.and_then(|batch| batch.ok()?.records.first().map(|record| record.time))
    }
}

fn open_streams(sight: &Sight) -> impl Iterator<Item = GroupStream> {
    sight.view.open.iter().map(|row| GroupStream {
        replica_id: Arc::clone(&sight.replica_id),
        row: row.clone(),
    })
}

/// Who serves what. Where a partition has just moved, two may say that it is theirs: then it is whose sight is newer.
pub(super) fn served(sights: &[Sight]) -> FxHashMap<TopicPartition, Served> {
    let mut sights: Vec<&Sight> = sights.iter().collect();
    sights.sort_by_key(|sight| sight.at);
    let rows = sights.into_iter().flat_map(|sight| {
        let served = |row: &PartitionRow| Served {
            replica_id: Arc::clone(&sight.replica_id),
            row: row.clone(),
            at: sight.at,
        };
        sight.view.partitions.iter().map(served)
    });
    rows.map(|served| (served.row.partition.clone(), served)).collect()
}
