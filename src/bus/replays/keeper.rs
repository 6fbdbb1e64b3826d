//! Seeing to replays: that they end once all is done, whoever died on the way, and that what is over is forgotten in time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustc_hash::FxHashSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{How, ReplayRange, ReplayRow, Replayed, progress::key, row::no_such_replay};
use crate::{
    bus::{Bus, Inner, groups::GroupRecord, table::GONE_AFTER},
    error::Result,
    log::{LogTime, TopicPartition},
};

const LOOK: Duration = Duration::from_secs(1);
/// Of replays that ended so many are kept; the audit log has all.
const MOST_KEPT: usize = 500;
/// A row that no group's record ever named: who wrote it died, or others were first.
const UNNAMED_MS: i64 = 60 * 60 * 1_000;

impl Bus {
    /// Begins to see to replays, also such as another replica has begun.
    pub(in crate::bus) fn see_to_replays(&self) {
        let (bus, draining) = (Arc::downgrade(&self.0), self.0.draining.clone());
        self.0.tasks.spawn(async move {
            let mut looks = interval(LOOK);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = draining.cancelled() => return,
                    _ = looks.tick() => {}
                }
                let Some(bus) = bus.upgrade() else { return };
                tokio::select! {
                    () = draining.cancelled() => return,
                    () = bus.see_to_all_replays() => {}
                }
            }
        });
    }
}

impl Inner {
    async fn see_to_all_replays(&self) {
        let rows = self.replays.rows.all().into_iter().map(|(_, row)| row);
        let is_open = |row: &Arc<ReplayRow>| row.ended.as_ref().is_none_or(|ended| !ended.is_announced);
        for row in rows.filter(|row| is_open(row) && self.is_accepted(row)) {
            let seen_to = async {
                match self.is_under_way(&row).await? {
                    true => Ok(()),
                    false => self.see_to_replay(&row.id).await,
                }
            };
            let seen_to: Result<()> = seen_to.await;
            if let Err(error) = seen_to {
                tracing::debug!(replay = row.id, %error, "cannot see to a replay, trying again");
            }
        }
    }

    /// Whether there is nothing to see to, as far as this replica knows without asking the log.
    async fn is_under_way(&self, row: &ReplayRow) -> Result<bool> {
        let record = self.groups.known(&row.group);
        let Some(record) = record.filter(|record| record.replay.as_ref() == Some(&row.id) && !record.is_deleted())
        else {
            return Ok(false);
        };
        let left: Vec<&ReplayRange> = row.ranges.iter().filter(|range| !self.is_done(row, range)).collect();
        if !row.is_announced || row.ended.is_some() || left.is_empty() {
            return Ok(false);
        }
        let there = self.existing_partitions(&record.settings.topics).await?;
        let there: FxHashSet<TopicPartition> = there.into_iter().collect();
        let all_there = left.iter().all(|range| there.contains(&range.partition));
        if all_there {
            // What was missing is back.
            self.replays.miss_nothing_of(&row.id);
        }
        Ok(all_there)
    }

    /// Does what is left to be done of a replay by anybody.
    pub(in crate::bus) async fn see_to_replay(&self, id: &str) -> Result<()> {
        let row = self.replay_row(id).await?;
        if row.ended.is_some() {
            return self.finish_replay(&row).await;
        }
        let record = self.groups.newest(&row.group).await?;
        let Some(record) = record.filter(|record| record.id == row.group_id) else {
            return match row.is_announced {
                true => {
                    self.end_replay_by_itself(&row, How::Stopped, "the group was deleted")
                        .await
                }
                false => Ok(()),
            };
        };
        if record.replay.as_deref() != Some(id) {
            return Ok(());
        }
        let row = self.announced(&row).await?;
        match self.is_replayed(&row, &record).await? {
            true => self.end_replay_by_itself(&row, How::Done, "").await,
            false => Ok(()),
        }
    }

    /// Whether all is settled. What cannot be any more, as its partition is gone, counts as gone.
    async fn is_replayed(&self, row: &ReplayRow, record: &GroupRecord) -> Result<bool> {
        self.replays.progress.catch_up().await?;
        let left: Vec<&ReplayRange> = row.ranges.iter().filter(|range| !self.is_done(row, range)).collect();
        if left.is_empty() {
            return Ok(true);
        }
        let there = self.existing_partitions(&record.settings.topics).await?;
        let there: FxHashSet<TopicPartition> = there.into_iter().collect();
        let gone = left.into_iter().filter(|range| self.is_gone(row, range, &there));
        let gone: Vec<(String, Replayed)> = gone.map(|range| self.rest_is_gone(row, range)).collect();
        if gone.is_empty() {
            return Ok(false);
        }
        self.replays.progress.put_all(&gone).await?;
        Ok(row.ranges.iter().all(|range| self.is_done(row, range)))
    }

    fn is_done(&self, row: &ReplayRow, range: &ReplayRange) -> bool {
        self.replayed(row, range).next >= range.until
    }

    /// How far it has come in the range.
    pub(in crate::bus) fn replayed(&self, row: &ReplayRow, range: &ReplayRange) -> Arc<Replayed> {
        let known = self.replays.progress.known(&key(&row.id, &range.partition));
        known.unwrap_or_else(|| Arc::new(Replayed::nothing(range.from)))
    }

    /// Whether the partition has not been there, or not been the group's, for a while.
    fn is_gone(&self, row: &ReplayRow, range: &ReplayRange, there: &FxHashSet<TopicPartition>) -> bool {
        let mut missing = self.replays.missing();
        let key = key(&row.id, &range.partition);
        if there.contains(&range.partition) {
            missing.remove(&key);
            return false;
        }
        let is_gone = missing.entry(key.clone()).or_insert_with(Instant::now).elapsed() >= GONE_AFTER;
        if is_gone {
            missing.remove(&key);
        }
        is_gone
    }

    fn rest_is_gone(&self, row: &ReplayRow, range: &ReplayRange) -> (String, Replayed) {
        let rest = self.replayed(row, range).rest_is_gone(range.until);
        (key(&row.id, &range.partition), rest)
    }

    /// Whether it began, or may still.
    pub(super) fn is_accepted(&self, row: &ReplayRow) -> bool {
        let is_named = |record: Arc<GroupRecord>| record.replay.as_ref() == Some(&row.id);
        row.is_announced || row.ended.is_some() || self.groups.known(&row.group).is_some_and(is_named)
    }

    /// Of replays that ended the newest are kept.
    pub(super) async fn forget_replays(&self) {
        let rows: Vec<Arc<ReplayRow>> = self.replays.rows.all().into_iter().map(|(_, row)| row).collect();
        let over = rows.iter().filter(|row| row.ended.is_some()).count();
        let now = LogTime::now().0;
        let is_unnamed = |row: &&Arc<ReplayRow>| !self.is_accepted(row) && row.started.0 + UNNAMED_MS < now;
        let oldest = rows
            .iter()
            .filter(|row| row.ended.is_some())
            .take(over.saturating_sub(MOST_KEPT));
        let forgotten: Vec<&Arc<ReplayRow>> = oldest.chain(rows.iter().filter(is_unnamed)).collect();
        let progress: Vec<String> = forgotten.iter().flat_map(|row| row.keys()).collect();
        let keys: Vec<String> = forgotten.iter().map(|row| ReplayRow::key(&row.id)).collect();
        let forget = async {
            self.replays.progress.remove_all(&progress).await?;
            self.replays.rows.remove_all(&keys).await
        };
        if let Err(error) = forget.await {
            tracing::debug!(%error, "cannot forget replays that are long over");
        }
    }

    /// That it may be called for a replay that is not there, or never began.
    pub(super) async fn accepted_replay(&self, id: &str) -> Result<Arc<ReplayRow>> {
        let row = self.replay_row(id).await?;
        match self.is_accepted(&row) {
            true => Ok(row),
            false => Err(no_such_replay(id)),
        }
    }
}
