//! What checkpoints cover of groups, told to whoever owns the partitions through `tidings.control`: everything below is done.
//!
//! ```text
//! a stored checkpoint ─▶ covers/GROUP/TOPIC/PARTITION ─▶ the partition's owner settles all below, commits ─▶ the row: committed
//!                                                        (now, or whoever owns it next)
//! ```
//!
//! A row is carried out once: what is committed is not carried out again, nor what was written before a reset.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Bus, Inner,
    groups::{Active, GroupRecord},
    table::{Row, Table},
};
use crate::{
    error::{Error, Reason, Result},
    log::TopicPartition,
    name::Group,
};

pub(super) type CoversTable = Table<Cover>;

/// That everything of a partition below an offset is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cover {
    /// The group's; one of the same name that was created later has another.
    pub(super) id: u64,
    /// The group's, as whoever wrote it knew it.
    pub(super) epoch: u64,
    pub(super) partition: TopicPartition,
    pub(super) offset: i64,
    /// For those who look.
    pub(super) checkpoint: String,
    /// Rises where the log has lost the commit of it.
    pub(super) attempt: u64,
    /// There is nothing left to do.
    pub(super) is_committed: bool,
}

impl Cover {
    /// Whether it says something of a partition that a group owns, whose note has this epoch.
    pub(super) fn holds_for(&self, record: &GroupRecord, epoch: u64) -> bool {
        let is_of_group = self.id == record.id && record.epoch <= self.epoch;
        let is_moved = record.due(&self.partition, epoch).is_some() || epoch > self.epoch;
        is_of_group && !is_moved && !self.is_committed
    }

    pub(super) fn committed(&self) -> Self {
        Self {
            is_committed: true,
            ..self.clone()
        }
    }

    /// What is to be written where the group has not committed this, and a row is known already; `None` = nothing.
    pub(super) fn over(self, known: &Self) -> Option<Self> {
        if (known.id, known.epoch) != (self.id, self.epoch) {
            return Some(self);
        }
        let attempt = match (known.offset >= self.offset, known.is_committed) {
            (false, _) => known.attempt,
            (true, false) => return None,
            // Never what is known: the topic may have been made anew since, where that is more than this covers.
            (true, true) => known.attempt + 1,
        };
        Some(Self { attempt, ..self })
    }

    fn rank(&self) -> (u64, u64, i64, bool) {
        (self.epoch, self.attempt, self.offset, self.is_committed)
    }
}

impl Bus {
    /// Has the groups that are served here carry out what any replica writes.
    pub(super) fn follow_covers(&self) {
        let (covers, active) = (Arc::clone(&self.0.covers), Arc::clone(&self.0.groups.active));
        let stop = self.0.draining.clone();
        self.0.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tell(&covers, &active) => {}
            }
        });
    }
}

/// A group that is not served now finds the rows when it begins with its partitions.
async fn tell(covers: &CoversTable, active: &Active) {
    let mut news = covers.news();
    let mut told = -1;
    while news.changed().await.is_ok() {
        let latest = *news.borrow_and_update();
        // The topic may have been made anew.
        let since = if latest < told { -1 } else { told };
        told = latest;
        for (key, cover) in covers.behind(since) {
            let Some(group) = group_of(&key).filter(|_| !cover.is_committed) else {
                continue;
            };
            if let Some(handle) = active.get(&group) {
                handle.cover(cover).await;
            }
        }
    }
}

impl Inner {
    /// A row for a partition of a topic that was made anew since is void: the events are others.
    pub(super) async fn void_cover(&self, group: &Group, partition: &TopicPartition) -> Result<()> {
        let key = key(group, partition);
        let rows = self.covers.under(&key).into_iter();
        let Some((_, cover, time)) = rows.into_iter().find(|(found, ..)| *found == key) else {
            return Ok(());
        };
        if cover.is_committed || self.is_of_this_topic(partition, cover.offset, time).await? {
            return Ok(());
        }
        self.covers.put(&key, &cover.committed()).await.map(|_| ())
    }
}

/// Under which key the row of a partition lies.
pub(super) fn key(group: &Group, partition: &TopicPartition) -> String {
    format!("{}{}/{}", keys_of(group), partition.topic, partition.partition)
}

/// How the keys of all partitions of a group begin.
pub(super) fn keys_of(group: &Group) -> String {
    format!("{}{group}/", Cover::PREFIX)
}

fn group_of(key: &str) -> Option<Group> {
    let (group, _) = key.strip_prefix(Cover::PREFIX)?.split_once('/')?;
    Group::new(group).ok()
}

impl Row for Cover {
    const TOPIC: &'static str = "tidings.control";
    const PREFIX: &'static str = "covers/";

    /// Of several checkpoints the one that covers most holds, unless the group was reset in between.
    fn supersedes(&self, known: &Self) -> bool {
        self.id != known.id || self.rank() >= known.rank()
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8], _offset: i64) -> Result<Self> {
        let damaged = |error| Error::new(Reason::LogDamaged, format!("read what a checkpoint covers: {error}"));
        serde_json::from_slice(bytes).map_err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Topic;

    fn cover(id: u64, epoch: u64, offset: i64) -> Cover {
        let topic = Topic::new("t").expect("valid");
        Cover {
            id,
            epoch,
            partition: TopicPartition { topic, partition: 3 },
            offset,
            checkpoint: "c@1".to_owned(),
            attempt: 0,
            is_committed: false,
        }
    }

    #[test]
    fn what_covers_most_holds_until_a_reset_and_is_done_once() {
        let known = cover(1, 2, 50);
        assert!(cover(1, 2, 51).supersedes(&known) && cover(1, 3, 5).supersedes(&known));
        assert!(!cover(1, 2, 49).supersedes(&known) && !cover(1, 1, 60).supersedes(&known));
        assert!(known.committed().supersedes(&known) && !known.supersedes(&known.committed()));
        assert!(!known.committed().supersedes(&cover(1, 2, 51)));
        assert!(cover(2, 0, 0).supersedes(&known));
    }

    #[test]
    fn what_is_said_already_is_said_again_only_if_its_commit_was_lost() {
        let known = cover(1, 2, 50);
        assert_eq!(cover(1, 2, 40).over(&known), None);
        for new in [cover(1, 2, 60), cover(1, 3, 40), cover(2, 2, 40)] {
            assert_eq!(new.clone().over(&known), Some(new));
        }
        let again = cover(1, 2, 40).over(&known.committed()).expect("to be written");
        assert_eq!((again.offset, again.attempt, again.is_committed), (40, 1, false));
        assert!(again.supersedes(&known.committed()));
        let more = cover(1, 2, 45).over(&again).expect("to be written");
        assert!(more.supersedes(&again) && more.attempt == 1);
    }

    #[test]
    fn a_row_is_found_under_its_group_and_read_as_it_was_written() {
        let written = cover(1, 2, 3);
        assert_eq!(Cover::from_bytes(&written.to_bytes(), 0).expect("readable"), written);
        let group = Group::new("a.b").expect("valid");
        let key = key(&group, &written.partition);
        assert_eq!((key.as_str(), group_of(&key)), ("covers/a.b/t/3", Some(group)));
        assert_eq!((group_of("covers/"), group_of("stands/a/t/3")), (None, None));
    }
}
