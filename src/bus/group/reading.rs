//! Reading the partitions of a group, as far as there is room, and over what is gone.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{
    Payload,
    gaps::gap_at,
    identity::Identity,
    payload::{Cause, Held},
    task::{RETRY, Task},
};
use crate::{
    bus::{
        Inner,
        delivery::{Arrival, PartitionId},
        feed::FeedReader,
        key_hash,
        sieve::{Sieve, Sifted, sift},
        start::Gap,
    },
    error::{Reason, Result},
    log::Log,
    name::Topic,
};

/// A reading that ended; `None` = the partition has left meanwhile.
pub(super) struct ReadDone {
    id: PartitionId,
    serial: u64,
    is_behind: bool,
    outcome: Option<(FeedReader, Option<Result<Sifted>>)>,
    /// Where what comes next is gone.
    gap: Option<Gap>,
}

impl Task {
    /// Reads on where there is room, the partition first that has waited longest.
    pub(super) fn read_on(&mut self) {
        let room = self.watch.gauges.buffer.room();
        let has_enough = self.dispatch.ready() >= READY;
        if room == 0 || has_enough || self.drain_until.is_some() || self.members.is_empty() {
            return;
        }
        let most_behind = (room / BATCH_BYTES).max(1);
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
                let sieve = sieve(&self.bus, &self.identity, &owned.partition.topic);
                self.reads.push(Box::pin(read(
                    log,
                    (id, owned.serial, is_behind),
                    (reader, sieve),
                    owned.stop.clone(),
                )));
            }
        }
    }

    pub(super) fn park(&mut self, id: PartitionId, reader: FeedReader) {
        if let Some(owned) = self.owned.get_mut(&id) {
            owned.parked = Some(reader);
            self.parked.push_back(id);
            self.jump(id);
        }
    }

    pub(super) fn received(&mut self, read: ReadDone) {
        self.reads_behind -= usize::from(read.is_behind);
        let Some((reader, outcome)) = read.outcome else { return };
        let Some(owned) = self.owned.get_mut(&read.id).filter(|owned| owned.serial == read.serial) else {
            return;
        };
        match outcome {
            Some(Ok(sifted)) => {
                self.arrived(read.id, &sifted);
                self.park(read.id, reader);
            }
            Some(Err(error)) => match read.gap {
                Some(gap) => self.over_gap(read.id, &gap),
                None => {
                    tracing::warn!(group = %self.identity.group, %error, "cannot read, trying again");
                    let (id, serial, stop) = (read.id, read.serial, owned.stop.clone());
                    let (log, sieve) = (
                        Arc::clone(&self.bus.log),
                        sieve(&self.bus, &self.identity, &owned.partition.topic),
                    );
                    self.reads.push(Box::pin(async move {
                        tokio::time::sleep(RETRY).await;
                        self::read(log, (id, serial, false), (reader, sieve), stop).await
                    }));
                }
            },
            None => {}
        }
    }

    /// What the group's filter hides counts as settled.
    fn arrived(&mut self, id: PartitionId, sifted: &Sifted) {
        let Some(owned) = self.owned.get_mut(&id) else { return };
        self.version += 1;
        owned.changed = self.version;
        owned.end = owned.end.max(sifted.end());
        if let Some(first) = sifted.first() {
            owned.times.push_back((first.offset, first.log_time));
        }
        self.commits.changes += sifted.hidden();
        let (batch, passing) = sifted.passing();
        let held = Held::new(Arc::clone(batch), Cause::Live, &self.watch.gauges.buffer);
        for index in passing {
            let item = &batch.items[index];
            if owned.is_passed(item.offset) {
                self.commits.changes += 1;
                continue;
            }
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
        self.dispatch.skip_to(id, sifted.next());
    }
}

/// What of a topic the group gets.
pub(super) fn sieve(bus: &Inner, identity: &Identity, topic: &Topic) -> Sieve {
    Sieve::new(bus.lens(identity.tenant.as_ref(), topic), identity.filter())
}

async fn read(
    log: Arc<dyn Log>,
    (id, serial, is_behind): (PartitionId, u64, bool),
    (mut reader, sieve): (FeedReader, Sieve),
    stop: CancellationToken,
) -> ReadDone {
    let next = async {
        match reader.next().await {
            Some(Ok(chunk)) => Some(Ok(sift(chunk, &sieve).await)),
            Some(Err(error)) => Some(Err(error)),
            None => None,
        }
    };
    let outcome = tokio::select! {
        () = stop.cancelled() => None,
        outcome = next => Some(outcome),
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
/// While so many events could be sent and no stream takes them, no more are read: a group with little credit costs its
/// neighbors little. More than the streams take while a batch is read.
const READY: usize = 4_096;
