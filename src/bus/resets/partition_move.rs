//! What a plan does to one partition, in numbers. Pure.

use serde::{Deserialize, Serialize};

use super::target::Candidate;
use crate::log::{LogTime, TopicPartition};

/// One partition of a plan. Events are counted as offsets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionMove {
    pub partition: TopicPartition,
    /// What is committed.
    pub from: Option<i64>,
    pub to: i64,
    /// Events that are sent again.
    pub replayed: i64,
    /// Events that are not sent.
    pub skipped: i64,
    /// Events that would be sent, but that the log has deleted.
    pub gone: i64,
    /// When the first event that is sent was appended.
    pub first_event: Option<LogTime>,
    /// The log does not have what was asked for: `to` is the next it has.
    pub clamped: bool,
    /// Offsets have no holes, so the counts are those of events.
    pub exact: bool,
}

impl PartitionMove {
    pub(super) fn new(one: &Candidate, wanted: i64, exact: bool) -> Self {
        let (start, end) = (one.bounds.start, one.bounds.end);
        let to = wanted.clamp(start, end.max(start));
        let from = one.committed.unwrap_or(start);
        Self {
            partition: one.partition.clone(),
            from: one.committed,
            to,
            replayed: (from.min(end) - to).max(0),
            skipped: (to - from.max(start)).max(0),
            gone: (start - wanted.max(0)).max(0),
            first_event: None,
            clamped: to != wanted,
            exact,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{log::Bounds, name::Topic};

    fn moved(committed: Option<i64>, wanted: i64) -> (i64, i64, i64, i64, bool) {
        let one = Candidate {
            partition: TopicPartition {
                topic: Topic::new("t").expect("valid"),
                partition: 0,
            },
            bounds: Bounds { start: 100, end: 200 },
            committed,
        };
        let made = PartitionMove::new(&one, wanted, true);
        (made.to, made.replayed, made.skipped, made.gone, made.clamped)
    }

    #[test]
    fn a_move_says_what_is_sent_again_skipped_and_gone() {
        // to, replayed, skipped, gone, clamped
        assert_eq!(moved(Some(150), 120), (120, 30, 0, 0, false));
        assert_eq!(moved(Some(150), 180), (180, 0, 30, 0, false));
        assert_eq!(moved(Some(150), 150), (150, 0, 0, 0, false));
        assert_eq!(moved(Some(150), 40), (100, 50, 0, 60, true));
        assert_eq!(moved(Some(150), -7), (100, 50, 0, 100, true));
        assert_eq!(moved(Some(150), 999), (200, 0, 50, 0, true));
        assert_eq!(moved(None, 130), (130, 0, 30, 0, false));
        // What is committed lies before the start, or behind the end of a topic that was made anew.
        assert_eq!(moved(Some(20), 130), (130, 0, 30, 0, false));
        assert_eq!(moved(Some(900), 130), (130, 70, 0, 0, false));
    }
}
