//! The writer's second half: what is durable becomes visible, and goes from memory to the segments when it has become enough.

use bytes::Bytes;

use super::{
    fault,
    group::Encoded,
    partition::{Chunk, Partition},
    segments::Limits,
    writer::{Trouble, Writer},
};

/// A partition's records are written to its segment when it has this many bytes of them.
const FLUSH_BYTES: usize = 64 << 10;

impl Writer {
    pub(crate) fn publish(&mut self, encoded: Encoded) {
        let bytes = Bytes::from(encoded.bytes);
        let group = self.cache.begin(bytes.len());
        for piece in encoded.pieces {
            let chunk = Chunk {
                base: piece.base,
                end: piece.end,
                time: piece.time,
                bytes: bytes.slice(piece.range),
                group,
            };
            piece.partition.lock().push(chunk);
            piece.partition.changed.notify_waiters();
            self.cache.add(piece.partition);
        }
    }

    /// Moves what has become enough, or too much to keep in memory, to the segments.
    pub(crate) fn settle(&mut self) {
        for partition in self.cache.touched() {
            if partition.lock().unflushed_bytes >= FLUSH_BYTES {
                self.flush(&partition);
            }
        }
        while matches!(self.trouble, Trouble::None)
            && let Some((group, partitions)) = self.cache.oldest_above(self.shared.options.cache_bytes)
        {
            for partition in &partitions {
                let is_needed = partition.lock().needs_flush(group);
                if is_needed && !self.flush(partition) {
                    return;
                }
                partition.lock().evict(group);
            }
            self.cache.drop_oldest();
        }
    }

    /// Writes a partition's records to its segment. Where that fails they stay in memory and in the journal.
    pub(crate) fn flush(&mut self, partition: &Partition) -> bool {
        let limits = self.limits(partition);
        match self.segments.flush(partition, limits) {
            Ok(()) => return true,
            Err(error) if fault::is_full(&error) => {
                let error = fault::failed("write a segment", error);
                self.tell(&error);
                self.trouble = Trouble::Full(error);
            }
            Err(error) => {
                self.die("write a segment", error);
            }
        }
        false
    }

    fn limits(&self, partition: &Partition) -> Limits {
        let most = self.shared.options.segment_bytes;
        self.shared
            .read_state(|state| Limits::of(most, state.topics.get(&partition.topic)))
    }
}
