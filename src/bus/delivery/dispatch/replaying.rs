//! A replay beside the live events: what of it goes to which stream, and what becomes of it. It moves no offset of the group.

use std::{ops::Range, time::Instant};

use super::{Dispatch, put};
use crate::bus::delivery::{
    Arrival, IdRange, PartitionId, Sending, StreamId,
    entry::{Entry, EntryId, Origin},
    replay::{Counts, Course, CourseView, Live, Replay, WINDOW},
};

/// What became of a replayed event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Acked,
    Failed,
    PassedOver,
}

impl<P> Dispatch<P> {
    /// A replay begins; of one before it nothing more is sent, and nothing counts.
    pub fn start_replay(&mut self, number: u64, now: Instant) {
        self.scheduler.start_replay(number);
        let out = self.replay.as_ref().map_or(0, |before| before.out);
        let mut replay = Replay::new(number, now);
        replay.out = out;
        self.replay = Some(Box::new(replay));
    }

    /// Nothing more of the replay is sent; what was sent may still be settled.
    pub fn stop_replay(&mut self) {
        self.scheduler.stop_replay();
        if let Some(replay) = &mut self.replay {
            replay.is_stopped = true;
            replay.courses.values_mut().for_each(|course| course.partition.retire());
        }
    }

    /// Forgets a replay that was stopped, once nothing of it is out. Whether there is none any more.
    pub fn forget_replay(&mut self) -> bool {
        self.replay.take_if(|replay| replay.is_stopped && replay.out == 0);
        self.replay.is_none()
    }

    /// The replay goes on in a partition: everything below `next` is settled, and these runs above it.
    pub fn resume_replay(&mut self, id: PartitionId, next: i64, (settled, counts): (&[Range<i64>], Counts)) {
        if let Some(replay) = &mut self.replay {
            replay.courses.insert(id, Course::resume(next, settled, counts));
        }
    }

    /// A past event arrived; those of a partition arrive in order. One that is not to be sent at all has failed.
    pub fn replay_arrives(&mut self, id: PartitionId, arrival: Arrival<P>) {
        if let Some(course) = self.course_mut(id) {
            course.partition.push(arrival);
            self.admit_replayed(id);
        }
    }

    /// There is nothing to replay up to `next` (exclusive). `count` notes why.
    pub fn replay_skips_to(&mut self, id: PartitionId, next: i64, count: impl FnOnce(&mut Counts)) {
        if let Some(course) = self.course_mut(id) {
            count(&mut course.counts);
            course.partition.version += 1;
            course.partition.push_hole(next);
            self.admit_replayed(id);
        }
    }

    /// Whether more of the partition should be read for the replay.
    pub fn replay_wants_more(&self, id: PartitionId) -> bool {
        let replay = self.replay.as_ref().filter(|replay| !replay.is_stopped);
        let course = replay.and_then(|replay| replay.courses.get(&id));
        course.is_some_and(|course| course.partition.wants_more(WINDOW))
    }

    /// How far the replay has come.
    pub fn course(&self, id: PartitionId) -> Option<CourseView> {
        Some(self.replay.as_ref()?.courses.get(&id)?.view())
    }

    /// Changes with what `course` tells.
    pub fn course_version(&self, id: PartitionId) -> Option<(i64, u64)> {
        let partition = &self.replay.as_ref()?.courses.get(&id)?.partition;
        Some((partition.tracker.committed(), partition.version))
    }

    /// So many events a second from now on, `None` = as many as can be; and whether live events want the streams.
    pub fn pace_replay(&mut self, per_second: Option<f64>, now: Instant) {
        if let Some(replay) = &mut self.replay {
            replay.pace.set(per_second, now);
        }
    }

    /// Whether live events want the streams, as far as it is not seen from what has arrived.
    pub fn weigh_replay(&mut self, live: Live) {
        if let Some(replay) = &mut self.replay {
            replay.live = live;
        }
    }

    /// Whether this id is one of a replayed event that is not settled.
    pub fn is_replayed(&self, id: StreamId, range: IdRange) -> bool {
        self.streams.get(id).is_some_and(|stream| stream.is_replayed(range))
    }

    /// When the replay's pace lets its next event go.
    pub(super) fn replay_due(&self) -> Option<Instant> {
        let replay = self.replay.as_ref().filter(|_| self.scheduler.has_replayed())?;
        replay.pace.due()
    }

    /// Before live events: on each stream as much as a replay has of it at any time.
    pub(super) fn pump_share(&mut self, now: Instant, send: &mut impl FnMut(StreamId, Sending<'_, P>) -> bool) {
        if self.replay.is_none() || !self.scheduler.has_replayed() {
            return;
        }
        for index in 0..self.eligible.len() {
            let Some(id) = self
                .eligible
                .get(index)
                .copied()
                .filter(|_| self.next_replayed(now).is_some())
            else {
                return;
            };
            self.share_with_replay(id, now, send);
        }
    }

    /// What a replay has of a stream while live events wait: one event after each nine live ones, and a tenth of the credit.
    pub(super) fn share_with_replay(
        &mut self,
        id: StreamId,
        now: Instant,
        send: &mut impl FnMut(StreamId, Sending<'_, P>) -> bool,
    ) {
        while self.streams.get(id).is_some_and(super::Stream::owes_replay) {
            let Some(avoid) = self.next_replayed(now) else { return };
            if avoid == Some(id) && self.others_eligible(id) {
                return;
            }
            self.send_replayed(id, now, send);
        }
    }

    /// After live events: whatever streams still take, if no live event wants it.
    pub(super) fn pump_rest(&mut self, now: Instant, send: &mut impl FnMut(StreamId, Sending<'_, P>) -> bool) {
        let is_free = |replay: &Replay<P>| replay.live == Live::CaughtUp;
        if self.scheduler.ready() > 0 || !self.replay.as_deref().is_some_and(is_free) {
            return;
        }
        while let Some(avoid) = self.next_replayed(now) {
            let Some(id) = self.next_eligible(avoid) else { return };
            self.send_replayed(id, now, send);
            self.list(id);
        }
    }

    /// The stream that the next replayed event should avoid, if there is such an event and it may go now.
    fn next_replayed(&mut self, now: Instant) -> Option<Option<StreamId>> {
        let replay = self.replay.as_mut()?;
        if !replay.pace.allows(now) {
            return None;
        }
        while self.scheduler.peek_replayed().is_none() {
            if !self.pass_over() {
                return None;
            }
        }
        Some(self.scheduler.peek_replayed()?.avoid)
    }

    fn send_replayed(&mut self, id: StreamId, now: Instant, send: &mut impl FnMut(StreamId, Sending<'_, P>) -> bool) {
        let stream = &mut self.streams[id];
        let Some(next) = self.scheduler.send_next_replayed(now) else {
            return;
        };
        let (partition, sending) = put(stream, next, now, false);
        stream.has_room = send(id, sending);
        self.partitions[partition].in_flight += 1;
        self.replayed_sent(partition);
    }

    /// A replayed event is on a stream now.
    pub(super) fn replayed_sent(&mut self, id: PartitionId) {
        let Some(replay) = &mut self.replay else { return };
        replay.pace.spend();
        replay.out += 1;
        if let Some(course) = replay.courses.get_mut(&id) {
            course.counts.sent += 1;
        }
    }

    /// A replayed event was not written to its stream after all.
    pub(super) fn replayed_unsent(&mut self, id: PartitionId) {
        let Some(replay) = &mut self.replay else { return };
        replay.pace.refund();
        if let Some(course) = replay.courses.get_mut(&id) {
            course.counts.sent = course.counts.sent.saturating_sub(1);
        }
    }

    /// A replayed event is given up: it is no dead letter, as it may well have been handled when it was live.
    pub(super) fn give_up(&mut self, id: EntryId, outcome: Outcome) {
        if let Some(entry) = self.scheduler.done(id) {
            self.replayed_settled(&entry, outcome);
        }
    }

    /// Events of quarantined keys are not sent: they come when their dead letters are redriven. Whether there were some.
    pub(super) fn pass_over(&mut self) -> bool {
        let mut any = false;
        while let Some(id) = self.scheduler.next_passed_over() {
            self.give_up(id, Outcome::PassedOver);
            any = true;
        }
        if let Some(replay) = &mut self.replay {
            replay.has_passed_over |= any;
        }
        any
    }

    /// Whether events were passed over since this was asked last.
    pub fn has_passed_over(&mut self) -> bool {
        let replay = self.replay.as_mut();
        replay.is_some_and(|replay| std::mem::take(&mut replay.has_passed_over))
    }

    pub(super) fn replayed_settled(&mut self, entry: &Entry<P>, outcome: Outcome) {
        let number = entry.replay();
        let replay = self.replay.as_mut().filter(|replay| Some(replay.number) == number);
        let Some(course) = replay.and_then(|replay| replay.courses.get_mut(&entry.partition)) else {
            return;
        };
        course.partition.settle(entry.arrival.offset);
        let count = match outcome {
            Outcome::Acked => &mut course.counts.acked,
            Outcome::Failed => &mut course.counts.failed,
            Outcome::PassedOver => &mut course.counts.passed_over,
        };
        *count += 1;
        self.admit_replayed(entry.partition);
    }

    /// Lets into the scheduler what fits into the replay's window.
    fn admit_replayed(&mut self, id: PartitionId) {
        let Some(replay) = &mut self.replay else { return };
        let (number, scheduler) = (replay.number, &mut self.scheduler);
        let Some(Course { partition, counts }) = replay.courses.get_mut(&id) else {
            return;
        };
        let mut unwanted = Vec::new();
        partition.admit(WINDOW, |arrival, tries| {
            if arrival.doom.is_some() {
                return unwanted.push(arrival.offset);
            }
            let mut entry = Entry::new(id, arrival, tries);
            entry.origin = Origin::Replay(number);
            scheduler.replay(entry);
        });
        counts.failed += unwanted.len() as u64;
        let has_settled = !unwanted.is_empty();
        unwanted.into_iter().for_each(|offset| partition.settle(offset));
        if has_settled {
            // What waited for the window may fit now.
            self.admit_replayed(id);
        }
    }

    fn course_mut(&mut self, id: PartitionId) -> Option<&mut Course<P>> {
        let replay = self.replay.as_mut().filter(|replay| !replay.is_stopped)?;
        replay.courses.get_mut(&id)
    }
}
