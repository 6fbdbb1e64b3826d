//! What consumers saw, checked as they see it: nothing lost, each key in order, nothing again that was committed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard},
};

/// An event: its key, and its number among those of the key, from 0 on.
pub(super) type EventId = (String, u64);

/// A stream between two changes of what its replica has.
pub(super) type Who = (usize, u64);

#[derive(Default)]
pub(super) struct Checker(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// How many events of each key were published and acknowledged.
    published: HashMap<String, u64>,
    /// How many of each were delivered, to whomever.
    delivered: HashMap<String, u64>,
    last: HashMap<(Who, String), u64>,
    committed: HashSet<EventId>,
    again: usize,
    stale: usize,
    faults: Vec<String>,
}

impl Checker {
    pub(super) fn published(&self, (key, number): &EventId) {
        self.lock().published.insert(key.clone(), number + 1);
    }

    pub(super) fn delivered(&self, who: Who, (key, number): &EventId) {
        let mut seen = self.lock();
        let next = seen.delivered.get(key).copied().unwrap_or(0);
        if *number > next {
            seen.faults
                .push(format!("{key}/{number} came to {who:?} before {key}/{next}"));
        }
        if *number < next {
            seen.again += 1;
        }
        if seen.committed.contains(&(key.clone(), *number)) {
            seen.faults
                .push(format!("{key}/{number} came to {who:?} again after it was committed"));
        }
        let last = seen.last.insert((who, key.clone()), *number);
        if last.is_some_and(|last| *number != last + 1) {
            seen.faults
                .push(format!("{key}/{number} came to {who:?} after {key}/{last:?}"));
        }
        seen.delivered.insert(key.clone(), next.max(number + 1));
    }

    /// The server said that these are committed.
    pub(super) fn committed(&self, events: impl IntoIterator<Item = EventId>) {
        self.lock().committed.extend(events);
    }

    /// So many acks came too late.
    pub(super) fn stale(&self, count: usize) {
        self.lock().stale += count;
    }

    pub(super) fn stale_acks(&self) -> usize {
        self.lock().stale
    }

    /// Deliveries beyond the first of an event.
    pub(super) fn again(&self) -> usize {
        self.lock().again
    }

    pub(super) fn published_so_far(&self) -> HashMap<String, u64> {
        self.lock().published.clone()
    }

    /// Whether of each key more was delivered than these.
    pub(super) fn is_beyond(&self, published: &HashMap<String, u64>) -> bool {
        let seen = self.lock();
        let is_beyond = |(key, count): (&String, &u64)| seen.delivered.get(key).is_some_and(|now| now > count);
        published.iter().all(is_beyond)
    }

    pub(super) fn is_complete(&self) -> bool {
        let seen = self.lock();
        seen.delivered == seen.published
    }

    pub(super) fn assert_no_fault(&self) {
        let seen = self.lock();
        let first: Vec<_> = seen.faults.iter().take(20).collect();
        assert!(first.is_empty(), "{} faults: {first:#?}", seen.faults.len());
    }

    pub(super) fn total(&self) -> u64 {
        self.lock().published.values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("no check panics")
    }
}
