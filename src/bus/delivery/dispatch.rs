//! Puts tracker, scheduler and the streams' ledgers together: arrivals and acks in, sendings and offsets to commit out.

use std::{collections::VecDeque, ops::Range, time::Instant};

use slab::Slab;

use super::{
    Arrival, Credit, IdFault, IdRange, Ledger, Limits, PartitionId, Places, Sending, Settled, StreamId,
    partition::Partition,
    scheduler::Scheduler,
    stream::{Out, Stream},
};

/// All partitions and streams that a group has on this replica.
#[derive(Debug)]
pub struct Dispatch<P> {
    limits: Limits,
    partitions: Slab<Partition<P>>,
    scheduler: Scheduler<P>,
    streams: Slab<Stream>,
    /// Streams that may take an event, each once; the first is next.
    eligible: VecDeque<StreamId>,
}

impl<P> Dispatch<P> {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            partitions: Slab::new(),
            scheduler: Scheduler::default(),
            streams: Slab::new(),
            eligible: VecDeque::new(),
        }
    }

    /// A partition came, of which everything below `committed` is settled.
    pub fn assign(&mut self, committed: i64) -> PartitionId {
        self.resume(committed, &[])
    }

    /// A partition came, of which everything below `committed` is settled, and these runs of a note above it. They are not
    /// delivered again when they arrive.
    pub fn resume(&mut self, committed: i64, settled: &[Range<i64>]) -> PartitionId {
        self.partitions.insert(Partition::new(committed, settled))
    }

    /// A partition left: its events are forgotten, and acks of them are stale from now on.
    pub fn unassign(&mut self, id: PartitionId) {
        if self.partitions.try_remove(id).is_none() {
            return;
        }
        self.scheduler.drop_partition(id);
        for (_, stream) in &mut self.streams {
            stream.lose(id);
        }
        let streams: Vec<StreamId> = self.streams.iter().map(|(id, _)| id).collect();
        streams.into_iter().for_each(|id| self.list(id));
    }

    /// A partition is about to leave: nothing more of it is sent; what was sent may still be settled.
    pub fn retire(&mut self, id: PartitionId) {
        if let Some(partition) = self.partitions.get_mut(id) {
            partition.retire();
            self.scheduler.drop_unsent(id);
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

    /// A stream came.
    pub fn join(&mut self, ledger: Ledger, id_prefix: u32) -> StreamId {
        let id = self.streams.insert(Stream::new(ledger, id_prefix));
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
        while self.scheduler.has_ready() {
            let Some(id) = self.next_eligible() else { break };
            let Some((entry_id, entry)) = self.scheduler.send_next(now) else {
                break;
            };
            let stream = &mut self.streams[id];
            let out = Out {
                entry: entry_id,
                partition: entry.partition,
                size: entry.arrival.size,
            };
            let sending = Sending {
                id: stream.send(out),
                partition: entry.partition,
                attempt: entry.attempt,
                failures: entry.failures,
                payload: &entry.arrival.payload,
            };
            stream.has_room = send(id, sending);
            self.partitions[out.partition].in_flight += 1;
            self.list(id);
        }
    }

    /// These are done. `places` asks for the places of what was settled.
    pub fn ack(&mut self, id: StreamId, ranges: &[IdRange], places: Places) -> Settled {
        let (taken, faults) = self.take(id, ranges);
        let mut settled = Settled {
            count: taken.len(),
            faults,
            places: Vec::new(),
        };
        for (delivery, out) in taken {
            let Some(entry) = self.scheduler.done(out.entry) else {
                continue;
            };
            let Some(partition) = self.partitions.get_mut(out.partition) else {
                continue;
            };
            partition.tracker.settle(entry.arrival.offset);
            if places == Places::Wanted {
                settled.places.push((out.partition, entry.arrival.offset, delivery));
            }
            self.admit(out.partition);
        }
        settled
    }

    /// These failed, and go again when `due` comes.
    pub fn nack(&mut self, id: StreamId, ranges: &[IdRange], due: Instant) -> Settled {
        let (taken, faults) = self.take(id, ranges);
        for (_, out) in &taken {
            self.scheduler.retry(out.entry, due);
            self.forget_if_retired(out.partition);
        }
        Settled {
            count: taken.len(),
            faults,
            places: Vec::new(),
        }
    }

    /// These ids were never written to the stream after all.
    pub fn recall(&mut self, id: StreamId, ids: impl DoubleEndedIterator<Item = u64>) {
        for delivery in ids.rev() {
            let Some(stream) = self.streams.get_mut(id) else { return };
            let Some(out) = stream.unsend(delivery) else { continue };
            self.landed(out);
            self.scheduler.unsend(out.entry);
            self.forget_if_retired(out.partition);
        }
    }

    /// Lets into the scheduler what fits into the window.
    fn admit(&mut self, id: PartitionId) {
        let (window, scheduler) = (self.limits.window, &mut self.scheduler);
        if let Some(partition) = self.partitions.get_mut(id) {
            partition.admit(window, |arrival| scheduler.arrive(id, arrival));
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
            self.scheduler.drop_unsent(id);
        }
    }

    /// The event is no longer on any stream.
    fn landed(&mut self, out: Out) {
        if let Some(partition) = self.partitions.get_mut(out.partition) {
            partition.in_flight = partition.in_flight.saturating_sub(1);
        }
    }

    fn next_eligible(&mut self) -> Option<StreamId> {
        while let Some(id) = self.eligible.pop_front() {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.listed = false;
                if stream.may_take() {
                    return Some(id);
                }
            }
        }
        None
    }

    fn list(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id)
            && stream.may_take()
            && !stream.listed
        {
            stream.listed = true;
            self.eligible.push_back(id);
        }
    }
}

mod views;

#[cfg(test)]
#[path = "dispatch/tests.rs"]
mod tests;
