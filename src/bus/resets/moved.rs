//! What a move did to one partition: where the group stood before and where it was put, in `tidings.control`, durable before
//! the commit that makes it true.

use std::{cmp::Ordering, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use super::standing::Standing;
use crate::{
    bus::{
        groups::ActiveReset,
        table::{Row, Table},
    },
    error::{Error, Reason, Result},
    log::{LogTime, TopicPartition},
    name::Group,
};

pub(in crate::bus) type MovesTable = Table<Moved>;

/// So many skips of a partition are remembered.
const MOST_SKIPS: usize = 32;

/// The last move of a partition. It is what the partition's note means by its epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bus) struct Moved {
    pub(in crate::bus) reset_id: String,
    pub(in crate::bus) epoch: u64,
    pub(in crate::bus) before: Standing,
    /// What is settled here above the offset is not sent, whatever the note says.
    pub(in crate::bus) after: Standing,
    /// The move that it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bus) undone: Option<Undone>,
    /// What may have been sent before this move and all those before it: a skip sends nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sent: Option<Standing>,
    pub(in crate::bus) time_ms: i64,
}

/// Where the group stood before a move that is taken back, and where that had put it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bus) struct Undone {
    before: Standing,
    moved_to: i64,
}

impl Moved {
    /// The move of a partition that stands at `before`; `last` = the move before this one, which may have been a try of the same
    /// reset that was not committed.
    pub(in crate::bus) fn by(
        (reset, epoch): (&ActiveReset, u64),
        (target, before): (i64, Standing),
        last: Option<&Self>,
    ) -> Self {
        let undone = match last {
            Some(last) if last.reset_id == reset.id => last.undone.clone(),
            Some(last) if reset.undoes.as_deref() == Some(&last.reset_id) => Some(Undone {
                before: last.before.clone(),
                moved_to: last.after.offset,
            }),
            _ => None,
        };
        let after = match &undone {
            Some(Undone {
                before: stood,
                moved_to,
            }) => stood.restored(*moved_to, &before),
            None => Standing::new(target, []),
        };
        Self {
            reset_id: reset.id.clone(),
            epoch,
            sent: Some(last.map_or_else(
                || Standing::new(before.top(), []),
                |last| last.sent_until(reset, &before),
            )),
            before,
            after,
            undone,
            time_ms: LogTime::now().0,
        }
    }

    /// What may have been sent by the time that another reset, or another try of this one, finds the group at `now`.
    fn sent_until(&self, reset: &ActiveReset, now: &Standing) -> Standing {
        let from = if self.reset_id == reset.id {
            &self.before
        } else {
            &self.after
        };
        let earlier = self.sent();
        let since = std::iter::once(from.offset..now.top());
        let sent = Standing::new(earlier.offset, earlier.settled.into_iter().chain(since));
        // Of more skips than that, the oldest count as sent: then events only say so wrongly.
        match sent.settled.len().checked_sub(MOST_SKIPS) {
            Some(more @ 1..) => Standing::new(sent.settled[more - 1].end, sent.settled),
            _ => sent,
        }
    }

    /// A move that an earlier version has written does not tell.
    fn sent(&self) -> Standing {
        let all = || Standing::new(self.before.top(), []);
        self.sent.clone().unwrap_or_else(all)
    }

    /// What stays settled of a partition whose note has this epoch. Where that is older, the move was tried and not committed:
    /// all that was settled before it still is.
    pub(in crate::bus) fn passed(&self, epoch: u64) -> &[Range<i64>] {
        match self.epoch.cmp(&epoch) {
            Ordering::Less => &[],
            Ordering::Equal => &self.after.settled,
            Ordering::Greater => &self.before.settled,
        }
    }

    /// Which events of a partition whose note has this epoch are sent again by the move.
    pub(in crate::bus) fn again(&self, epoch: u64) -> Option<Again> {
        (self.epoch == epoch).then(|| Again {
            reset_id: self.reset_id.as_str().into(),
            sent: self.sent(),
        })
    }
}

/// Events that a reset sends again.
#[derive(Clone, Debug)]
pub(in crate::bus) struct Again {
    pub(in crate::bus) reset_id: Arc<str>,
    sent: Standing,
}

impl Again {
    pub(in crate::bus) fn is_of(&self, offset: i64) -> bool {
        self.sent.has(offset)
    }
}

/// Under which key a partition's last move lies.
pub(in crate::bus) fn key(group: &Group, partition: &TopicPartition) -> String {
    format!("moved/{group}/{}/{}", partition.topic, partition.partition)
}

/// How the keys of all partitions of a group begin.
pub(in crate::bus) fn keys_of(group: &Group) -> String {
    format!("moved/{group}/")
}

impl Row for Moved {
    const TOPIC: &'static str = "tidings.control";
    const PREFIX: &'static str = "moved/";

    /// Of one reset there may be several tries: an owner may die before it commits, or return when it is none any more. What
    /// one knew to be settled is not forgotten for what another knows.
    fn supersedes(&self, known: &Self) -> bool {
        self.epoch > known.epoch || (self.epoch == known.epoch && self.before.covers(&known.before))
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8], _offset: i64) -> Result<Self> {
        let damaged = |error| Error::new(Reason::LogDamaged, format!("read a partition's move: {error}"));
        serde_json::from_slice(bytes).map_err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Topic;

    fn reset(id: &str, undoes: Option<&str>) -> ActiveReset {
        let topic = Topic::new("t").expect("valid");
        ActiveReset {
            id: id.to_owned(),
            request_id: String::new(),
            reason: String::new(),
            by: String::new(),
            accepted_ms: 0,
            undoes: undoes.map(str::to_owned),
            moves: vec![(TopicPartition { topic, partition: 0 }, 5)],
        }
    }

    #[test]
    fn a_try_that_was_not_committed_hides_nothing_that_was_settled_before_it() {
        let run = || std::iter::once(20..30);
        let first = Moved::by((&reset("a", None), 1), (5, Standing::new(10, run())), None);
        assert_eq!(first.after, Standing::new(5, []));
        let undo = Moved::by((&reset("b", Some("a")), 2), (0, Standing::new(7, [])), Some(&first));
        assert_eq!(undo.after, Standing::new(10, run()));
        // It was committed, its note has epoch 2; the next was tried and not committed.
        let tried = Moved::by((&reset("c", None), 3), (5, undo.after.clone()), Some(&undo));
        for moved in [&undo, &tried] {
            assert_eq!(moved.passed(2), run().collect::<Vec<_>>());
            assert!(moved.passed(4).is_empty());
        }
        assert!(undo.again(2).is_some_and(|again| again.is_of(6)) && tried.again(2).is_none());
    }

    #[test]
    fn what_a_reset_had_skipped_is_not_sent_again_by_its_undo() {
        let skip = Moved::by((&reset("a", None), 1), (20, Standing::new(10, [])), None);
        assert_eq!(
            [9, 10].map(|offset| skip.again(1).expect("moved").is_of(offset)),
            [true, false]
        );
        let undo = Moved::by((&reset("b", Some("a")), 2), (0, Standing::new(25, [])), Some(&skip));
        let again = undo.again(2).expect("moved");
        assert_eq!(
            [9, 10, 19, 20, 24, 25].map(|offset| again.is_of(offset)),
            [true, false, false, true, true, false]
        );
    }

    #[test]
    fn skips_are_remembered_up_to_a_number_and_the_oldest_count_as_sent() {
        let mut last: Option<Moved> = None;
        for number in 0..100 {
            let stood = number * 10;
            let skip = (stood + 9, Standing::new(stood + 1, []));
            last = Some(Moved::by((&reset(&number.to_string(), None), 1), skip, last.as_ref()));
        }
        let sent = last.expect("moved").sent();
        assert!(sent.settled.len() <= MOST_SKIPS);
        assert!(sent.has(5) && sent.has(990) && !sent.has(995));
    }

    #[test]
    fn what_was_sent_before_a_reset_is_sent_again_by_the_undo_of_its_undo() {
        let back = Moved::by((&reset("a", None), 1), (7, Standing::new(10, [])), None);
        let undo = Moved::by((&reset("b", Some("a")), 2), (0, Standing::new(7, [])), Some(&back));
        let undone = Moved::by((&reset("c", Some("b")), 3), (0, Standing::new(10, [])), Some(&undo));
        assert_eq!((undo.after.offset, undone.after.offset), (10, 7));
        let again = undone.again(3).expect("moved");
        assert_eq!([7, 9, 10].map(|offset| again.is_of(offset)), [true, true, false]);
    }

    #[test]
    fn an_undo_that_is_tried_again_is_still_one() {
        let first = Moved::by((&reset("a", None), 1), (5, Standing::new(10, [])), None);
        let by = |last: &Moved| Moved::by((&reset("b", Some("a")), 2), (0, Standing::new(7, [])), Some(last));
        let tried = by(&first);
        assert_eq!(by(&tried).after, tried.after);
        assert!(by(&tried).supersedes(&tried) && !first.supersedes(&tried));
    }
}
