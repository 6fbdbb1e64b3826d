//! Settling a partition up to an offset at once: whoever had events below it has them no more.

use super::Dispatch;
use crate::bus::delivery::{PartitionId, StreamId, stream::Out};

impl<P> Dispatch<P> {
    /// Everything of the partition below the offset is done, also what did not arrive yet. What streams have of it is settled, with
    /// their credit as after an ack; later acks of it are answered so. What comes from dead letters and replays is not touched. Says how many
    /// events were settled, of those that had arrived.
    pub fn settle_below(&mut self, id: PartitionId, offset: i64) -> usize {
        let partition = self.partitions.get_mut(id);
        if !partition.is_some_and(|partition| partition.settle_below(offset)) {
            return 0;
        }
        let scheduler = &self.scheduler;
        let is_done = |out: &Out| scheduler.is_below(out.entry, id, offset);
        let streams = self.streams.iter_mut();
        let settled: Vec<Out> = streams.flat_map(|(_, stream)| stream.settle(is_done)).collect();
        for out in settled {
            self.landed(out);
        }
        let count = self.scheduler.settle_below(id, offset);
        let streams: Vec<StreamId> = self.streams.iter().map(|(id, _)| id).collect();
        streams.into_iter().for_each(|id| self.list(id));
        self.admit(id);
        count
    }
}
