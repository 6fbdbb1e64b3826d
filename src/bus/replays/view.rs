//! Looking at replays: one by its id, or those of a group, newest first.

use std::sync::Arc;

use super::{ReplayRange, ReplayRow, Replayed};
use crate::{
    bus::{Bus, Inner, delivery::Counts},
    error::Result,
    name::Group,
};

/// A replay, and how far it has come.
#[derive(Clone, Debug)]
pub struct ReplayInfo {
    pub row: Arc<ReplayRow>,
    /// In the order of its ranges.
    pub partitions: Vec<ReplayPartition>,
}

/// How far a replay has come in a partition.
#[derive(Clone, Debug)]
pub struct ReplayPartition {
    pub range: ReplayRange,
    /// Everything below is settled.
    pub next: i64,
    pub counts: Counts,
}

impl Bus {
    /// As its owners have told, who do so with each commit.
    pub async fn replay(&self, id: &str) -> Result<ReplayInfo> {
        let bus = &self.0;
        bus.accepted_replay(id).await?;
        // It may be over, and nobody has said so yet.
        bus.see_to_replay(id).await?;
        let row = bus.replay_row(id).await?;
        bus.replays.progress.catch_up().await?;
        Ok(bus.replay_info(&row))
    }

    /// Newest first: those of some groups, before the one of this id, at most `count`.
    pub async fn replays(
        &self,
        may: impl Fn(&Group) -> bool,
        before: Option<&str>,
        count: usize,
    ) -> Result<Vec<ReplayInfo>> {
        let bus = &self.0;
        bus.groups.catch_up().await?;
        bus.replays.progress.catch_up().await?;
        let is_meant = |row: &Arc<ReplayRow>| {
            may(&row.group) && before.is_none_or(|before| row.id.as_str() < before) && bus.is_accepted(row)
        };
        // Ids rise with time.
        let rows = bus.replays.rows.all().into_iter().rev().map(|(_, row)| row);
        Ok(rows
            .filter(is_meant)
            .take(count)
            .map(|row| bus.replay_info(&row))
            .collect())
    }
}

impl Inner {
    /// As far as this replica knows.
    pub(super) fn replay_info(&self, row: &ReplayRow) -> ReplayInfo {
        let partition = |range: &ReplayRange| {
            let Replayed { next, counts, .. } = *self.replayed(row, range);
            ReplayPartition {
                range: range.clone(),
                next,
                counts,
            }
        };
        ReplayInfo {
            partitions: row.ranges.iter().map(partition).collect(),
            row: Arc::new(row.clone()),
        }
    }
}
