//! A group as this replica serves it, for those who look at it here or on another replica.

use std::time::Instant;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{owned::Owned, streams::Member, task::Task};
use crate::{
    bus::delivery::{Oldest, PartitionId},
    log::{LogTime, TopicPartition},
};

/// Of more streams than this, only those are told one by one that have most events in hand.
const MOST_STREAMS: usize = 200;

/// Streams and partitions that one replica has of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bus) struct GroupView {
    /// All of them.
    pub(in crate::bus) streams: usize,
    pub(in crate::bus) open: Vec<StreamRow>,
    pub(in crate::bus) last_commit: Option<LogTime>,
    pub(in crate::bus) partitions: Vec<PartitionRow>,
}

/// A stream that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamRow {
    pub stream_id: String,
    pub client_id: String,
    /// Events that it has and has not settled.
    pub outstanding: usize,
    pub opened: LogTime,
}

/// Where the group stands in a partition that the replica has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRow {
    pub partition: TopicPartition,
    /// On the log.
    pub committed: i64,
    /// About when the event there was written; `None` = not known, or there is none.
    #[serde(default)]
    pub next_time: Option<LogTime>,
    pub acked_above: i64,
    pub outstanding: usize,
    pub oldest: Option<OldestRow>,
}

/// The event of a partition that was first sent longest ago and is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldestRow {
    pub offset: i64,
    /// When it was first sent.
    pub since: LogTime,
    pub key_hash: u64,
    pub attempt: u32,
}

impl GroupView {
    /// Whether there is anything to see.
    pub(in crate::bus) fn is_empty(&self) -> bool {
        self.streams == 0 && self.partitions.is_empty()
    }
}

impl Task {
    pub(super) fn view(&self) -> GroupView {
        let oldest: FxHashMap<PartitionId, Oldest> = self.dispatch.oldest_of_each();
        let row = |(id, owned): (&PartitionId, &Owned)| {
            let view = self.dispatch.partition(*id)?;
            Some(PartitionRow {
                partition: (*owned.partition).clone(),
                committed: owned.durable,
                next_time: owned.time_at(owned.durable),
                acked_above: view.settled_above + (view.committed - owned.durable).max(0),
                outstanding: view.in_flight,
                oldest: oldest.get(id).map(|oldest| self.oldest_row(oldest)),
            })
        };
        let mut partitions: Vec<PartitionRow> = self.owned.iter().filter_map(row).collect();
        partitions.sort_by(|a, b| a.partition.cmp(&b.partition));
        GroupView {
            streams: self.members.len(),
            open: self.open_streams(),
            last_commit: self.commits.last_commit,
            partitions,
        }
    }

    fn open_streams(&self) -> Vec<StreamRow> {
        let row = |member: &Member| StreamRow {
            stream_id: member.stream_id.clone(),
            client_id: member.client_id.to_string(),
            outstanding: self.dispatch.outstanding(member.key.id).0,
            opened: self.time_of(member.opened_at),
        };
        let mut open: Vec<StreamRow> = self.members.values().map(row).collect();
        if open.len() > MOST_STREAMS {
            open.sort_by_key(|row| std::cmp::Reverse(row.outstanding));
            open.truncate(MOST_STREAMS);
        }
        open.sort_by(|a, b| (a.opened, &a.stream_id).cmp(&(b.opened, &b.stream_id)));
        open
    }

    fn oldest_row(&self, oldest: &Oldest) -> OldestRow {
        OldestRow {
            offset: oldest.offset,
            since: self.time_of(oldest.first_sent),
            key_hash: oldest.key_hash,
            attempt: oldest.attempt,
        }
    }

    /// The same for an instant whenever it is asked for, whatever becomes of the machine's clock.
    fn time_of(&self, at: Instant) -> LogTime {
        let (began, time) = self.watch.began;
        let since = i64::try_from(at.saturating_duration_since(began).as_millis()).unwrap_or(0);
        LogTime(time.0 + since)
    }
}
