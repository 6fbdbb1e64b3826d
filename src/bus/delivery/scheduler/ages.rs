//! Which event has been out for longest.

use std::time::Instant;

use rustc_hash::FxHashMap;

use super::Scheduler;
use crate::bus::delivery::{PartitionId, entry::Entry};

impl<P> Scheduler<P> {
    /// Of the events that were sent and are not settled, the one first sent longest ago.
    pub(in crate::bus::delivery) fn oldest_sent(&self) -> Option<&Entry<P>> {
        self.all_sent().min_by_key(|entry| age_order(entry))
    }

    /// The same for each partition.
    pub(in crate::bus::delivery) fn oldest_sent_of_each(&self) -> FxHashMap<PartitionId, &Entry<P>> {
        let mut oldest: FxHashMap<PartitionId, &Entry<P>> = FxHashMap::default();
        for entry in self.all_sent() {
            let known = oldest.entry(entry.partition).or_insert(entry);
            if age_order(entry) < age_order(known) {
                *known = entry;
            }
        }
        oldest
    }

    fn all_sent(&self) -> impl Iterator<Item = &Entry<P>> {
        let entries = self.entries.iter().map(|(_, entry)| entry);
        entries.filter(|entry| entry.first_sent.is_some())
    }
}

/// Of two events that were sent, the one first sent comes first.
fn age_order<P>(entry: &Entry<P>) -> (Option<Instant>, i64) {
    (entry.first_sent, entry.arrival.offset)
}
