//! A partition that this replica has of a group.

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::Payload;
use crate::{
    bus::{feed::FeedReader, notes::Remembered, resets::Again},
    log::{LogTime, Release, TopicPartition},
};

/// A partition that this replica has.
pub(super) struct Owned {
    pub(super) partition: Arc<TopicPartition>,
    pub(super) serial: u64,
    /// Of the last reset that moved it.
    pub(super) epoch: u64,
    /// Settled before that, and to stay so: in order.
    pub(super) passed: Vec<Range<i64>>,
    /// What it sends again.
    pub(super) again: Option<Again>,
    /// What the log has as committed.
    pub(super) durable: i64,
    /// The version of what it knows above that, in the note.
    pub(super) noted: u64,
    /// Commit even if nothing was acked: reading began behind a gap.
    pub(super) must_commit: bool,
    pub(super) end: i64,
    /// The task's version when its progress last changed.
    pub(super) changed: u64,
    /// The first offset and time of each batch that has unsettled events, oldest first.
    pub(super) times: VecDeque<(i64, LogTime)>,
    /// A reader that waits until there is room.
    pub(super) parked: Option<FeedReader>,
    /// It moves to another replica: what is in flight may be acked until then.
    pub(super) releasing: Option<(Option<Arc<Release>>, Instant)>,
    pub(super) stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Owned {
    pub(super) fn new(partition: &TopicPartition, serial: u64, remembered: &Remembered) -> Self {
        let stop = CancellationToken::new();
        Self {
            partition: Arc::new(partition.clone()),
            serial,
            epoch: remembered.epoch,
            passed: remembered.passed.clone(),
            again: remembered.again.clone(),
            durable: 0,
            noted: 0,
            must_commit: false,
            end: 0,
            changed: 0,
            times: VecDeque::new(),
            parked: None,
            releasing: None,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        }
    }

    /// Settled before a reset put the group below it, and to stay so.
    pub(super) fn is_passed(&self, offset: i64) -> bool {
        let at = self.passed.partition_point(|run| run.end <= offset);
        self.passed.get(at).is_some_and(|run| run.start <= offset)
    }

    /// The reset that an event is sent again by; `None` = it is sent as ever.
    pub(super) fn reset_of(&self, event: &Payload) -> Option<Arc<str>> {
        let again = self.again.as_ref()?;
        let is_again = event.is_live() && again.is_of(event.item().offset);
        is_again.then(|| Arc::clone(&again.reset_id))
    }

    /// About when the event at an offset, the first that is not settled, was written; `None` = not known.
    pub(super) fn time_at(&self, offset: i64) -> Option<LogTime> {
        let at_or_before = self.times.iter().rev().find(|(first, _)| *first <= offset);
        at_or_before.or(self.times.front()).map(|(_, time)| *time)
    }

    pub(super) fn is_releasing(&self) -> bool {
        self.releasing.is_some()
    }
}
