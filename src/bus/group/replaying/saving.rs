//! How far a replay has come: saved with the commits, and looked at for how fast this replica may go.

use std::{sync::Arc, time::Instant};

use super::Known;
use crate::{
    bus::{
        Inner,
        delivery::PartitionId,
        group::{owned::Owned, task::Task},
        replays::{Replayed, key},
    },
    error::Result,
};

/// How far a replay has come in a partition, as it is to be saved.
pub(in crate::bus::group) struct Advanced {
    id: PartitionId,
    number: u64,
    version: (i64, u64),
    key: String,
    replayed: Replayed,
}

impl Task {
    /// Each replica has a share of the rate, by its share of the partitions in which something is left.
    pub(super) fn set_replay_pace(&mut self) {
        let Some(Known { row, .. }) = &self.replaying.known else {
            return;
        };
        let left_here = |(id, owned): (&PartitionId, &Owned)| {
            let (range, course) = (row.range(&owned.partition)?, self.dispatch.course_version(*id)?);
            (course.0 < range.until).then_some(())
        };
        let here = self.owned.iter().filter_map(left_here).count();
        let all = row
            .ranges
            .iter()
            .filter(|range| self.bus.replayed(row, range).next < range.until);
        let share = here as f64 / all.count().max(here).max(1) as f64;
        let rate = row.max_per_second.map(|rate| (rate * share).max(f64::MIN_POSITIVE));
        self.dispatch.pace_replay(rate, Instant::now());
    }

    /// What became of the replay since it was saved last.
    pub(in crate::bus::group) fn unsaved_replay(&self) -> Vec<Advanced> {
        let Some(Known { row, .. }) = &self.replaying.known else {
            return Vec::new();
        };
        let advanced = |id: &PartitionId| {
            let version = self.dispatch.course_version(*id)?;
            let (owned, view) = (self.owned.get(id)?, self.dispatch.course(*id)?);
            (self.replaying.saved.get(id) != Some(&version)).then(|| Advanced {
                id: *id,
                number: self.replaying.number,
                version,
                key: key(&row.id, &owned.partition),
                replayed: Replayed::of(view),
            })
        };
        self.replaying.opened.iter().filter_map(advanced).collect()
    }

    /// Whether all that became of the replay in the partition is saved.
    pub(in crate::bus::group) fn is_replay_noted(&self, id: PartitionId) -> bool {
        let version = self.dispatch.course_version(id);
        version.is_none() || self.replaying.saved.get(&id).copied() == version
    }

    /// It is saved. The last of all owners that are done ends the replay.
    pub(in crate::bus::group) fn replay_advanced(&mut self, advanced: Vec<Advanced>) {
        let Some(Known { row, .. }) = self.replaying.known.clone().filter(|_| !advanced.is_empty()) else {
            return;
        };
        let mut is_done = false;
        for one in advanced.into_iter().filter(|one| one.number == self.replaying.number) {
            let range = self.owned.get(&one.id).and_then(|owned| row.range(&owned.partition));
            is_done |= range.is_some_and(|range| one.replayed.next >= range.until);
            self.replaying.saved.insert(one.id, one.version);
        }
        self.set_replay_pace();
        if is_done {
            let bus = Arc::clone(&self.bus);
            self.bus.tasks.spawn(async move {
                if let Err(error) = bus.see_to_replay(&row.id).await {
                    tracing::debug!(replay = row.id, %error, "cannot end a replay, trying again");
                }
            });
        }
    }
}

impl Inner {
    /// Writes down how far the replay has come.
    pub(in crate::bus::group) async fn save_replay(&self, advanced: &[Advanced]) -> Result<()> {
        if advanced.is_empty() {
            return Ok(());
        }
        let row = |one: &Advanced| (one.key.clone(), one.replayed.clone());
        let rows: Vec<(String, Replayed)> = advanced.iter().map(row).collect();
        self.replays.progress.put_all(&rows).await
    }
}
