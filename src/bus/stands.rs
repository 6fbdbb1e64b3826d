//! Where groups stand, kept in `tidings.control` beside the log's own commits: Kafka forgets those of a group that has had no
//! members for days (`offsets.retention.minutes`), and a group that forgot would begin at the start again.
//!
//! ```text
//! created, reset, each 5 min, its task ends ─▶ stands/GROUP/TOPIC/PARTITION
//!                                    its task starts, the log has nothing ─┘──▶ committed again
//! ```
//!
//! What is kept may be behind, so events can come again, and never ahead: nothing is lost by it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Inner, notes,
    table::{Row, Table},
};
use crate::{
    error::{Error, Reason, Result},
    log::{Commit, Committed, LogTime, TopicPartition},
    name::Group,
};

pub(super) type StandsTable = Table<Stand>;

/// What a group has committed in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stand {
    /// The group's; one of the same name that was created later has another.
    id: u64,
    epoch: u64,
    partition: TopicPartition,
    offset: i64,
    note: String,
}

impl Stand {
    pub(super) fn new(id: u64, partition: TopicPartition, committed: &Committed) -> Self {
        Self {
            id,
            epoch: notes::epoch(committed),
            partition,
            offset: committed.offset,
            note: committed.note.clone(),
        }
    }

    fn commit(&self) -> Commit {
        Commit {
            partition: self.partition.clone(),
            offset: self.offset,
            note: self.note.clone(),
        }
    }
}

impl Inner {
    /// Keeps what the log has as committed. Where that fails, what was kept before holds.
    pub(super) async fn keep_standing(&self, group: &Group, id: u64, partitions: &[TopicPartition]) {
        let keep = async {
            let committed = self.log.committed(group, partitions).await?;
            let rows = partitions.iter().zip(&committed);
            let stand = |(partition, committed): (&TopicPartition, &Option<Committed>)| {
                Some(Stand::new(id, partition.clone(), committed.as_ref()?))
            };
            self.keep(group, rows.filter_map(stand)).await
        };
        if let Err(error) = keep.await {
            tracing::warn!(%group, %error, "cannot keep where the group stands");
        }
    }

    /// The offset that was kept of a group, and when.
    pub(super) fn kept_offset(&self, group: &Group, id: u64, partition: &TopicPartition) -> Option<(i64, LogTime)> {
        let (stand, time) = self.stands.known_since(&key(group, partition))?;
        (stand.id == id).then_some((stand.offset, time))
    }

    pub(super) async fn keep(&self, group: &Group, stands: impl Iterator<Item = Stand>) -> Result<()> {
        let rows = stands.map(|stand| (key(group, &stand.partition), stand));
        let is_new = |(key, stand): &(String, Stand)| self.stands.known(key).is_none_or(|known| *known != *stand);
        let rows: Vec<(String, Stand)> = rows.filter(is_new).collect();
        match rows.is_empty() {
            true => Ok(()),
            false => self.stands.put_all(&rows).await,
        }
    }

    /// Commits what was kept of a group without members, where the log has nothing any more.
    pub(super) async fn restore_standing(&self, group: &Group, id: u64) -> Result<()> {
        self.stands.catch_up().await?;
        let mut kept = self.stands.under(&keys_of(group));
        kept.retain(|(_, stand, _)| stand.id == id);
        let mut missing = Vec::new();
        for (stand, time) in self.forgotten(group, kept).await? {
            let (topic, partition, offset) = (&stand.partition.topic, stand.partition.partition, stand.offset);
            if self.is_of_this_topic(&stand.partition, offset, time).await? {
                tracing::warn!(%group, %topic, partition, offset, "the log has forgotten where the group stood; it goes on there");
                missing.push(stand.commit());
            } else {
                tracing::warn!(%group, %topic, partition, "the topic was made anew; the group begins at its start");
            }
        }
        match self.log.commit(group, missing).await {
            // Another replica has been faster.
            Err(error) if error.reason() == Reason::GroupInUse => Ok(()),
            done => done,
        }
    }

    /// Those of partitions that exist and in which nothing is committed, each with when it was kept.
    async fn forgotten(
        &self,
        group: &Group,
        kept: Vec<(String, Arc<Stand>, LogTime)>,
    ) -> Result<Vec<(Arc<Stand>, LogTime)>> {
        let mut there = Vec::new();
        for (_, stand, time) in kept {
            let count = self.log.partitions(&stand.partition.topic).await?;
            if count.is_some_and(|count| stand.partition.partition < count) {
                there.push((stand, time));
            }
        }
        let partitions: Vec<TopicPartition> = there.iter().map(|(stand, _)| stand.partition.clone()).collect();
        let committed = self.log.committed(group, &partitions).await?;
        let missing = there.into_iter().zip(committed);
        Ok(missing
            .filter(|(_, committed)| committed.is_none())
            .map(|(kept, _)| kept)
            .collect())
    }

    /// All below an offset was appended before it was kept. In a topic that was made anew since, it was not.
    pub(super) async fn is_of_this_topic(
        &self,
        partition: &TopicPartition,
        offset: i64,
        kept: LogTime,
    ) -> Result<bool> {
        let partition = std::slice::from_ref(partition);
        let later = self.log.offsets_at(partition, LogTime(kept.0 + 1)).await?[0];
        Ok(offset <= later)
    }
}

fn key(group: &Group, partition: &TopicPartition) -> String {
    format!("{}{}/{}", keys_of(group), partition.topic, partition.partition)
}

/// How the keys of all partitions of a group begin.
pub(super) fn keys_of(group: &Group) -> String {
    format!("{}{group}/", Stand::PREFIX)
}

impl Row for Stand {
    const TOPIC: &'static str = "tidings.control";
    const PREFIX: &'static str = "stands/";

    /// Whoever was frozen may write late: what was so before a reset is not kept after it.
    fn supersedes(&self, known: &Self) -> bool {
        self.id != known.id || self.epoch >= known.epoch
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8], _offset: i64) -> Result<Self> {
        let damaged = |error| Error::new(Reason::LogDamaged, format!("read where a group stands: {error}"));
        serde_json::from_slice(bytes).map_err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Topic;

    fn stand(id: u64, epoch: u64, offset: i64) -> Stand {
        let topic = Topic::new("t").expect("valid");
        Stand {
            id,
            epoch,
            partition: TopicPartition { topic, partition: 0 },
            offset,
            note: "n".to_owned(),
        }
    }

    #[test]
    fn what_was_so_before_a_reset_is_not_kept_after_it() {
        assert!(stand(1, 3, 5).supersedes(&stand(1, 2, 50)));
        assert!(stand(1, 2, 5).supersedes(&stand(1, 2, 50)));
        assert!(!stand(1, 2, 50).supersedes(&stand(1, 3, 5)));
        assert!(stand(2, 0, 1).supersedes(&stand(1, 3, 5)));
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let written = stand(1, 2, 3);
        assert_eq!(Stand::from_bytes(&written.to_bytes(), 0).expect("readable"), written);
    }
}
