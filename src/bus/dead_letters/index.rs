//! What is known of a group's dead letters: applies the records of its topic in their order, without payloads or a clock.
//!
//! ```text
//! Parked ──redrive──▶ Redriving ──done, or a dead letter again──▶ Redriven
//!    └─────discard──▶ Discarded
//! ```
//!
//! Letters of one key may form a chain: a head, and what waits behind it. A chain moves as a whole: whoever redrives one of
//! it redrives all that is parked, and discarding the head redrives what waited. Only what is parked moves at all, so
//! redriving twice redrives once.

mod forgetting;
mod row;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rustc_hash::{FxHashMap, FxHashSet};

pub use self::row::{Cause, Redriving, Row, State};
use super::{
    format::{Change, Entry},
    letter::{Letter, LetterId},
};
use crate::{
    bus::key_hash,
    log::{LogTime, TopicPartition},
};

/// Rows in memory; beyond, the oldest that are redriven or discarded are forgotten.
const MOST_ROWS: usize = 1_000_000;

/// All that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// By offset in the dead-letter topic.
    rows: BTreeMap<i64, Row>,
    offsets: FxHashMap<LetterId, i64>,
    /// Members by their head, which is one of them.
    chains: FxHashMap<LetterId, BTreeSet<i64>>,
    redriving: BTreeSet<i64>,
    /// Those in chains that are parked or redriving.
    held: BTreeSet<i64>,
    resolved: BTreeSet<i64>,
    sources: FxHashSet<Arc<TopicPartition>>,
    /// Applied is what lies below.
    next: i64,
    most: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self::bounded(MOST_ROWS)
    }
}

impl Index {
    fn bounded(most: usize) -> Self {
        Self {
            rows: BTreeMap::new(),
            offsets: FxHashMap::default(),
            chains: FxHashMap::default(),
            redriving: BTreeSet::new(),
            held: BTreeSet::new(),
            resolved: BTreeSet::new(),
            sources: FxHashSet::default(),
            next: 0,
            most,
        }
    }

    /// Learns a record. What lies before one that was applied is passed over.
    pub fn apply(&mut self, at: i64, time: LogTime, entry: &Entry) {
        if at < self.next {
            return;
        }
        self.next = at + 1;
        match entry {
            Entry::Letter(id, letter) => self.add(*id, at, time, letter),
            Entry::State(Change::Redrive(request)) => {
                let moved = self.redrivable(&request.ids);
                self.move_all(&moved, State::Redriving, &Cause::of(request, at));
            }
            Entry::State(Change::Discard(request)) => {
                let cause = Cause::of(request, at);
                let (discarded, freed) = self.discardable(&request.ids);
                self.move_all(&discarded, State::Discarded, &cause);
                self.move_all(&freed, State::Redriving, &cause);
            }
            Entry::State(Change::Done { ids }) => {
                for id in ids {
                    self.settle(*id, time);
                }
            }
        }
        self.forget_oldest();
    }

    pub fn row(&self, id: LetterId) -> Option<&Row> {
        self.rows.get(self.offsets.get(&id)?)
    }

    /// Newest first, those that lie before `before`.
    pub fn newest(&self, before: i64) -> impl Iterator<Item = &Row> {
        self.rows.range(..before).rev().map(|(_, row)| row)
    }

    /// In the order of the topic.
    pub fn all(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// What redriving these would move: those that are parked, each with its chain.
    pub fn redrivable(&self, ids: &[LetterId]) -> BTreeSet<i64> {
        let mut moved = BTreeSet::new();
        for row in self
            .parked(ids)
            .filter(|row| !moved.contains(&row.at))
            .collect::<Vec<_>>()
        {
            moved.insert(row.at);
            moved.extend(row.head.into_iter().flat_map(|head| self.parked_in(head)));
        }
        moved
    }

    /// What discarding these would discard, and what would be redriven because it waits behind one of them.
    pub fn discardable(&self, ids: &[LetterId]) -> (BTreeSet<i64>, BTreeSet<i64>) {
        let discarded: BTreeSet<i64> = self.parked(ids).map(|row| row.at).collect();
        let heads = self.parked(ids).filter(|row| row.head == Some(row.id));
        let freed = heads.flat_map(|head| self.parked_in(head.id));
        let freed = freed.filter(|at| !discarded.contains(at)).collect();
        (discarded, freed)
    }

    /// Rows by their offsets in the topic.
    pub fn at<'a>(&'a self, offsets: &'a BTreeSet<i64>) -> impl Iterator<Item = &'a Row> {
        offsets.iter().filter_map(|at| self.rows.get(at))
    }

    /// What a partition's owner is to deliver again, in the order of the source, with the offsets in the dead-letter topic.
    pub fn redriving(&self, source: &TopicPartition) -> Vec<Redriving> {
        let rows = self.at(&self.redriving).filter(|row| *row.source == *source);
        let redriving = |row: &Row| {
            let (id, at, cause) = (row.id, row.at, Arc::clone(row.cause.as_ref()?));
            Some(Redriving { id, at, cause })
        };
        let mut rows: Vec<&Row> = rows.collect();
        rows.sort_by_key(|row| row.offset);
        rows.into_iter().filter_map(redriving).collect()
    }

    /// The keys whose events are to wait, each with the head that they wait behind: the newest one.
    pub fn quarantined(&self, source: &TopicPartition) -> FxHashMap<u64, LetterId> {
        let mut newest: FxHashMap<u64, (i64, LetterId)> = FxHashMap::default();
        for row in self.at(&self.held).filter(|row| *row.source == *source) {
            if let (Some(key), Some(head)) = (row.key, row.head) {
                let at = self.offsets.get(&head).copied().unwrap_or(row.at);
                let known = newest.entry(key).or_insert((at, head));
                *known = (*known).max((at, head));
            }
        }
        newest.into_iter().map(|(key, (_, head))| (key, head)).collect()
    }

    fn parked<'a>(&'a self, ids: &'a [LetterId]) -> impl Iterator<Item = &'a Row> {
        let rows = ids.iter().filter_map(|id| self.row(*id));
        rows.filter(|row| row.state == State::Parked)
    }

    fn parked_in(&self, head: LetterId) -> impl Iterator<Item = i64> {
        let members = self.chains.get(&head).into_iter().flatten();
        members
            .copied()
            .filter(|at| self.rows.get(at).is_some_and(|row| row.state == State::Parked))
    }

    fn add(&mut self, id: LetterId, at: i64, time: LogTime, letter: &Letter) {
        if self.offsets.contains_key(&id) {
            return;
        }
        if let Some(parent) = letter.why.parent {
            self.settle(parent, time);
        }
        let head = match letter.why.behind {
            // What waits behind it was written before.
            _ if self.chains.contains_key(&id) => Some(id),
            Some(behind) => Some(self.head_of(behind)),
            None => letter.why.quarantine.then_some(id),
        };
        let row = Row {
            id,
            at,
            time,
            source: self.source(&letter.source),
            offset: letter.record.offset,
            key: letter.record.key.as_ref().map(key_hash),
            reason: letter.why.reason,
            head,
            state: State::Parked,
            cause: None,
            settled: None,
        };
        self.rows.insert(at, row);
        self.offsets.insert(id, at);
        self.join(at, id, head);
    }

    /// The head of the chain that a letter is in, which becomes one if it is in none.
    fn head_of(&mut self, behind: LetterId) -> LetterId {
        let row = self.offsets.get(&behind).and_then(|at| self.rows.get_mut(at));
        let Some(row) = row else { return behind };
        if let Some(head) = row.head {
            return head;
        }
        row.head = Some(behind);
        let (at, is_open) = (row.at, matches!(row.state, State::Parked | State::Redriving));
        self.chains.entry(behind).or_default().insert(at);
        if is_open {
            self.held.insert(at);
        }
        behind
    }

    /// A new letter joins its chain, in the state of the head.
    fn join(&mut self, at: i64, id: LetterId, head: Option<LetterId>) {
        let Some(head) = head else { return };
        self.chains.entry(head).or_default().insert(at);
        self.held.insert(at);
        if head == id {
            return;
        }
        let moved = self.row(head).filter(|row| row.state != State::Parked);
        if let Some(cause) = moved.map(|row| row.cause.clone()) {
            self.set(at, State::Redriving, cause);
        }
    }

    fn move_all(&mut self, offsets: &BTreeSet<i64>, state: State, cause: &Arc<Cause>) {
        for at in offsets {
            self.set(*at, state, Some(Arc::clone(cause)));
        }
    }

    /// The redrive of a letter has ended.
    fn settle(&mut self, id: LetterId, time: LogTime) {
        let Some(row) = self.offsets.get(&id).and_then(|at| self.rows.get_mut(at)) else {
            return;
        };
        if row.state == State::Redriving {
            row.settled = Some(time);
            let (at, cause) = (row.at, row.cause.clone());
            self.set(at, State::Redriven, cause);
        }
    }

    fn set(&mut self, at: i64, state: State, cause: Option<Arc<Cause>>) {
        let Some(row) = self.rows.get_mut(&at) else { return };
        (row.state, row.cause) = (state, cause);
        match state {
            State::Redriving => self.redriving.insert(at),
            _ => self.redriving.remove(&at),
        };
        if matches!(state, State::Redriven | State::Discarded) {
            self.held.remove(&at);
            self.resolved.insert(at);
        }
    }

    /// Topics' names are many times the same.
    fn source(&mut self, source: &TopicPartition) -> Arc<TopicPartition> {
        if let Some(known) = self.sources.get(source) {
            return Arc::clone(known);
        }
        let new = Arc::new(source.clone());
        self.sources.insert(Arc::clone(&new));
        new
    }
}

#[cfg(test)]
mod tests;
