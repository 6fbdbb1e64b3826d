//! The key scheduler: which event may go next, so that events of one key go one after the other.
//!
//! ```text
//!              ┌────────── lane of key k ──────────┐
//! arrive ────▶ │ one event ahead │ waiting, in order │   ahead: ready → out → (done | delayed → ready | doomed → done)
//!              └─────────────────┴──────────────────┘   done lets the next of the lane go ahead
//! ```

mod ages;
mod below;
mod doomed;
mod replayed;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque, hash_map},
    time::Instant,
};

use rustc_hash::FxHashMap;
use slab::Slab;

use self::replayed::Replayed;
use super::{
    PartitionId,
    entry::{Doom, Entry, EntryId, LaneKey, Origin, Why},
};

/// An event that so many streams broke over is sent alone.
const ALONE_AFTER: u32 = 2;

/// Events that wait behind one of the same key.
type Lane = VecDeque<EntryId>;

#[derive(Debug)]
pub(super) struct Scheduler<P> {
    entries: Slab<Entry<P>>,
    lanes: FxHashMap<LaneKey, Lane>,
    ready: VecDeque<EntryId>,
    /// Ready to be sent to a stream that has nothing else.
    alone: VecDeque<EntryId>,
    /// To become dead letters.
    doomed: VecDeque<EntryId>,
    /// Events of these keys become dead letters behind one that did; each with the number of its quarantine.
    quarantined: FxHashMap<LaneKey, u64>,
    /// How many quarantines there were.
    quarantines: u64,
    /// How many were never sent.
    unsent: usize,
    delayed: BinaryHeap<Reverse<(Instant, EntryId)>>,
    /// Events that failed or were abandoned.
    troubled: BTreeMap<(PartitionId, i64), EntryId>,
    replayed: Replayed,
}

impl<P> Default for Scheduler<P> {
    fn default() -> Self {
        Self {
            entries: Slab::new(),
            lanes: FxHashMap::default(),
            ready: VecDeque::new(),
            alone: VecDeque::new(),
            doomed: VecDeque::new(),
            quarantined: FxHashMap::default(),
            quarantines: 0,
            unsent: 0,
            delayed: BinaryHeap::new(),
            troubled: BTreeMap::new(),
            replayed: Replayed::default(),
        }
    }
}

impl<P> Scheduler<P> {
    pub(super) fn get(&self, id: EntryId) -> Option<&Entry<P>> {
        self.entries.get(id)
    }

    pub(super) fn payloads(&mut self) -> impl Iterator<Item = &mut P> {
        self.entries.iter_mut().map(|(_, entry)| &mut entry.arrival.payload)
    }

    /// The next event that may go.
    pub(super) fn peek(&self) -> Option<&Entry<P>> {
        self.entries.get(*self.ready.front()?)
    }

    /// The next event that may go alone.
    pub(super) fn peek_alone(&self) -> Option<&Entry<P>> {
        self.entries.get(*self.alone.front()?)
    }

    /// How many events may go, alone or not.
    pub(super) fn ready(&self) -> usize {
        self.ready.len() + self.alone.len()
    }

    pub(super) fn has_alone(&self) -> bool {
        !self.alone.is_empty()
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
    pub(super) fn arrive(&mut self, entry: Entry<P>) {
        let (lane, place) = (entry.lane, (entry.partition, entry.arrival.offset));
        let is_troubled = entry.tries.is_troubled();
        let id = self.entries.insert(entry);
        self.unsent += 1;
        if is_troubled {
            self.troubled.insert(place, id);
        }
        match lane.map(|lane| self.lanes.entry(lane)) {
            Some(hash_map::Entry::Occupied(mut behind)) => behind.get_mut().push_back(id),
            Some(hash_map::Entry::Vacant(free)) => {
                free.insert(Lane::new());
                self.go_ahead(id);
            }
            None => self.go_ahead(id),
        }
    }

    /// Nothing of its key is before it.
    fn go_ahead(&mut self, id: EntryId) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if entry.replay().is_some() {
            return self.replayed_goes_ahead(id);
        }
        let quarantine = entry.lane.and_then(|lane| self.quarantined.get(&lane));
        if quarantine.is_some_and(|number| *number > entry.passes) {
            entry.doom = Some(Box::new(Doom::of(Why::Behind)));
        }
        match &entry.doom {
            Some(_) => self.doomed.push_back(id),
            None if entry.tries.abandons >= ALONE_AFTER => self.alone.push_back(id),
            None => self.ready.push_back(id),
        }
    }

    /// The next event that may go, marked as sent.
    pub(super) fn send_next(&mut self, now: Instant) -> Option<(EntryId, &Entry<P>)> {
        let id = self.ready.pop_front()?;
        self.sent(id, now)
    }

    /// The next event that may go alone, marked as sent.
    pub(super) fn send_next_alone(&mut self, now: Instant) -> Option<(EntryId, &Entry<P>)> {
        let id = self.alone.pop_front()?;
        self.sent(id, now)
    }

    fn sent(&mut self, id: EntryId, now: Instant) -> Option<(EntryId, &Entry<P>)> {
        let entry = self.entries.get_mut(id)?;
        self.unsent -= usize::from(std::mem::take(&mut entry.is_unsent));
        entry.tries.attempt += 1;
        entry.out = true;
        entry.first_sent.get_or_insert(now);
        Some((id, entry))
    }

    /// The event is settled: the next of its key may go.
    pub(super) fn done(&mut self, id: EntryId) -> Option<Entry<P>> {
        let entry = self.entries.try_remove(id)?;
        if entry.origin == Origin::Topic && entry.tries.is_troubled() {
            self.troubled.remove(&(entry.partition, entry.arrival.offset));
        }
        if let Some(lane) = entry.lane
            && let hash_map::Entry::Occupied(mut behind) = self.lanes.entry(lane)
        {
            match behind.get_mut().pop_front() {
                Some(next) => self.go_ahead(next),
                None => drop(behind.remove()),
            }
        }
        if entry.replay().is_some() {
            self.replayed_is_done(&entry);
        }
        Some(entry)
    }

    /// The event was sent and is not settled: it goes again, before others.
    pub(super) fn release(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.out = false;
            match (entry.replay(), entry.tries.abandons >= ALONE_AFTER) {
                (Some(number), _) if self.replayed.is_over(number) => drop(self.done(id)),
                (_, true) => self.alone.push_front(id),
                (Some(_), _) => self.replayed.ready.push_front(id),
                (None, _) => self.ready.push_front(id),
            }
        }
    }

    /// The event was taken to be sent, and was not: as if it had never been taken.
    pub(super) fn unsend(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.tries.attempt = entry.tries.attempt.saturating_sub(1);
            entry.is_unsent = entry.tries.attempt == 0 && entry.replay().is_none();
            self.unsent += usize::from(entry.is_unsent);
        }
        self.release(id);
    }

    /// The event goes again when `due` comes, and its key waits until then.
    pub(super) fn delay(&mut self, id: EntryId, due: Instant) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.out = false;
            match entry.replay() {
                Some(number) if self.replayed.is_over(number) => drop(self.done(id)),
                _ => self.delayed.push(Reverse((due, id))),
            }
        }
    }

    /// Something went wrong with the event.
    pub(super) fn trouble(&mut self, id: EntryId, note: impl FnOnce(&mut Entry<P>)) -> Option<&Entry<P>> {
        let entry = self.entries.get_mut(id)?;
        note(entry);
        if entry.origin == Origin::Topic && entry.tries.is_troubled() {
            self.troubled.insert((entry.partition, entry.arrival.offset), id);
        }
        Some(entry)
    }

    /// Events of the partition that failed or were abandoned, by offset.
    pub(super) fn troubled(&self, partition: PartitionId) -> impl Iterator<Item = &Entry<P>> {
        let all = (partition, i64::MIN)..=(partition, i64::MAX);
        self.troubled.range(all).filter_map(|(_, id)| self.entries.get(*id))
    }

    /// Lets delayed events go whose time has come.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(Reverse((due, id))) = self.delayed.peek().copied() {
            if due > now {
                return;
            }
            self.delayed.pop();
            self.release(id);
        }
    }

    /// Forgets every event of a partition.
    pub(super) fn drop_partition(&mut self, partition: PartitionId) {
        self.keep(|entry| entry.partition != partition);
        self.lanes.retain(|(of, _), _| *of != partition);
        self.quarantined.retain(|(of, _), _| *of != partition);
        self.drop_replayed_keys(partition);
    }

    /// Forgets the events of a partition that are not busy now.
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
        for queue in [&mut self.ready, &mut self.alone, &mut self.doomed] {
            queue.retain(|id| stays_id(*id));
        }
        self.delayed.retain(|Reverse((_, id))| stays_id(*id));
        self.troubled.retain(|_, id| stays_id(*id));
        self.entries.retain(|_, entry| stays(entry));
        self.unsent = self.entries.iter().filter(|(_, entry)| entry.is_unsent).count();
        self.keep_replayed();
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::bus::delivery::entry::{Arrival, Tries};

    fn arrival(offset: i64, key: Option<u64>) -> Entry<()> {
        let arrival = Arrival {
            offset,
            key,
            size: 1,
            payload: (),
            doom: None,
        };
        Entry::new(0, arrival, Tries::default())
    }

    fn send(scheduler: &mut Scheduler<()>, now: Instant) -> Option<(EntryId, i64)> {
        scheduler.send_next(now).map(|(id, entry)| (id, entry.arrival.offset))
    }

    #[test]
    fn a_delayed_event_holds_its_key_and_no_other() {
        let now = Instant::now();
        let mut scheduler = Scheduler::default();
        for (offset, key) in [(0, 1), (1, 1), (2, 2)] {
            scheduler.arrive(arrival(offset, Some(key)));
        }
        let (first, _) = send(&mut scheduler, now).expect("ready");
        scheduler.delay(first, now + Duration::from_secs(1));
        assert_eq!(send(&mut scheduler, now).map(|(_, offset)| offset), Some(2));
        assert_eq!(send(&mut scheduler, now), None);
        scheduler.wake(now + Duration::from_secs(1));
        assert_eq!(send(&mut scheduler, now).map(|(_, offset)| offset), Some(0));
        assert_eq!(scheduler.get(first).map(|entry| entry.tries.attempt), Some(2));
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
                        scheduler.arrive(arrival(arrived, key));
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
                    Step::Retry(n) if !out.is_empty() => scheduler.delay(out.swap_remove(n % out.len()).0, now),
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
