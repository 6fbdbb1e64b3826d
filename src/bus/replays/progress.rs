//! How far a replay has come in a partition, as its owner writes it to `tidings.control`; the next owner goes on there.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::ReplayRow;
use crate::{
    bus::{
        delivery::{Counts, CourseView},
        table::{Row, Table},
    },
    error::{Error, Reason, Result},
    log::TopicPartition,
};

pub(in crate::bus) type ReplayedTable = Table<Replayed>;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bus) struct Replayed {
    /// Everything below is settled.
    pub(in crate::bus) next: i64,
    /// Settled above that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::bus) settled: Vec<Range<i64>>,
    pub(in crate::bus) counts: Counts,
}

impl Replayed {
    pub(in crate::bus) fn of(view: CourseView) -> Self {
        let CourseView { next, settled, counts } = view;
        Self { next, settled, counts }
    }

    /// Of a partition in which nothing was replayed yet.
    pub(super) fn nothing(from: i64) -> Self {
        Self {
            next: from,
            ..Self::default()
        }
    }

    /// The rest is not there any more.
    pub(super) fn rest_is_gone(&self, until: i64) -> Self {
        let gone = u64::try_from(until - self.next).unwrap_or(0);
        Self {
            next: until.max(self.next),
            settled: Vec::new(),
            counts: Counts {
                gone: self.counts.gone + gone,
                ..self.counts
            },
        }
    }

    /// How much is known of it.
    fn knows(&self) -> (i64, u64, u64) {
        let Counts {
            sent,
            acked,
            failed,
            hidden,
            passed_over,
            gone,
        } = self.counts;
        (self.next, acked + failed + hidden + passed_over + gone, sent)
    }
}

pub(in crate::bus) fn key(id: &str, partition: &TopicPartition) -> String {
    format!("{}{}/{}", keys_of(id), partition.topic, partition.partition)
}

/// How the keys of all partitions of a replay begin.
pub(super) fn keys_of(id: &str) -> String {
    format!("{}{id}/", Replayed::PREFIX)
}

impl ReplayRow {
    pub(super) fn keys(&self) -> impl Iterator<Item = String> {
        self.ranges.iter().map(|range| key(&self.id, &range.partition))
    }
}

impl Row for Replayed {
    const TOPIC: &'static str = "tidings.control";
    const PREFIX: &'static str = "replayed/";

    /// An owner of before, who was frozen, may write late: a replay does not go back.
    fn supersedes(&self, known: &Self) -> bool {
        self.knows() >= known.knows()
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8], _offset: i64) -> Result<Self> {
        let damaged = |error| Error::new(Reason::LogDamaged, format!("read how far a replay has come: {error}"));
        serde_json::from_slice(bytes).map_err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(next: i64, acked: u64) -> Replayed {
        Replayed {
            next,
            settled: vec![next + 2..next + 5, next + 7..next + 8],
            counts: Counts {
                sent: acked + 1,
                acked,
                ..Counts::default()
            },
        }
    }

    #[test]
    fn a_replay_does_not_go_back() {
        assert!(replayed(5, 3).supersedes(&replayed(4, 30)));
        assert!(replayed(5, 4).supersedes(&replayed(5, 3)));
        assert!(!replayed(5, 3).supersedes(&replayed(5, 4)));
        assert!(!replayed(4, 30).supersedes(&replayed(5, 3)));
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let written = replayed(5, 3);
        assert_eq!(Replayed::from_bytes(&written.to_bytes(), 0).expect("readable"), written);
    }

    #[test]
    fn what_is_gone_is_counted_and_ends_it() {
        let over = replayed(5, 3).rest_is_gone(20);
        assert_eq!((over.next, over.counts.gone, over.counts.acked), (20, 15, 3));
        assert_eq!(over.rest_is_gone(20), over);
    }
}
