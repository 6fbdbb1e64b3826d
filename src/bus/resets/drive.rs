//! Carrying a reset out: waiting for the owners of partitions, becoming one where there is none, finishing once all are moved.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::{Instant, interval_at, sleep};

use super::{
    moved::key,
    row::{Applied, MovedPartition, ResetState},
};
use crate::{
    bus::{
        Inner, draining,
        groups::{ActiveReset, GroupRecord},
        notes,
        table::GONE_AFTER,
    },
    error::{Error, Reason, Result},
    log::{LogTime, TopicPartition},
    name::{Group, Topic},
};

/// Between two looks at whether somebody serves the group, and whether all is done: the owner that finishes it says so.
const LOOK: Duration = Duration::from_millis(500);
/// How often others may change the group meanwhile.
const MOST_TRIES: usize = 10;

/// How far a reset has come.
enum Carried {
    On,
    Out,
}

impl Inner {
    /// Waits until a reset is carried out, and sees to it that somebody does, also while the log is away for a while.
    pub(super) async fn drive(self: &Arc<Self>, group: &Group, id: &str) -> Result<()> {
        let mut changes = self.groups.changes();
        let mut looks = interval_at(Instant::now() + LOOK, LOOK);
        loop {
            match self.see_to(group, id).await {
                Ok(Carried::Out) => return Ok(()),
                Err(error) if !error.reason().is_retryable() => return Err(error),
                Ok(Carried::On) | Err(_) => {}
            }
            tokio::select! {
                () = self.draining.cancelled() => return Err(draining()),
                _ = changes.changed() => {}
                _ = looks.tick() => self.finish_if_done(group).await,
            }
        }
    }

    async fn see_to(self: &Arc<Self>, group: &Group, id: &str) -> Result<Carried> {
        let Some(record) = self.record_with(group, id).await? else {
            return Ok(Carried::Out);
        };
        if self.groups.active.get(group).is_none() && !self.log.has_members(group).await? {
            self.serve(group, &record).await?;
        }
        Ok(Carried::On)
    }

    /// Whether this reset of the group is under way.
    pub(in crate::bus) async fn is_carried_out(&self, group: &Group, id: &str) -> Result<bool> {
        Ok(self.record_with(group, id).await?.is_some())
    }

    /// Owners move partitions, whether they have streams or not; so a group without members gets one for a while.
    async fn serve(self: &Arc<Self>, group: &Group, record: &Arc<GroupRecord>) -> Result<()> {
        let _one_at_a_time = self.groups.active.lock(group).await;
        let handle = self.running(group, record).await?;
        handle.replace(Arc::clone(record)).await;
        Ok(())
    }

    /// After the owner of partitions has moved them: the last of all finishes.
    pub(in crate::bus) async fn finish_if_done(&self, group: &Group) {
        let finish = async {
            let Some(record) = self.groups.newest(group).await? else {
                return Ok(());
            };
            let Some(reset) = record.reset.clone() else {
                return Ok(());
            };
            match self.is_moved(group, &record, &reset).await? {
                true => self.finish(group, &record, &reset).await,
                false => Ok(()),
            }
        };
        let finished: Result<()> = finish.await;
        if let Err(error) = finished {
            // Whoever was asked for the reset finishes it, or who is asked for the next one.
            tracing::warn!(%group, %error, "cannot finish a reset");
        }
    }

    /// The group's record, if this reset is not finished.
    async fn record_with(&self, group: &Group, id: &str) -> Result<Option<Arc<GroupRecord>>> {
        let record = self.groups.newest(group).await?;
        Ok(record.filter(|record| record.reset.as_ref().is_some_and(|reset| reset.id == id)))
    }

    /// Whether the note of every partition that is moved has the epoch.
    async fn is_moved(&self, group: &Group, record: &GroupRecord, reset: &ActiveReset) -> Result<bool> {
        let partitions = self.moved_partitions(record, reset).await?;
        let committed = self.log.committed(group, &partitions).await?;
        let epochs = committed
            .iter()
            .map(|committed| committed.as_ref().map_or(0, notes::epoch));
        Ok(epochs.min().is_none_or(|least| least >= record.epoch))
    }

    /// Those that a reset moves: nobody moves what was deleted, or what is no longer the group's. A topic that the log denies is
    /// looked for again for a while: a broker that has just started denies what others have, and what comes back must be moved.
    async fn moved_partitions(&self, record: &GroupRecord, reset: &ActiveReset) -> Result<Vec<TopicPartition>> {
        let gone_at = Instant::now() + GONE_AFTER;
        loop {
            let mut there = self.existing_partitions(&record.settings.topics).await?;
            there.retain(|partition| reset.target(partition).is_some());
            let may_come_back = self.log.is_shared() && Instant::now() < gone_at;
            if !may_come_back || !is_denied(record, reset, &there) {
                return Ok(there);
            }
            tokio::select! {
                () = self.draining.cancelled() => return Err(draining()),
                () = sleep(LOOK) => {}
            }
        }
    }

    /// All is moved: what was done is kept for good, and the group has no reset any more.
    async fn finish(&self, group: &Group, record: &GroupRecord, reset: &ActiveReset) -> Result<()> {
        let row = self.reset_row(&reset.id, Reason::ResetNotFound).await?;
        self.moves.catch_up().await?;
        let moved = |(partition, _): &(TopicPartition, i64)| {
            let moved = self.moves.known(&key(group, partition));
            let moved = moved.filter(|moved| moved.reset_id == reset.id)?;
            Some(MovedPartition {
                partition: partition.clone(),
                from: moved.before.offset,
                to: moved.after.offset,
            })
        };
        let done = Applied {
            finished: Some(LogTime::now()),
            partitions: reset.moves.iter().filter_map(moved).collect(),
            ..Applied::accepted(reset, record.epoch)
        };
        let moved: Vec<TopicPartition> = done.partitions.iter().map(|one| one.partition.clone()).collect();
        if row.state() != ResetState::Applied {
            self.note(&row.plan, done).await?;
        }
        self.keep_standing(group, record.id, &moved).await;
        self.take_out(group, record.clone(), reset).await
    }

    /// Whatever else of the group is changed at this moment.
    async fn take_out(&self, group: &Group, mut record: GroupRecord, reset: &ActiveReset) -> Result<()> {
        for _ in 0..MOST_TRIES {
            let finished = GroupRecord {
                reset: None,
                last_reset: Some(reset.id.clone()),
                ..record.next()
            };
            let holds = self.groups.put(group, &finished).await?;
            if holds.reset.as_ref().is_none_or(|active| active.id != reset.id) {
                tracing::info!(%group, reset = reset.id, epoch = holds.epoch, "reset finished");
                return Ok(());
            }
            record = (*holds).clone();
        }
        let text = format!("finish a reset of group {group}: others change it all the time");
        Err(Error::new(Reason::GroupConflict, text))
    }
}

/// Whether a topic of the group that is moved is not there.
fn is_denied(record: &GroupRecord, reset: &ActiveReset, there: &[TopicPartition]) -> bool {
    let moved: BTreeSet<&Topic> = reset.moves.iter().map(|(partition, _)| &partition.topic).collect();
    let moved: Vec<Topic> = moved.into_iter().cloned().collect();
    let meant = record.settings.topics.matching(&moved);
    let is_there = |topic: &Topic| there.iter().any(|partition| partition.topic == *topic);
    meant.iter().any(|topic| moved.contains(topic) && !is_there(topic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bus::{groups::GroupSettings, rules::RetryOverride},
        name::{Selector, Selectors},
    };

    fn partition(topic: &str) -> TopicPartition {
        let topic = Topic::new(topic).expect("valid");
        TopicPartition { topic, partition: 0 }
    }

    #[test]
    fn a_moved_topic_of_the_group_is_missed_and_no_other_is() {
        let selectors = ["a", "b.*"].map(|text| Selector::new(text).expect("valid"));
        let settings = GroupSettings {
            topics: Selectors::new(selectors.into()),
            filter: None,
            on_gap: Default::default(),
            undecodable: Default::default(),
            retry: RetryOverride::default(),
        };
        let record = GroupRecord::first(settings, Vec::new());
        let reset = ActiveReset {
            id: "r".to_owned(),
            request_id: String::new(),
            reason: String::new(),
            by: String::new(),
            accepted_ms: 0,
            undoes: None,
            // The group has had `c` when it was planned.
            moves: ["a", "b.x", "c"].map(|topic| (partition(topic), 5)).into(),
        };
        let is_denied = |there: &[&str]| {
            let there: Vec<TopicPartition> = there.iter().map(|topic| partition(topic)).collect();
            super::is_denied(&record, &reset, &there)
        };
        assert!(!is_denied(&["a", "b.x"]));
        assert!(is_denied(&["a"]) && is_denied(&["b.x"]) && is_denied(&[]));
    }
}
