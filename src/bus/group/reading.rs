//! Reading the partitions of a group, as far as there is room, and over what is gone.

use std::sync::{Arc, atomic::Ordering};

use tokio_util::sync::CancellationToken;

use super::{
    Payload,
    gaps::gap_at,
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
    log::Log,
};

/// A reading that ended; `None` = the partition has left meanwhile.
pub(super) struct ReadDone {
    id: PartitionId,
    serial: u64,
    is_behind: bool,
    outcome: Option<(FeedReader, Option<Result<Chunk>>)>,
    /// Where what comes next is gone.
    gap: Option<Gap>,
}

impl Task {
    /// Reads on where there is room, the partition first that has waited longest.
    pub(super) fn read_on(&mut self) {
        let limit = self.bus.settings.group_buffer_bytes;
        let held = self.held.load(Ordering::Relaxed);
        if held >= limit || self.drain_until.is_some() || self.members.is_empty() {
            return;
        }
        let most_behind = ((limit - held) / BATCH_BYTES).max(1);
        for _ in 0..self.parked.len() {
            let Some(id) = self.parked.pop_front() else { return };
            let Some(owned) = self.owned.get_mut(&id) else { continue };
            let is_behind = owned
                .parked
                .as_ref()
                .is_some_and(|reader| reader.position() < owned.end);
            if !self.dispatch.wants_more(id) || (is_behind && self.reads_behind >= most_behind) {
                self.parked.push_back(id);
                continue;
            }
            if let Some(reader) = owned.parked.take() {
                self.reads_behind += usize::from(is_behind);
                let log = Arc::clone(&self.bus.log);
                self.reads.push(Box::pin(read(
                    log,
                    (id, owned.serial, is_behind),
                    reader,
                    owned.stop.clone(),
                )));
            }
        }
    }

    pub(super) fn park(&mut self, id: PartitionId, reader: FeedReader) {
        if let Some(owned) = self.owned.get_mut(&id) {
            owned.parked = Some(reader);
            self.parked.push_back(id);
        }
    }

    pub(super) fn received(&mut self, read: ReadDone) {
        self.reads_behind -= usize::from(read.is_behind);
        let Some((reader, outcome)) = read.outcome else { return };
        let Some(owned) = self.owned.get_mut(&read.id).filter(|owned| owned.serial == read.serial) else {
            return;
        };
        match outcome {
            Some(Ok(chunk)) => {
                self.arrived(read.id, chunk);
                self.park(read.id, reader);
            }
            Some(Err(error)) => match read.gap {
                Some(gap) => self.over_gap(read.id, &gap),
                None => {
                    tracing::warn!(group = %self.identity.group, %error, "cannot read, trying again");
                    let (id, serial, stop) = (read.id, read.serial, owned.stop.clone());
                    let log = Arc::clone(&self.bus.log);
                    self.reads.push(Box::pin(async move {
                        tokio::time::sleep(RETRY).await;
                        self::read(log, (id, serial, false), reader, stop).await
                    }));
                }
            },
            None => {}
        }
    }

    fn arrived(&mut self, id: PartitionId, chunk: Chunk) {
        let Some(owned) = self.owned.get_mut(&id) else { return };
        self.version += 1;
        owned.changed = self.version;
        owned.end = owned.end.max(chunk.batch.end);
        let held = Held::new(Arc::clone(&chunk.batch), None, &self.held);
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
                    doom: self.identity.doom_of(item),
                },
            );
        }
        self.dispatch.skip_to(id, chunk.next);
    }
}

async fn read(
    log: Arc<dyn Log>,
    (id, serial, is_behind): (PartitionId, u64, bool),
    mut reader: FeedReader,
    stop: CancellationToken,
) -> ReadDone {
    let outcome = tokio::select! {
        () = stop.cancelled() => None,
        outcome = reader.next() => Some(outcome),
    };
    let gap = match &outcome {
        Some(Some(Err(error))) if error.reason() == Reason::PositionGone => {
            gap_at(&*log, reader.partition().clone(), reader.position()).await
        }
        _ => None,
    };
    ReadDone {
        id,
        serial,
        is_behind,
        outcome: outcome.map(|outcome| (reader, outcome)),
        gap,
    }
}

/// About what a batch of the log holds at most.
const BATCH_BYTES: usize = 256 * 1024;
