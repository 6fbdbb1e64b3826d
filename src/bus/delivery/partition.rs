//! One partition as the dispatcher sees it: what is settled, and what waits for the window to open.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
};

use super::{
    Arrival, Tries,
    tracker::{Arrived, Tracker},
};

#[derive(Debug)]
pub(super) struct Partition<P> {
    pub(super) tracker: Tracker,
    /// What happened, in a life before this one, to events that did not arrive yet.
    tries: BTreeMap<i64, Tries>,
    /// Rises with each change that a commit should have.
    pub(super) version: u64,
    /// What arrived and does not fit into the window yet.
    backlog: VecDeque<Pending<P>>,
    pub(super) in_flight: usize,
    /// It is about to leave: nothing more of it is taken.
    retired: bool,
}

#[derive(Debug)]
enum Pending<P> {
    Event(Arrival<P>),
    /// No record up to this offset.
    Hole(i64),
}

/// Where a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionView {
    pub committed: i64,
    pub next: i64,
    pub settled_above: i64,
    pub in_flight: usize,
    /// Rises with each change that a commit should have.
    pub version: u64,
}

impl<P> Partition<P> {
    /// Everything below `committed` is settled, and these runs above it; some events were tried before.
    pub(super) fn new(committed: i64, settled: &[Range<i64>], tries: Vec<(i64, Tries)>) -> Self {
        Self {
            tracker: Tracker::resume(committed, settled),
            tries: tries.into_iter().collect(),
            version: 0,
            backlog: VecDeque::new(),
            in_flight: 0,
            retired: false,
        }
    }

    /// The event is done with.
    pub(super) fn settle(&mut self, offset: i64) {
        self.tracker.settle(offset);
        self.version += 1;
    }

    /// Everything below is done with; `false` = it was already.
    pub(super) fn settle_below(&mut self, offset: i64) -> bool {
        if self.tracker.committed() >= offset {
            return false;
        }
        self.tracker.settle_below(offset);
        self.tries = self.tries.split_off(&offset);
        self.version += 1;
        true
    }

    /// These events do not stay; who gets them next should know what happened to them.
    pub(super) fn keep_tries(&mut self, tries: Vec<(i64, Tries)>) {
        self.tries.extend(tries);
    }

    /// Those of events that did not arrive yet.
    pub(super) fn tries(&self) -> impl Iterator<Item = (i64, Tries)> {
        self.tries.iter().map(|(offset, tries)| (*offset, *tries))
    }

    /// Of what waits for the window.
    pub(super) fn payloads(&mut self) -> impl Iterator<Item = &mut P> {
        self.backlog.iter_mut().filter_map(|pending| match pending {
            Pending::Event(arrival) => Some(&mut arrival.payload),
            Pending::Hole(_) => None,
        })
    }

    pub(super) fn view(&self) -> PartitionView {
        PartitionView {
            committed: self.tracker.committed(),
            next: self.tracker.next(),
            settled_above: self.tracker.settled_above(),
            in_flight: self.in_flight,
            version: self.version,
        }
    }

    pub(super) fn retire(&mut self) {
        self.backlog.clear();
        self.retired = true;
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired
    }

    pub(super) fn wants_more(&self, window: i64) -> bool {
        !self.retired && self.backlog.is_empty() && self.tracker.span() < window
    }

    pub(super) fn push(&mut self, arrival: Arrival<P>) {
        if !self.retired {
            self.backlog.push_back(Pending::Event(arrival));
        }
    }

    /// There are no records up to `next` (exclusive).
    pub(super) fn push_hole(&mut self, next: i64) {
        if !self.retired {
            self.backlog.push_back(Pending::Hole(next));
        }
    }

    /// Gives out what fits into the window now, in order. What lies behind a hole wider than the window waits until all
    /// before it is settled; then the hole costs nothing.
    pub(super) fn admit(&mut self, window: i64, mut give: impl FnMut(Arrival<P>, Tries)) {
        while let Some(pending) = self.backlog.front() {
            let (Pending::Hole(next) | Pending::Event(Arrival { offset: next, .. })) = pending;
            let is_settled = self.tracker.span() == 0;
            if !is_settled && (self.tracker.span() >= window || next - self.tracker.committed() > window) {
                break;
            }
            match self.backlog.pop_front() {
                Some(Pending::Hole(next)) => self.tracker.skip_to(next),
                Some(Pending::Event(arrival)) => {
                    let tries = self.tries.remove(&arrival.offset).unwrap_or_default();
                    if self.tracker.arrive(arrival.offset) == Arrived::New {
                        give(arrival, tries);
                    }
                }
                None => break,
            }
        }
    }
}
