//! Replayed events: of each key one at a time stands in the key's lane, so that live events wait for no more than that one, and
//! only few stand there before they are sent.
//!
//! ```text
//! arrive ─▶ behind one of its key ─▶ waiting ─▶ its lane is free, or it is in line there ─▶ ready ─▶ out
//! ```

use std::{
    cmp::Reverse,
    collections::{VecDeque, hash_map},
    time::Instant,
};

use rustc_hash::FxHashMap;

use super::{ALONE_AFTER, Lane, Scheduler};
use crate::bus::delivery::{
    PartitionId,
    entry::{Doom, Entry, EntryId, LaneKey, Why},
};

/// So many stand in line behind live events. Live events that come later wait behind them, so it is few.
const MOST_IN_LINE: usize = 16;
/// So many are looked at for one whose key is free.
const LOOKED_AT: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// The number of the replay that runs. Of others nothing more is sent.
    number: Option<u64>,
    /// They hold their keys, and may be sent.
    pub(super) ready: VecDeque<EntryId>,
    /// The first of their keys among the replayed.
    waiting: VecDeque<EntryId>,
    /// Keys of which an event was replayed that is not settled, each with those that come after it.
    behind: FxHashMap<LaneKey, VecDeque<EntryId>>,
    /// How many stand in line behind live events.
    in_line: usize,
}

impl Replayed {
    /// Nothing more of this replay is sent.
    pub(super) fn is_over(&self, number: u64) -> bool {
        self.number != Some(number)
    }
}

impl<P> Scheduler<P> {
    /// From now on events of this replay are sent.
    pub(in crate::bus::delivery) fn start_replay(&mut self, number: u64) {
        self.stop_replay();
        self.replayed.number = Some(number);
    }

    /// An event of the replay arrived; those of one key arrive in order.
    pub(in crate::bus::delivery) fn replay(&mut self, mut entry: Entry<P>) {
        entry.is_unsent = false;
        let lane = entry.lane;
        let id = self.entries.insert(entry);
        match lane.map(|lane| self.replayed.behind.entry(lane)) {
            Some(hash_map::Entry::Occupied(mut behind)) => behind.get_mut().push_back(id),
            Some(hash_map::Entry::Vacant(free)) => {
                free.insert(VecDeque::new());
                self.replayed.waiting.push_back(id);
            }
            None => self.replayed.waiting.push_back(id),
        }
    }

    /// Whether replayed events wait to be sent.
    pub(in crate::bus::delivery) fn has_replayed(&self) -> bool {
        !self.replayed.ready.is_empty() || !self.replayed.waiting.is_empty()
    }

    /// The next replayed event that may go now. Others whose keys are busy get in line meanwhile.
    pub(in crate::bus::delivery) fn peek_replayed(&mut self) -> Option<&Entry<P>> {
        if self.replayed.ready.is_empty() {
            self.line_up();
        }
        self.entries.get(*self.replayed.ready.front()?)
    }

    /// The same, marked as sent.
    pub(in crate::bus::delivery) fn send_next_replayed(&mut self, now: Instant) -> Option<(EntryId, &Entry<P>)> {
        let id = self.replayed.ready.pop_front()?;
        self.sent(id, now)
    }

    /// Replayed events of a key that is quarantined: they are not sent.
    pub(in crate::bus::delivery) fn next_passed_over(&mut self) -> Option<EntryId> {
        let id = *self.doomed.front()?;
        let is_replayed = self.entries.get(id).is_some_and(|entry| entry.replay().is_some());
        is_replayed.then(|| self.doomed.pop_front())?
    }

    fn line_up(&mut self) {
        for _ in 0..self.replayed.waiting.len().min(LOOKED_AT) {
            let Some(id) = self.replayed.waiting.pop_front() else {
                return;
            };
            let Some(entry) = self.entries.get(id) else { continue };
            match entry.lane.map(|lane| self.lanes.entry(lane)) {
                Some(hash_map::Entry::Occupied(mut busy)) if self.replayed.in_line < MOST_IN_LINE => {
                    busy.get_mut().push_back(id);
                    self.replayed.in_line += 1;
                }
                Some(hash_map::Entry::Occupied(_)) => self.replayed.waiting.push_back(id),
                Some(hash_map::Entry::Vacant(free)) => {
                    free.insert(Lane::new());
                    self.replayed.in_line += 1;
                    self.replayed_goes_ahead(id);
                }
                None => self.replayed.ready.push_back(id),
            }
            if !self.replayed.ready.is_empty() {
                return;
            }
        }
    }

    /// Nothing of its key is before it.
    pub(super) fn replayed_goes_ahead(&mut self, id: EntryId) {
        self.replayed.in_line = self.replayed.in_line.saturating_sub(1);
        let Some(entry) = self.entries.get_mut(id) else { return };
        if entry.lane.is_some_and(|lane| self.quarantined.contains_key(&lane)) {
            entry.doom = Some(Box::new(Doom::of(Why::Behind)));
            return self.doomed.push_back(id);
        }
        match entry.tries.abandons >= ALONE_AFTER {
            true => self.alone.push_back(id),
            false => self.replayed.ready.push_back(id),
        }
    }

    /// The next of its key among the replayed may have its turn.
    pub(super) fn replayed_is_done(&mut self, entry: &Entry<P>) {
        if entry.replay() != self.replayed.number {
            return;
        }
        if let Some(lane) = entry.lane
            && let hash_map::Entry::Occupied(mut behind) = self.replayed.behind.entry(lane)
        {
            match behind.get_mut().pop_front() {
                Some(next) => self.replayed.waiting.push_front(next),
                None => drop(behind.remove()),
            }
        }
    }

    /// Forgets what is not on a stream now, and lets the keys go that it holds.
    pub(in crate::bus::delivery) fn stop_replay(&mut self) {
        let Replayed {
            ready, waiting, behind, ..
        } = std::mem::take(&mut self.replayed);
        for id in waiting.into_iter().chain(behind.into_values().flatten()) {
            self.entries.try_remove(id);
        }
        let entries = &self.entries;
        let is_replayed = |id: &EntryId| entries.get(*id).is_some_and(|entry| entry.replay().is_some());
        let mut in_line = Vec::new();
        for lane in self.lanes.values_mut() {
            in_line.extend(lane.iter().copied().filter(is_replayed));
            lane.retain(|id| !is_replayed(id));
        }
        let mut ahead: Vec<EntryId> = ready.into();
        for queue in [&mut self.alone, &mut self.doomed] {
            ahead.extend(queue.iter().copied().filter(is_replayed));
            queue.retain(|id| !is_replayed(id));
        }
        ahead.extend(self.delayed.iter().map(|Reverse((_, id))| *id).filter(is_replayed));
        self.delayed.retain(|Reverse((_, id))| !is_replayed(id));
        for id in in_line {
            self.entries.try_remove(id);
        }
        for id in ahead {
            self.done(id);
        }
    }

    /// The partition has left, with all keys of it.
    pub(super) fn drop_replayed_keys(&mut self, partition: PartitionId) {
        self.replayed.behind.retain(|(of, _), _| *of != partition);
    }

    /// Entries were removed: what names them is too.
    pub(super) fn keep_replayed(&mut self) {
        if self.replayed.number.is_none() {
            return;
        }
        let (entries, replayed) = (&self.entries, &mut self.replayed);
        let stays = |id: &EntryId| entries.contains(*id);
        replayed.ready.retain(stays);
        replayed.waiting.retain(stays);
        replayed.behind.values_mut().for_each(|behind| behind.retain(stays));
        let is_replayed = |id: &&EntryId| entries.get(**id).is_some_and(|entry| entry.replay().is_some());
        replayed.in_line = self.lanes.values().flatten().filter(is_replayed).count();
    }
}
