//! Settling all events of a partition below an offset at once, wherever they are.

use super::Scheduler;
use crate::bus::delivery::{PartitionId, entry::EntryId};

impl<P> Scheduler<P> {
    pub(in crate::bus::delivery) fn is_below(&self, id: EntryId, partition: PartitionId, offset: i64) -> bool {
        self.get(id).is_some_and(|entry| entry.is_below(partition, offset))
    }

    /// Settles them, and lets the next of their keys go; says how many there were. What is being written as a dead letter stays
    /// until it is written, and its key with it.
    pub(in crate::bus::delivery) fn settle_below(&mut self, partition: PartitionId, offset: i64) -> usize {
        // First those that wait for others of their key, so that none of them goes ahead.
        let waiting = self.drop_waiting(partition, offset);
        let entries = &self.entries;
        let is_meant = |id: &EntryId| entries.get(*id).is_some_and(|entry| entry.is_below(partition, offset));
        for queue in [&mut self.ready, &mut self.alone, &mut self.doomed] {
            queue.retain(|id| !is_meant(id));
        }
        self.delayed.retain(|delayed| !is_meant(&delayed.0.1));
        let ahead = entries.iter().filter(|(_, entry)| entry.is_below(partition, offset));
        let ahead: Vec<EntryId> = ahead.map(|(id, _)| id).collect();
        for id in &ahead {
            self.done(*id);
        }
        self.unsent = self.entries.iter().filter(|(_, entry)| entry.is_unsent).count();
        waiting + ahead.len()
    }

    fn drop_waiting(&mut self, partition: PartitionId, offset: i64) -> usize {
        let (entries, troubled) = (&mut self.entries, &mut self.troubled);
        let before = entries.len();
        let lanes = self.lanes.iter_mut().filter(|((of, _), _)| *of == partition);
        for (_, lane) in lanes {
            lane.retain(|id| {
                let stays = entries.get(*id).is_some_and(|entry| !entry.is_below(partition, offset));
                if !stays && let Some(entry) = entries.try_remove(*id) {
                    troubled.remove(&(partition, entry.arrival.offset));
                }
                stays
            });
        }
        before - entries.len()
    }
}
