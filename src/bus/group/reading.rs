//! Reading the partitions of a group, as far as there is room, and over what is gone.

use std::sync::{Arc, atomic::Ordering};

use tokio_util::sync::CancellationToken;

use super::{
    Payload,
    payload::Held,
    task::{RETRY, Task},
};
use crate::{
    bus::{
        delivery::{Arrival, PartitionId},
        feed::{Chunk, FeedReader},
        key_hash,
        start::Gap,
    },
    error::{Reason, Result},
};

/// A reading that ended; `None` = the partition has left meanwhile.
pub(super) struct ReadDone {
    id: PartitionId,
    serial: u64,
    outcome: Option<(FeedReader, Option<Result<Chunk>>)>,
}

impl Task {
    /// Reads on where there is room.
    pub(super) fn read_on(&mut self) {
        let room = self.held.load(Ordering::Relaxed) < self.bus.settings.group_buffer_bytes;
        if !room || self.drain_until.is_some() {
            return;
        }
        for (id, owned) in &mut self.owned {
            if owned.parked.is_some() && self.dispatch.wants_more(*id) {
                let Some(reader) = owned.parked.take() else { continue };
                self.reads
                    .push(Box::pin(read(*id, owned.serial, reader, owned.stop.clone())));
            }
        }
    }

    pub(super) async fn received(&mut self, read: ReadDone) {
        let Some((reader, outcome)) = read.outcome else { return };
        let Some(owned) = self.owned.get_mut(&read.id).filter(|owned| owned.serial == read.serial) else {
            return;
        };
        match outcome {
            Some(Ok(chunk)) => {
                owned.parked = Some(reader);
                self.arrived(read.id, chunk);
            }
            Some(Err(error)) if error.reason() == Reason::PositionGone => self.over_gap(read.id, reader).await,
            // The log says with a change of its own that the topic is gone.
            Some(Err(error)) if error.reason() == Reason::TopicNotFound => {}
            Some(Err(error)) => {
                tracing::warn!(group = %self.identity.group, %error, "cannot read, trying again");
                let (id, serial, stop) = (read.id, read.serial, owned.stop.clone());
                self.reads.push(Box::pin(async move {
                    tokio::time::sleep(RETRY).await;
                    self::read(id, serial, reader, stop).await
                }));
            }
            None => {}
        }
    }

    fn arrived(&mut self, id: PartitionId, chunk: Chunk) {
        let Some(owned) = self.owned.get_mut(&id) else { return };
        self.version += 1;
        owned.changed = self.version;
        owned.end = owned.end.max(chunk.batch.end);
        let held = Held::new(Arc::clone(&chunk.batch), &self.held);
        if let Some(first) = chunk
            .batch
            .items
            .get(chunk.range.start)
            .filter(|_| !chunk.range.is_empty())
        {
            owned.times.push_back((first.offset, first.log_time));
        }
        for index in chunk.range {
            let item = &chunk.batch.items[index];
            self.dispatch.arrive(
                id,
                Arrival {
                    offset: item.offset,
                    key: item.key.as_ref().map(key_hash),
                    size: item.size,
                    payload: Payload {
                        held: Arc::clone(&held),
                        index,
                    },
                },
            );
        }
        self.dispatch.skip_to(id, chunk.next);
    }

    /// Retention overtook the group.
    async fn over_gap(&mut self, id: PartitionId, reader: FeedReader) {
        let Some(owned) = self.owned.get_mut(&id) else { return };
        let partition = reader.partition().clone();
        let bounds = self.bus.log.bounds(std::slice::from_ref(&partition)).await;
        let gap = bounds
            .ok()
            .and_then(|bounds| Gap::at(&partition, reader.position(), bounds[0]));
        let Some(gap) = gap else {
            owned.parked = Some(reader);
            return;
        };
        owned.parked = Some(self.bus.feeds.reader(partition, gap.to, None));
        owned.must_commit = true;
        self.dispatch.skip_to(id, gap.to);
        self.commits.acked += 1;
        self.tell_gap(&gap);
    }
}

async fn read(id: PartitionId, serial: u64, mut reader: FeedReader, stop: CancellationToken) -> ReadDone {
    let outcome = tokio::select! {
        () = stop.cancelled() => None,
        outcome = reader.next() => Some(outcome),
    };
    ReadDone {
        id,
        serial,
        outcome: outcome.map(|outcome| (reader, outcome)),
    }
}
