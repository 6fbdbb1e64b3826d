//! The snapshot of a topic that is being taken, or was taken last, as it lies in `tidings.control`: the log's order says which
//! replica takes it, and all see how far it is.

use serde::{Deserialize, Serialize};

use crate::{
    bus::table::{Row, Table},
    error::{Error, Reason, Result},
    log::LogTime,
    name::Topic,
};

pub(in crate::bus) type SnapshotsTable = Table<SnapshotRow>;

/// Calls that are remembered.
const REMEMBERED: usize = 100;

/// One of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bus) struct SnapshotRow {
    /// Grows by one with each snapshot that is begun.
    pub(super) term: u64,
    pub(super) id: String,
    pub(super) replica_id: String,
    pub(super) request_id: String,
    pub(super) reason: String,
    pub(super) by: String,
    pub(super) begun: LogTime,
    pub(super) state: Creation,
    /// The ends of the partitions that it holds; empty = not known yet.
    pub(super) offsets: Vec<i64>,
    pub(super) base: Option<String>,
    pub(super) read: u64,
    pub(super) total: u64,
    pub(super) keys: u64,
    pub(super) bytes: u64,
    /// Calls that have taken a snapshot, the newest last.
    pub(super) done: Vec<Done>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Creation {
    /// How often this was said: who takes it says so every few seconds.
    Active(u64),
    Ready,
    Failed(String),
}

/// A call, and the snapshot that it has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) request_id: String,
    pub(super) id: String,
}

impl SnapshotRow {
    pub(super) fn key(topic: &Topic) -> String {
        format!("{}{topic}", Self::PREFIX)
    }

    pub(super) fn is_active(&self) -> bool {
        matches!(self.state, Creation::Active(_))
    }

    /// The snapshot that a call has taken.
    pub(super) fn taken_by(&self, request_id: &str) -> Option<&str> {
        let done = self.done.iter().find(|done| done.request_id == request_id);
        done.map(|done| done.id.as_str())
    }

    /// What is said next of a snapshot that is still being taken.
    pub(super) fn say_again(&mut self) {
        if let Creation::Active(times) = &mut self.state {
            *times += 1;
        }
    }

    /// What is said at the end.
    pub(super) fn end(&mut self, failure: Option<String>) {
        self.state = failure.map_or(Creation::Ready, Creation::Failed);
        if self.state == Creation::Ready {
            let (request_id, id) = (self.request_id.clone(), self.id.clone());
            self.done.push(Done { request_id, id });
            let superfluous = self.done.len().saturating_sub(REMEMBERED);
            self.done.drain(..superfluous);
        }
    }

    fn times(&self) -> u64 {
        match self.state {
            Creation::Active(times) => times,
            Creation::Ready | Creation::Failed(_) => u64::MAX,
        }
    }
}

impl Row for SnapshotRow {
    const TOPIC: &'static str = "tidings.control";
    const PREFIX: &'static str = "snapshots/";

    /// Of several that begin at once the first one's holds; who was given up for dead says nothing more.
    fn supersedes(&self, known: &Self) -> bool {
        let is_next = self.id == known.id && self.times() > known.times();
        self.term > known.term || (self.term == known.term && is_next) || self == known
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8], _offset: i64) -> Result<Self> {
        let damaged = |error| Error::new(Reason::LogDamaged, format!("read how far a snapshot is: {error}"));
        serde_json::from_slice(bytes).map_err(damaged)
    }
}

/// A snapshot that somebody deletes, so that the same call can be repeated.
pub(in crate::bus) type DeletionsTable = Table<Deletion>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bus) struct Deletion {
    pub(super) by: String,
    pub(super) reason: String,
    pub(super) at: LogTime,
}

impl Deletion {
    pub(super) fn key(name: &str, request_id: &str) -> String {
        format!("{}{name}/{request_id}", Self::PREFIX)
    }
}

impl Row for Deletion {
    const TOPIC: &'static str = "tidings.control";
    const PREFIX: &'static str = "snapshot-deletions/";

    /// The first call counts.
    fn supersedes(&self, known: &Self) -> bool {
        self == known
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8], _offset: i64) -> Result<Self> {
        let damaged = |error| Error::new(Reason::LogDamaged, format!("read a deletion: {error}"));
        serde_json::from_slice(bytes).map_err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(term: u64, id: &str, state: Creation) -> SnapshotRow {
        SnapshotRow {
            term,
            id: id.to_owned(),
            replica_id: "r".to_owned(),
            request_id: "q".to_owned(),
            reason: String::new(),
            by: "b".to_owned(),
            begun: LogTime(1),
            state,
            offsets: vec![1, 2],
            base: None,
            read: 0,
            total: 0,
            keys: 0,
            bytes: 0,
            done: Vec::new(),
        }
    }

    #[test]
    fn the_first_to_begin_holds_and_the_dead_say_nothing_more() {
        use Creation::{Active, Ready};
        for (new, known, supersedes) in [
            (row(2, "b", Active(0)), row(1, "a", Ready), true),
            (row(2, "c", Active(0)), row(2, "b", Active(0)), false),
            (row(2, "b", Active(1)), row(2, "b", Active(0)), true),
            (row(2, "b", Active(0)), row(2, "b", Active(1)), false),
            // Written again where another one lies behind it, because compaction keeps the last.
            (row(2, "b", Active(1)), row(2, "b", Active(1)), true),
            (row(2, "b", Ready), row(2, "b", Active(9)), true),
            (row(2, "b", Active(10)), row(2, "b", Ready), false),
            (row(2, "b", Ready), row(3, "c", Active(0)), false),
        ] {
            assert_eq!(new.supersedes(&known), supersedes, "{new:?} behind {known:?}");
        }
    }

    #[test]
    fn calls_that_took_a_snapshot_are_remembered() {
        let mut one = row(1, "a", Creation::Active(0));
        one.end(Some("broken".to_owned()));
        assert_eq!((one.is_active(), one.taken_by("q")), (false, None));
        let mut other = row(2, "b", Creation::Active(0));
        other.done = (0..REMEMBERED)
            .map(|n| Done {
                request_id: n.to_string(),
                id: "x".to_owned(),
            })
            .collect();
        other.end(None);
        assert_eq!(
            (other.taken_by("q"), other.taken_by("0"), other.done.len()),
            (Some("b"), None, REMEMBERED)
        );
        assert_eq!(SnapshotRow::from_bytes(&other.to_bytes(), 0).expect("readable"), other);
    }
}
