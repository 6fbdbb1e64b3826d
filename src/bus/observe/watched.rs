//! The groups whose numbers are told by name, as many as there is room for; those of all others are told together.
//!
//! A group that ends keeps its tally, so that the numbers go on when it comes back. Where there is no room for one that begins, the
//! place of one that has ended is taken, of the one that began longest ago. If that comes back, it counts from zero, as after a
//! restart of the server.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Instant,
};

use rustc_hash::FxHashMap;

use super::{Levels, ObservedGroup, Tally};
use crate::{bus::group::Gauges, name::Group};

/// Those without a place of their own. A group of this name is always among them.
const OTHERS: &str = "other";

pub(in crate::bus) struct Watched {
    /// The most that have a place of their own.
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    named: FxHashMap<Group, Place>,
    /// How often a group began.
    begun: u64,
    /// `None` = there was none yet.
    others: Option<Arc<Tally>>,
    /// Of the others that run.
    other_gauges: Vec<Weak<Gauges>>,
}

#[derive(Default)]
struct Place {
    tally: Arc<Tally>,
    /// Its task's; gone when that has ended.
    gauges: Weak<Gauges>,
    begun: u64,
}

impl Watched {
    pub(in crate::bus) fn new(most: usize) -> Self {
        let state = Mutex::default();
        Self { most, state }
    }

    /// A group's task begins: where it counts. It runs for as long as it holds its gauges.
    pub(in crate::bus) fn begin(&self, group: &Group, gauges: &Arc<Gauges>) -> Arc<Tally> {
        let mut state = self.lock();
        state.begun += 1;
        let (begun, gauges) = (state.begun, Arc::downgrade(gauges));
        if group.as_str() != OTHERS && state.has_place(group, self.most) {
            let place = state.named.entry(group.clone()).or_default();
            (place.gauges, place.begun) = (gauges, begun);
            return Arc::clone(&place.tally);
        }
        state.other_gauges.retain(|other| other.strong_count() > 0);
        state.other_gauges.push(gauges);
        Arc::clone(state.others.get_or_insert_default())
    }

    /// All of them, the others last.
    pub(in crate::bus) fn groups(&self) -> Vec<ObservedGroup> {
        let (state, now) = (self.lock(), Instant::now());
        let levels = |gauges: &Weak<Gauges>| Some(gauges.upgrade()?.levels(now));
        let named = state.named.iter().map(|(group, place)| ObservedGroup {
            name: group.as_str().into(),
            tally: Arc::clone(&place.tally),
            levels: levels(&place.gauges),
        });
        let others = state.others.iter().map(|tally| ObservedGroup {
            name: OTHERS.into(),
            tally: Arc::clone(tally),
            levels: state.other_gauges.iter().filter_map(levels).reduce(Levels::and),
        });
        named.chain(others).collect()
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the group has a place of its own, or may take one now.
    fn has_place(&mut self, group: &Group, most: usize) -> bool {
        if self.named.contains_key(group) || self.named.len() < most {
            return true;
        }
        let has_ended = |(_, place): &(&Group, &Place)| place.gauges.strong_count() == 0;
        let ended = self.named.iter().filter(has_ended);
        let first = ended.min_by_key(|(_, place)| place.begun);
        match first.map(|(group, _)| group.clone()) {
            Some(first) => self.named.remove(&first).is_some(),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;

    fn begin(watched: &Watched, group: &str) -> (Arc<Tally>, Arc<Gauges>) {
        let (_, health) = watch::channel(Ok(()));
        let gauges = Gauges::new(1_000, health);
        let tally = watched.begin(&Group::new(group).expect("a name"), &gauges);
        (tally, gauges)
    }

    /// Names, acks, and whether they run.
    fn seen(watched: &Watched) -> Vec<(String, u64, bool)> {
        let row = |group: ObservedGroup| (group.name.to_string(), group.tally.acks.get(), group.levels.is_some());
        let mut rows: Vec<_> = watched.groups().into_iter().map(row).collect();
        rows.sort();
        rows
    }

    fn rows<const N: usize>(rows: [(&str, u64, bool); N]) -> Vec<(String, u64, bool)> {
        rows.map(|(name, acks, runs)| (name.to_owned(), acks, runs)).into()
    }

    #[test]
    fn a_group_that_ends_and_begins_again_goes_on_counting() {
        let watched = Watched::new(2);
        let (tally, gauges) = begin(&watched, "a");
        tally.acks.add(3);
        drop(gauges);
        assert_eq!(seen(&watched), rows([("a", 3, false)]));
        let (tally, _gauges) = begin(&watched, "a");
        tally.acks.add(4);
        assert_eq!(seen(&watched), rows([("a", 7, true)]));
    }

    #[test]
    fn groups_beyond_the_limit_are_one_and_take_the_places_of_those_that_ended() {
        let watched = Watched::new(2);
        let (a, a_gauges) = begin(&watched, "a");
        let (b, b_gauges) = begin(&watched, "b");
        let (c, _c_gauges) = begin(&watched, "c");
        let (d, d_gauges) = begin(&watched, "d");
        for (tally, acks) in [(a, 1), (b, 2), (c, 10), (d, 20)] {
            tally.acks.add(acks);
        }
        let all = [("a", 1, true), ("b", 2, true), ("other", 30, true)];
        assert_eq!(seen(&watched), rows(all));
        drop((b_gauges, d_gauges));
        let (d, _d_gauges) = begin(&watched, "d");
        d.acks.add(5);
        assert_eq!(
            seen(&watched),
            rows([("a", 1, true), ("d", 5, true), ("other", 30, true)])
        );
        drop(a_gauges);
        let (b, _b_gauges) = begin(&watched, "b");
        b.acks.add(6);
        assert_eq!(
            seen(&watched),
            rows([("b", 6, true), ("d", 5, true), ("other", 30, true)])
        );
    }

    #[test]
    fn a_group_with_the_name_of_the_others_is_one_of_them() {
        let watched = Watched::new(2);
        let (tally, gauges) = begin(&watched, "other");
        let (more, _gauges) = begin(&watched, "other");
        tally.acks.add(1);
        more.acks.add(1);
        assert_eq!(seen(&watched), rows([("other", 2, true)]));
        drop(gauges);
        let (named, _named_gauges) = begin(&watched, "a");
        assert!(!Arc::ptr_eq(&named, &tally));
    }

    #[test]
    fn of_several_groups_the_oldest_event_is_told_and_the_rest_is_summed() {
        let one = |streams, millis, attempts| Levels {
            streams,
            oldest_age: std::time::Duration::from_millis(millis),
            oldest_attempts: attempts,
            ..Levels::default()
        };
        assert_eq!(one(2, 500, 9).and(one(3, 700, 1)), one(5, 700, 1));
        assert_eq!(one(2, 700, 1).and(one(0, 0, 0)), one(2, 700, 1));
    }
}
