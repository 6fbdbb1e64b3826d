//! Putting compacted segments in place, on the writer's thread; the old files go once a checkpoint names the new ones.

use std::sync::atomic::Ordering;

use super::{compaction::Compacted, files::SegmentName, sheet::Segment, writer::Writer};
use crate::error::Result;

impl Writer {
    /// Puts compacted segments in place. Says how many bytes will come free.
    pub(crate) fn replace(&mut self, compacted: Compacted) -> Result<u64> {
        let Compacted {
            partition,
            replaced,
            recoveries,
        } = compacted;
        let is_current = self.shared.recoveries.load(Ordering::SeqCst) == recoveries;
        let mut freed = 0;
        for (old, new) in replaced {
            let name = old.name(partition.topic, partition.number);
            let next = SegmentName {
                generation: old.generation + 1,
                ..name
            };
            let is_in_place = is_current && partition.lock().replace(&old, new.clone());
            if is_in_place {
                freed += old.len - new.as_ref().map_or(0, |new| new.len);
                self.obsolete.push(name);
            }
            if !is_in_place || new.is_none() {
                self.remove(next);
            }
        }
        if !self.obsolete.is_empty() {
            self.ready()?;
            self.roll()?;
            self.begin_checkpoint();
        }
        Ok(freed)
    }

    pub(crate) fn remove(&self, name: SegmentName) {
        self.shared.handles.forget(|known| *known == name);
        for path in [self.shared.layout.segment(name), self.shared.layout.index(name)] {
            // What cannot be removed goes at the next start.
            let _ = self.shared.files.remove(&path);
        }
    }
}

impl super::partition::Inner {
    /// Puts one segment in another's place, or nothing. `false` if it is not there as it was.
    fn replace(&mut self, old: &Segment, new: Option<Segment>) -> bool {
        let is_same = |segment: &&Segment| segment.base == old.base && segment.generation == old.generation;
        let Some(at) = self.segments.iter().position(|segment| is_same(&segment)) else {
            return false;
        };
        match new {
            Some(new) => self.segments[at] = new,
            None => drop(self.segments.remove(at)),
        }
        true
    }
}
