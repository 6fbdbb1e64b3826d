//! Looking at the dispatcher: where partitions and streams stand.

use std::{ops::Range, time::Instant};

use rustc_hash::FxHashMap;

use super::{Dispatch, Stream};
use crate::bus::delivery::{
    Credit, Oldest, PartitionId, PartitionView, StreamId, Tries, entry::Entry, partition::Partition,
};

impl<P> Dispatch<P> {
    /// Those of all events that are not settled, sent or not.
    pub fn payloads(&mut self) -> impl Iterator<Item = &mut P> {
        let waiting = self
            .partitions
            .iter_mut()
            .flat_map(|(_, partition)| partition.payloads());
        let courses = self.replay.iter_mut().flat_map(|replay| replay.courses.values_mut());
        let replayed = courses.flat_map(|course| course.partition.payloads());
        self.scheduler.payloads().chain(waiting).chain(replayed)
    }

    /// When the first delayed event may go.
    pub fn next_due(&self) -> Option<Instant> {
        self.scheduler.next_due().into_iter().chain(self.replay_due()).min()
    }

    /// What happened to events of the partition that are not settled, where something did; by offset.
    pub fn tries(&self, id: PartitionId) -> Vec<(i64, Tries)> {
        let arrived = self
            .scheduler
            .troubled(id)
            .map(|entry| (entry.arrival.offset, entry.tries));
        let mut all: Vec<_> = arrived.collect();
        all.extend(self.partitions.get(id).into_iter().flat_map(Partition::tries));
        all
    }

    pub fn partition(&self, id: PartitionId) -> Option<PartitionView> {
        self.partitions.get(id).map(Partition::view)
    }

    /// What is settled above the partition's committed offset, for the commit's note.
    pub fn settled_runs(&self, id: PartitionId) -> Vec<Range<i64>> {
        self.partitions
            .get(id)
            .map(|partition| partition.tracker.runs().collect())
            .unwrap_or_default()
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

    /// Whether an event waits to become a dead letter.
    pub fn has_doomed(&self) -> bool {
        self.scheduler.has_doomed()
    }

    /// How many events could be sent now.
    pub fn ready(&self) -> usize {
        self.scheduler.ready()
    }

    /// Whether events are ready that no stream takes.
    pub fn has_ready(&self) -> bool {
        self.ready() > 0
    }

    /// Whether an event was never sent: no stream takes it, or it waits for one of its key.
    pub fn has_unsent(&self) -> bool {
        self.scheduler.has_unsent()
    }

    /// Whether another stream than this one could take an event now.
    pub fn others_eligible(&self, id: StreamId) -> bool {
        self.eligible.iter().any(|other| *other != id)
    }

    pub fn oldest(&self) -> Option<Oldest> {
        self.scheduler.oldest_sent().map(oldest)
    }

    /// Of each partition that has one. It looks at all events that are not settled.
    pub fn oldest_of_each(&self) -> FxHashMap<PartitionId, Oldest> {
        let each = self.scheduler.oldest_sent_of_each().into_values();
        each.map(|entry| (entry.partition, oldest(entry))).collect()
    }
}

fn oldest<P>(entry: &Entry<P>) -> Oldest {
    Oldest {
        partition: entry.partition,
        offset: entry.arrival.offset,
        first_sent: entry.first_sent.unwrap_or_else(Instant::now),
        key_hash: entry.arrival.key.unwrap_or(0),
        attempt: entry.tries.attempt,
    }
}
