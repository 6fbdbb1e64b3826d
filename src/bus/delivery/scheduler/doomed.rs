//! Events that become dead letters, keys that are quarantined behind one, and dead letters that are sent again.

use super::Scheduler;
use crate::bus::delivery::entry::{Doom, Entry, EntryId, LaneKey};

impl<P> Scheduler<P> {
    /// The next event that becomes a dead letter; it is busy until it is done or spared.
    pub(in crate::bus::delivery) fn bury_next(&mut self) -> Option<(EntryId, &Entry<P>)> {
        let id = self.doomed.pop_front()?;
        let entry = self.entries.get_mut(id)?;
        self.unsent -= usize::from(std::mem::take(&mut entry.is_unsent));
        entry.out = true;
        Some((id, entry))
    }

    /// The event becomes a dead letter.
    pub(in crate::bus::delivery) fn doom(&mut self, id: EntryId, doom: Doom) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.out = false;
            entry.doom = Some(Box::new(doom));
            self.doomed.push_back(id);
        }
    }

    /// From now on events of this key become dead letters, also those of dead letters that came before.
    pub(in crate::bus::delivery) fn quarantine(&mut self, lane: LaneKey) {
        self.quarantines += 1;
        self.quarantined.insert(lane, self.quarantines);
    }

    /// An event of a dead letter is to be sent again, whatever its key's quarantine if it `passes`.
    pub(in crate::bus::delivery) fn redrive(&mut self, mut entry: Entry<P>, passes: bool) {
        entry.passes = if passes { self.quarantines } else { 0 };
        self.arrive(entry);
    }

    /// Whether an event waits to become a dead letter.
    pub(in crate::bus::delivery) fn has_doomed(&self) -> bool {
        !self.doomed.is_empty()
    }

    /// Events of this key are sent again.
    pub(in crate::bus::delivery) fn free(&mut self, lane: LaneKey) {
        self.quarantined.remove(&lane);
    }
}
