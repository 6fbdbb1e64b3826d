//! Puts tracker, scheduler and the streams' ledgers together: arrivals and acks in, sendings and offsets to commit out.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use slab::Slab;

use super::{
    Arrival, Credit, IdFault, IdRange, Ledger,
    scheduler::Scheduler,
    stream::{Out, Stream},
    tracker::Tracker,
};

pub type PartitionId = usize;
pub type StreamId = usize;

/// Bounds of a group's state.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most offsets between a partition's committed one and the last that is being delivered.
    pub window: i64,
}

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

#[derive(Debug)]
struct Partition<P> {
    tracker: Tracker,
    /// What arrived and does not fit into the window yet.
    backlog: VecDeque<Pending<P>>,
    in_flight: usize,
    /// It is about to leave.
    retired: bool,
}

#[derive(Debug)]
enum Pending<P> {
    Event(Arrival<P>),
    /// No record up to this offset.
    Hole(i64),
}

/// One event on its way to one stream.
#[derive(Debug)]
pub struct Sending<'a, P> {
    pub id: u64,
    pub partition: PartitionId,
    pub attempt: u32,
    pub failures: u32,
    pub payload: &'a P,
}

/// What an ack or nack did.
#[derive(Debug, Default)]
pub struct Settled {
    /// How many events it settled.
    pub count: usize,
    pub faults: Vec<IdFault>,
    /// Their places; only where asked for.
    pub places: Vec<(PartitionId, i64)>,
}

/// Where a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionView {
    pub committed: i64,
    pub next: i64,
    pub settled_above: i64,
    pub in_flight: usize,
}

/// The event that was first sent longest ago and is not settled.
#[derive(Clone, Copy, Debug)]
pub struct Oldest {
    pub partition: PartitionId,
    pub offset: i64,
    pub first_sent: Instant,
    pub key_hash: u64,
    pub attempt: u32,
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
        self.partitions.insert(Partition {
            tracker: Tracker::new(committed),
            backlog: VecDeque::new(),
            in_flight: 0,
            retired: false,
        })
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
    }

    /// A partition is about to leave: nothing more of it is sent; what was sent may still be settled.
    pub fn retire(&mut self, id: PartitionId) {
        if let Some(partition) = self.partitions.get_mut(id) {
            partition.backlog.clear();
            partition.retired = true;
            self.scheduler.drop_unsent(id);
        }
    }

    /// Whether the partition should be read on.
    pub fn wants_more(&self, id: PartitionId) -> bool {
        self.partitions
            .get(id)
            .is_some_and(|partition| partition.backlog.is_empty() && partition.tracker.span() < self.limits.window)
    }

    /// An event arrived; those of a partition arrive in order.
    pub fn arrive(&mut self, id: PartitionId, arrival: Arrival<P>) {
        if let Some(partition) = self.partitions.get_mut(id).filter(|partition| !partition.retired) {
            partition.backlog.push_back(Pending::Event(arrival));
            self.admit(id);
        }
    }

    /// There are no records up to `next` (exclusive).
    pub fn skip_to(&mut self, id: PartitionId, next: i64) {
        if let Some(partition) = self.partitions.get_mut(id).filter(|partition| !partition.retired) {
            partition.backlog.push_back(Pending::Hole(next));
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
        for out in taken {
            let Some(entry) = self.scheduler.done(out.entry) else {
                continue;
            };
            let Some(partition) = self.partitions.get_mut(out.partition) else {
                continue;
            };
            partition.tracker.settle(entry.arrival.offset);
            if places == Places::Wanted {
                settled.places.push((out.partition, entry.arrival.offset));
            }
            if !partition.backlog.is_empty() {
                self.admit(out.partition);
            }
        }
        settled
    }

    /// These failed, and go again when `due` comes.
    pub fn nack(&mut self, id: StreamId, ranges: &[IdRange], due: Instant) -> Settled {
        let (taken, faults) = self.take(id, ranges);
        for out in &taken {
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
        }
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.scheduler.next_due()
    }

    pub fn partition(&self, id: PartitionId) -> Option<PartitionView> {
        self.partitions.get(id).map(|partition| PartitionView {
            committed: partition.tracker.committed(),
            next: partition.tracker.next(),
            settled_above: partition.tracker.settled_above(),
            in_flight: partition.in_flight,
        })
    }

    /// Events and bytes that the stream has and has not settled.
    pub fn outstanding(&self, id: StreamId) -> (usize, i64) {
        self.streams.get(id).map_or((0, 0), Stream::held)
    }

    pub fn credit_left(&self, id: StreamId) -> Credit {
        self.streams
            .get(id)
            .map(|stream| stream.ledger.left())
            .unwrap_or_default()
    }

    /// Whether events are ready that no stream takes.
    pub fn has_ready(&self) -> bool {
        self.scheduler.has_ready()
    }

    /// Whether another stream than this one could take an event now.
    pub fn others_eligible(&self, id: StreamId) -> bool {
        self.eligible.iter().any(|other| *other != id)
    }

    pub fn oldest(&self) -> Option<Oldest> {
        self.scheduler.oldest_sent().map(|entry| Oldest {
            partition: entry.partition,
            offset: entry.arrival.offset,
            first_sent: entry.first_sent.unwrap_or_else(Instant::now),
            key_hash: entry.arrival.key.unwrap_or(0),
            attempt: entry.attempt,
        })
    }

    /// Lets into the scheduler what fits into the window.
    fn admit(&mut self, id: PartitionId) {
        let Some(partition) = self.partitions.get_mut(id) else {
            return;
        };
        while partition.tracker.span() < self.limits.window {
            match partition.backlog.pop_front() {
                Some(Pending::Hole(next)) => partition.tracker.skip_to(next),
                Some(Pending::Event(arrival)) => {
                    if partition.tracker.arrive(arrival.offset) {
                        self.scheduler.arrive(id, arrival);
                    }
                }
                None => break,
            }
        }
    }

    fn take(&mut self, id: StreamId, ranges: &[IdRange]) -> (Vec<Out>, Vec<IdFault>) {
        let Some(stream) = self.streams.get_mut(id) else {
            return (Vec::new(), Vec::new());
        };
        let (taken, faults) = stream.take(ranges);
        for out in &taken {
            self.landed(*out);
        }
        self.list(id);
        (taken, faults)
    }

    fn forget_if_retired(&mut self, id: PartitionId) {
        if self.partitions.get(id).is_some_and(|partition| partition.retired) {
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

/// Whether an ack should tell where the events it settled lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    Wanted,
    Unwanted,
}

/// How long an event has been out.
impl Oldest {
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.first_sent)
    }
}

#[cfg(test)]
#[path = "dispatch/tests.rs"]
mod tests;
