//! Puts tracker, scheduler and the streams' ledgers together: arrivals and acks in, sendings and offsets to commit out.

mod alone;
mod below;
mod failing;
mod replaying;
mod turns;
mod views;

use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

use slab::Slab;

use self::{replaying::Outcome, turns::put};
use super::{
    Arrival, Credit, Doom, IdFault, IdRange, Ledger, Limits, PartitionId, Places, RetryPolicy, Sending, Settled,
    StreamId, Tries,
    entry::{Entry, Origin},
    partition::Partition,
    replay::Replay,
    scheduler::Scheduler,
    stream::{Out, Stream},
};

/// All partitions and streams that a group has on this replica.
#[derive(Debug)]
pub struct Dispatch<P> {
    limits: Limits,
    policy: RetryPolicy,
    partitions: Slab<Partition<P>>,
    scheduler: Scheduler<P>,
    streams: Slab<Stream>,
    /// Streams that may take an event, each once; the first is next.
    eligible: VecDeque<StreamId>,
    /// A stream was passed over for what others have.
    wants_room: bool,
    /// Beside the live events, if one runs.
    replay: Option<Box<Replay<P>>>,
}

impl<P> Dispatch<P> {
    pub fn new(limits: Limits, policy: RetryPolicy) -> Self {
        Self {
            limits,
            policy,
            partitions: Slab::new(),
            scheduler: Scheduler::default(),
            streams: Slab::new(),
            eligible: VecDeque::new(),
            wants_room: false,
            replay: None,
        }
    }

    /// A partition came, of which everything below `committed` is settled.
    pub fn assign(&mut self, committed: i64) -> PartitionId {
        self.resume(committed, &[], Vec::new())
    }

    /// A partition came, of which everything below `committed` is settled, and these runs of a note above it. They are not
    /// delivered again when they arrive; those of `tries` are, and go on counting there.
    pub fn resume(&mut self, committed: i64, settled: &[Range<i64>], tries: Vec<(i64, Tries)>) -> PartitionId {
        self.partitions.insert(Partition::new(committed, settled, tries))
    }

    /// A partition left: its events are forgotten, and acks of them are stale from now on.
    pub fn unassign(&mut self, id: PartitionId) {
        if self.partitions.try_remove(id).is_none() {
            return;
        }
        self.scheduler.drop_partition(id);
        for (_, stream) in &mut self.streams {
            let lost = stream.lose(id);
            if let Some(replay) = &mut self.replay {
                replay.out = replay.out.saturating_sub(lost);
            }
        }
        if let Some(replay) = &mut self.replay {
            replay.courses.remove(&id);
        }
        let streams: Vec<StreamId> = self.streams.iter().map(|(id, _)| id).collect();
        streams.into_iter().for_each(|id| self.list(id));
    }

    /// A partition is about to leave: nothing more of it is sent; what was sent may still be settled.
    pub fn retire(&mut self, id: PartitionId) {
        if let Some(partition) = self.partitions.get_mut(id) {
            partition.retire();
            if let Some(course) = self.replay.as_mut().and_then(|replay| replay.courses.get_mut(&id)) {
                course.partition.retire();
            }
            self.drop_unsent(id);
        }
    }

    /// Whether the partition should be read on.
    pub fn wants_more(&self, id: PartitionId) -> bool {
        self.partitions
            .get(id)
            .is_some_and(|partition| partition.wants_more(self.limits.window))
    }

    /// An event arrived; those of a partition arrive in order.
    pub fn arrive(&mut self, id: PartitionId, arrival: Arrival<P>) {
        if let Some(partition) = self.partitions.get_mut(id) {
            partition.push(arrival);
            self.admit(id);
        }
    }

    /// There are no records up to `next` (exclusive).
    pub fn skip_to(&mut self, id: PartitionId, next: i64) {
        if let Some(partition) = self.partitions.get_mut(id) {
            partition.push_hole(next);
            self.admit(id);
        }
    }

    /// A stream came. It may have an event for as long as its lease; `None` = for ever.
    pub fn join(&mut self, ledger: Ledger, lease: Option<Duration>, id_prefix: u32) -> StreamId {
        let id = self.streams.insert(Stream::new(ledger, lease, id_prefix));
        self.list(id);
        id
    }

    /// A stream left: what it had goes to others, before other events.
    pub fn leave(&mut self, id: StreamId) {
        self.surrender(id);
        self.streams.try_remove(id);
        self.eligible.retain(|listed| *listed != id);
    }

    /// A stream gives up what it has, to others and before other events, and takes no more.
    pub fn surrender(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        let mut out = stream.surrender();
        while let Some(out) = out.pop() {
            self.landed(out);
            self.scheduler.release(out.entry);
            self.forget_if_retired(out.partition);
        }
    }

    /// No more events for this stream; it may still settle what it has.
    pub fn close(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.closed = true;
        }
    }

    pub fn grant(&mut self, id: StreamId, credit: Credit) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.ledger.grant(credit);
            self.list(id);
        }
    }

    /// The stream's outbox takes more.
    pub fn has_room(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.has_room = true;
            self.list(id);
        }
    }

    /// The stream's outbox takes no more for now.
    pub fn no_room(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.has_room = false;
        }
    }

    /// Sends what may be sent, each event to the next stream that may take one. `send` answers whether the stream's outbox
    /// takes more.
    pub fn pump(&mut self, now: Instant, mut send: impl FnMut(StreamId, Sending<'_, P>) -> bool) {
        self.scheduler.wake(now);
        self.pump_alone(now, &mut send);
        self.pump_share(now, &mut send);
        while let Some(avoid) = self.scheduler.peek().map(|entry| entry.avoid) {
            let Some(id) = self.next_eligible(avoid) else { break };
            let Some((entry_id, entry)) = self.scheduler.send_next(now) else {
                break;
            };
            let stream = &mut self.streams[id];
            let (partition, sending) = put(stream, (entry_id, entry), now, false);
            stream.has_room = send(id, sending);
            self.partitions[partition].in_flight += 1;
            self.list(id);
            if self.replay.is_some() {
                self.share_with_replay(id, now, &mut send);
            }
        }
        self.pump_rest(now, &mut send);
    }

    /// These are done. `places` asks for the places of what was settled.
    pub fn ack(&mut self, id: StreamId, ranges: &[IdRange], places: Places) -> Settled {
        let (taken, faults) = self.take(id, ranges);
        let mut settled = Settled {
            count: taken.len(),
            faults,
            ..Settled::default()
        };
        for (delivery, out) in taken {
            let Some(entry) = self.scheduler.done(out.entry) else {
                continue;
            };
            let Some(partition) = self.partitions.get_mut(out.partition) else {
                continue;
            };
            match entry.origin {
                Origin::Topic => partition.settle(entry.arrival.offset),
                Origin::Letter(letter) => settled.letters.push(letter),
                Origin::Replay(_) => self.replayed_settled(&entry, Outcome::Acked),
            }
            if places == Places::Wanted {
                settled.places.push((out.partition, entry.arrival.offset, delivery));
            }
            self.admit(out.partition);
        }
        settled
    }

    /// These ids were never written to the stream after all.
    pub fn recall(&mut self, id: StreamId, ids: impl DoubleEndedIterator<Item = u64>) {
        for delivery in ids.rev() {
            let Some(stream) = self.streams.get_mut(id) else { return };
            let Some(out) = stream.unsend(delivery) else { continue };
            self.landed(out);
            if out.is_replayed {
                self.replayed_unsent(out.partition);
            }
            self.scheduler.unsend(out.entry);
            self.forget_if_retired(out.partition);
        }
    }

    /// Lets into the scheduler what fits into the window.
    fn admit(&mut self, id: PartitionId) {
        let (window, policy, scheduler) = (self.limits.window, &self.policy, &mut self.scheduler);
        if let Some(partition) = self.partitions.get_mut(id) {
            partition.admit(window, |mut arrival, tries| {
                let doom = || Some(Box::new(Doom::of(policy.verdict(&tries)?)));
                arrival.doom = arrival.doom.take().or_else(doom);
                scheduler.arrive(Entry::new(id, arrival, tries));
            });
        }
    }

    fn take(&mut self, id: StreamId, ranges: &[IdRange]) -> (Vec<(u64, Out)>, Vec<IdFault>) {
        let Some(stream) = self.streams.get_mut(id) else {
            return (Vec::new(), Vec::new());
        };
        let (taken, faults) = stream.take(ranges);
        for (_, out) in &taken {
            self.landed(*out);
        }
        self.list(id);
        (taken, faults)
    }

    fn forget_if_retired(&mut self, id: PartitionId) {
        if self.partitions.get(id).is_some_and(Partition::is_retired) {
            self.drop_unsent(id);
        }
    }

    /// Forgets the events of a partition that are not busy now; what happened to them is still noted.
    fn drop_unsent(&mut self, id: PartitionId) {
        let idle = self.scheduler.troubled(id).filter(|entry| !entry.out);
        let tries: Vec<_> = idle.map(|entry| (entry.arrival.offset, entry.tries)).collect();
        if let Some(partition) = self.partitions.get_mut(id) {
            partition.keep_tries(tries);
        }
        self.scheduler.drop_unsent(id);
    }

    /// The event is no longer on any stream.
    fn landed(&mut self, out: Out) {
        if let Some(partition) = self.partitions.get_mut(out.partition) {
            partition.in_flight = partition.in_flight.saturating_sub(1);
        }
        if out.is_replayed
            && let Some(replay) = &mut self.replay
        {
            replay.out = replay.out.saturating_sub(1);
        }
    }
}

#[cfg(test)]
#[path = "dispatch/tests.rs"]
mod tests;
