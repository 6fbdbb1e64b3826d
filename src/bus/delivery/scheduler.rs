//! The key scheduler: which event may go next, so that events of one key go one after the other.
//!
//! ```text
//!              ┌────────── lane of key k ──────────┐
//! arrive ────▶ │ one event ahead │ waiting, in order │   ahead: ready → out → (done | delayed → ready)
//!              └─────────────────┴──────────────────┘   done lets the next of the lane go ahead
//! ```

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque, hash_map},
    time::Instant,
};

use rustc_hash::FxHashMap;
use slab::Slab;

use super::PartitionId;

/// An event that arrived. `key` is a hash; events with the same one are sent in order (a collision only costs speed).
#[derive(Clone, Debug)]
pub struct Arrival<P> {
    pub offset: i64,
    pub key: Option<u64>,
    pub size: u32,
    pub payload: P,
}

pub(super) type EntryId = usize;

/// An event that is not settled.
#[derive(Clone, Debug)]
pub(super) struct Entry<P> {
    pub(super) partition: PartitionId,
    pub(super) arrival: Arrival<P>,
    /// How often it was sent.
    pub(super) attempt: u32,
    /// How often it was nacked.
    pub(super) failures: u32,
    pub(super) first_sent: Option<Instant>,
    /// It is on a stream now.
    out: bool,
    lane: Option<LaneKey>,
}

type LaneKey = (PartitionId, u64);

/// Events that wait behind one of the same key.
type Lane = VecDeque<EntryId>;

#[derive(Debug)]
pub(super) struct Scheduler<P> {
    entries: Slab<Entry<P>>,
    lanes: FxHashMap<LaneKey, Lane>,
    ready: VecDeque<EntryId>,
    /// How many were never sent.
    unsent: usize,
    delayed: BinaryHeap<Reverse<(Instant, EntryId)>>,
}

impl<P> Default for Scheduler<P> {
    fn default() -> Self {
        Self {
            entries: Slab::new(),
            lanes: FxHashMap::default(),
            ready: VecDeque::new(),
            unsent: 0,
            delayed: BinaryHeap::new(),
        }
    }
}

impl<P> Scheduler<P> {
    #[cfg(test)]
    fn get(&self, id: EntryId) -> Option<&Entry<P>> {
        self.entries.get(id)
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether an event was never sent: it has no stream yet, or waits for one of its key.
    pub(super) fn has_unsent(&self) -> bool {
        self.unsent > 0
    }

    /// When the first delayed event may go.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.delayed.peek().map(|Reverse((due, _))| *due)
    }

    /// An event arrived; those of one key arrive in order.
    pub(super) fn arrive(&mut self, partition: PartitionId, arrival: Arrival<P>) {
        let lane = arrival.key.map(|key| (partition, key));
        let id = self.entries.insert(Entry {
            partition,
            arrival,
            attempt: 0,
            failures: 0,
            first_sent: None,
            out: false,
            lane,
        });
        self.unsent += 1;
        match lane.map(|lane| self.lanes.entry(lane)) {
            Some(hash_map::Entry::Occupied(mut behind)) => behind.get_mut().push_back(id),
            Some(hash_map::Entry::Vacant(free)) => {
                free.insert(Lane::new());
                self.ready.push_back(id);
            }
            None => self.ready.push_back(id),
        }
    }

    /// The next event that may go, marked as sent.
    pub(super) fn send_next(&mut self, now: Instant) -> Option<(EntryId, &Entry<P>)> {
        let id = self.ready.pop_front()?;
        let entry = self.entries.get_mut(id)?;
        self.unsent -= usize::from(entry.attempt == 0);
        entry.attempt += 1;
        entry.out = true;
        entry.first_sent.get_or_insert(now);
        Some((id, entry))
    }

    /// The event is settled: the next of its key may go.
    pub(super) fn done(&mut self, id: EntryId) -> Option<Entry<P>> {
        let entry = self.entries.try_remove(id)?;
        if let Some(lane) = entry.lane
            && let hash_map::Entry::Occupied(mut behind) = self.lanes.entry(lane)
        {
            match behind.get_mut().pop_front() {
                Some(next) => self.ready.push_back(next),
                None => drop(behind.remove()),
            }
        }
        Some(entry)
    }

    /// The event was sent and is not settled: it goes again, before others.
    pub(super) fn release(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.out = false;
            self.ready.push_front(id);
        }
    }

    /// The event was taken to be sent, and was not: as if it had never been taken.
    pub(super) fn unsend(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.attempt = entry.attempt.saturating_sub(1);
            self.unsent += usize::from(entry.attempt == 0);
            entry.out = false;
            self.ready.push_front(id);
        }
    }

    /// The event failed: it goes again when `due` comes, and its key waits until then.
    pub(super) fn retry(&mut self, id: EntryId, due: Instant) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.failures += 1;
            entry.out = false;
            self.delayed.push(Reverse((due, id)));
        }
    }

    /// Lets delayed events go whose time has come.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(Reverse((due, id))) = self.delayed.peek().copied() {
            if due > now {
                return;
            }
            self.delayed.pop();
            self.ready.push_front(id);
        }
    }

    /// Of the events that were sent and are not settled, the one first sent longest ago.
    pub(super) fn oldest_sent(&self) -> Option<&Entry<P>> {
        let sent = self
            .entries
            .iter()
            .map(|(_, entry)| entry)
            .filter(|entry| entry.first_sent.is_some());
        sent.min_by_key(|entry| (entry.first_sent, entry.arrival.offset))
    }

    /// Forgets every event of a partition.
    pub(super) fn drop_partition(&mut self, partition: PartitionId) {
        self.keep(|entry| entry.partition != partition);
        self.lanes.retain(|(of, _), _| *of != partition);
    }

    /// Forgets the events of a partition that are not on a stream now.
    pub(super) fn drop_unsent(&mut self, partition: PartitionId) {
        self.keep(|entry| entry.partition != partition || entry.out);
        for ((of, _), lane) in &mut self.lanes {
            if *of == partition {
                lane.clear();
            }
        }
    }

    fn keep(&mut self, stays: impl Fn(&Entry<P>) -> bool) {
        let entries = &self.entries;
        let stays_id = |id: EntryId| entries.get(id).is_some_and(&stays);
        self.ready.retain(|id| stays_id(*id));
        self.delayed.retain(|Reverse((_, id))| stays_id(*id));
        self.entries.retain(|_, entry| stays(entry));
        self.unsent = self.entries.iter().filter(|(_, entry)| entry.attempt == 0).count();
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn arrival(offset: i64, key: Option<u64>) -> Arrival<()> {
        Arrival {
            offset,
            key,
            size: 1,
            payload: (),
        }
    }

    fn send(scheduler: &mut Scheduler<()>, now: Instant) -> Option<(EntryId, i64)> {
        scheduler.send_next(now).map(|(id, entry)| (id, entry.arrival.offset))
    }

    #[test]
    fn a_delayed_event_holds_its_key_and_no_other() {
        let now = Instant::now();
        let mut scheduler = Scheduler::default();
        for (offset, key) in [(0, 1), (1, 1), (2, 2)] {
            scheduler.arrive(0, arrival(offset, Some(key)));
        }
        let (first, _) = send(&mut scheduler, now).expect("ready");
        scheduler.retry(first, now + Duration::from_secs(1));
        assert_eq!(send(&mut scheduler, now).map(|(_, offset)| offset), Some(2));
        assert_eq!(send(&mut scheduler, now), None);
        scheduler.wake(now + Duration::from_secs(1));
        assert_eq!(send(&mut scheduler, now).map(|(_, offset)| offset), Some(0));
        assert_eq!(
            scheduler.get(first).map(|entry| (entry.attempt, entry.failures)),
            Some((2, 1))
        );
        scheduler.done(first);
        assert_eq!(send(&mut scheduler, now).map(|(_, offset)| offset), Some(1));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Arrive(Option<u64>),
        Send,
        Done(usize),
        Release(usize),
        Retry(usize),
        Wake,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => proptest::option::of(0u64..4).prop_map(Step::Arrive),
            4 => Just(Step::Send),
            3 => (0usize..8).prop_map(Step::Done),
            1 => (0usize..8).prop_map(Step::Release),
            1 => (0usize..8).prop_map(Step::Retry),
            1 => Just(Step::Wake),
        ]
    }

    proptest! {
        /// Whatever happens, events of one key are settled in the order they arrived, one at a time, and none is lost.
        #[test]
        fn order_per_key_holds(steps in vec(step(), 1..300)) {
            let now = Instant::now();
            let mut scheduler = Scheduler::default();
            let mut out: Vec<(EntryId, i64, Option<u64>)> = Vec::new();
            let mut settled: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
            let (mut arrived, mut done) = (0i64, 0i64);
            let settle = |settled: &mut BTreeMap<u64, Vec<i64>>, offset: i64, key: Option<u64>| {
                if let Some(key) = key {
                    settled.entry(key).or_default().push(offset);
                }
            };
            for step in steps {
                match step {
                    Step::Arrive(key) => {
                        scheduler.arrive(0, arrival(arrived, key));
                        arrived += 1;
                    }
                    Step::Send => {
                        if let Some((id, entry)) = scheduler.send_next(now) {
                            let key = entry.arrival.key;
                            prop_assert!(key.is_none() || out.iter().all(|(_, _, other)| *other != key));
                            out.push((id, entry.arrival.offset, key));
                        }
                    }
                    Step::Done(n) if !out.is_empty() => {
                        let (id, offset, key) = out.swap_remove(n % out.len());
                        scheduler.done(id);
                        settle(&mut settled, offset, key);
                        done += 1;
                    }
                    Step::Release(n) if !out.is_empty() => scheduler.release(out.swap_remove(n % out.len()).0),
                    Step::Retry(n) if !out.is_empty() => scheduler.retry(out.swap_remove(n % out.len()).0, now),
                    Step::Wake => scheduler.wake(now),
                    _ => {}
                }
            }
            scheduler.wake(now);
            loop {
                for (id, offset, key) in out.drain(..) {
                    scheduler.done(id);
                    settle(&mut settled, offset, key);
                    done += 1;
                }
                let Some((id, entry)) = scheduler.send_next(now) else { break };
                out.push((id, entry.arrival.offset, entry.arrival.key));
            }
            prop_assert_eq!(done, arrived);
            for offsets in settled.values() {
                prop_assert!(offsets.is_sorted());
            }
            prop_assert!(scheduler.entries.is_empty() && scheduler.lanes.is_empty());
        }
    }
}
