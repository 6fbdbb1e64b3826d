//! Reading what is replayed, from logs that may have lost some of it: a replay ends whatever becomes of its topics.

use std::{ops::Range, sync::Arc, time::Duration};

use super::{Came, Kind, Known};
use crate::{
    bus::{
        delivery::{Arrival, PartitionId},
        feed::FeedReader,
        group::{
            gaps::gap_at,
            payload::{Cause, Held, Payload},
            task::{RETRY, Task},
        },
        key_hash,
        sieve::{Sieve, Sifted, sift},
        start::{Gap, GapReason},
    },
    error::{Error, Reason},
    log::{Log, TopicPartition},
};

/// A read that brings nothing for so long is looked into.
const PATIENCE: Duration = Duration::from_secs(5);
/// Partitions that are read at once.
const AT_ONCE: usize = 4;

/// A reader that waits until there is room.
pub(super) struct Parked {
    pub(super) id: PartitionId,
    pub(super) serial: u64,
    pub(super) reader: FeedReader,
}

/// A reading that ended.
pub(super) struct ReadBack {
    number: u64,
    parked: Parked,
    got: Got,
}

enum Got {
    Events(Sifted),
    /// All of the range is read.
    End,
    /// What comes next is gone.
    Gone(Gap),
    Failed(Error),
    /// Nothing came, and nothing is wrong.
    Nothing,
}

impl Task {
    /// Reads on where there is room, the partition first that has waited longest.
    pub(super) fn read_back(&mut self) {
        let Some(known) = self.replaying.known.clone() else {
            return;
        };
        if self.members.is_empty() || self.drain_until.is_some() {
            return;
        }
        for _ in 0..self.replaying.parked.len() {
            if self.replaying.reading >= AT_ONCE || self.replaying.buffer.room() == 0 {
                return;
            }
            let Some(parked) = self.replaying.parked.pop_front() else {
                return;
            };
            if !self.dispatch.replay_wants_more(parked.id) {
                self.replaying.parked.push_back(parked);
                continue;
            }
            self.replaying.reading += 1;
            let (log, number) = (Arc::clone(&self.bus.log), self.replaying.number);
            let lens = self
                .bus
                .lens(self.identity.tenant.as_ref(), &parked.reader.partition().topic);
            let sieve = Sieve::new(lens, self.identity.filter().into_iter().chain(known.filter.clone()));
            self.replaying.work.push(Box::pin(async move {
                let mut parked = parked;
                let got = read(&*log, &mut parked.reader, &sieve).await;
                Came(Kind::Read(ReadBack { number, parked, got }))
            }));
        }
    }

    pub(super) fn replay_read(&mut self, read: ReadBack) {
        let ReadBack { number, parked, got } = read;
        if number != self.replaying.number {
            return;
        }
        self.replaying.reading -= 1;
        let Some(owned) = self.owned.get(&parked.id).filter(|owned| owned.serial == parked.serial) else {
            return;
        };
        let Some(known) = self.replaying.known.clone() else {
            return;
        };
        let Some(until) = known.row.range(&owned.partition).map(|range| range.until) else {
            return;
        };
        self.commits.changes += 1;
        match got {
            Got::Events(sifted) => {
                self.replay_arrived(parked.id, &sifted, &known);
                self.replaying.parked.push_back(parked);
            }
            Got::End => self.dispatch.replay_skips_to(parked.id, until, |_| ()),
            Got::Gone(gap) => self.replay_over_gap(parked, &gap, until),
            Got::Failed(error) if error.reason() == Reason::LogDamaged => self.fail_replay(&error),
            Got::Failed(error) => {
                tracing::warn!(group = %self.identity.group, %error, "cannot read for a replay, trying again");
                self.replaying.parked.push_back(parked);
            }
            Got::Nothing => self.replaying.parked.push_back(parked),
        }
    }

    /// What a filter hides is settled.
    fn replay_arrived(&mut self, id: PartitionId, sifted: &Sifted, known: &Known) {
        let (batch, passing) = sifted.passing();
        let cause = Cause::Replayed(Arc::clone(&known.mark));
        let held = Held::new(Arc::clone(batch), cause, &self.replaying.buffer);
        for index in passing {
            let item = &batch.items[index];
            let arrival = Arrival {
                offset: item.offset,
                key: item.key.as_ref().map(key_hash),
                size: item.size,
                payload: Payload {
                    held: Arc::clone(&held),
                    index,
                },
                doom: self.identity.doom_of(item),
            };
            self.dispatch.replay_arrives(id, arrival);
        }
        let hidden = sifted.hidden() as u64;
        self.dispatch
            .replay_skips_to(id, sifted.next(), |counts| counts.hidden += hidden);
    }

    /// Retention overtook the replay, or the topic was made anew: its events are others.
    fn replay_over_gap(&mut self, mut parked: Parked, gap: &Gap, until: i64) {
        let next = match gap.reason {
            GapReason::Retention => gap.to.min(until),
            GapReason::Truncated => until,
        };
        let gone = u64::try_from(next - parked.reader.position()).unwrap_or(0);
        let (group, topic, partition) = (&self.identity.group, &gap.partition.topic, gap.partition.partition);
        tracing::warn!(%group, %topic, partition, gone, "events that were to be replayed are gone");
        self.dispatch
            .replay_skips_to(parked.id, next, |counts| counts.gone += gone);
        if next < until {
            parked.reader = self.bus.feeds.reader(gap.partition.clone(), next, Some(until));
            self.replaying.parked.push_back(parked);
        }
    }
}

async fn read(log: &dyn Log, reader: &mut FeedReader, sieve: &Sieve) -> Got {
    let (partition, range) = (
        reader.partition().clone(),
        reader.position()..reader.until().unwrap_or(0),
    );
    match tokio::time::timeout(PATIENCE, reader.next()).await {
        Ok(None) => Got::End,
        Ok(Some(Ok(chunk))) => Got::Events(sift(chunk, sieve).await),
        Ok(Some(Err(error))) => match gone(log, partition, range).await {
            Some(gap) => Got::Gone(gap),
            None => {
                tokio::time::sleep(RETRY).await;
                Got::Failed(error)
            }
        },
        // The log never waits within a range unless the range is not there.
        Err(_) => gone(log, partition, range).await.map_or(Got::Nothing, Got::Gone),
    }
}

/// What is gone where the range begins. A topic that ends before the range does was made anew.
async fn gone(log: &dyn Log, partition: TopicPartition, range: Range<i64>) -> Option<Gap> {
    if let Some(gap) = gap_at(log, partition.clone(), range.start).await {
        return Some(gap);
    }
    let bounds = log.bounds(std::slice::from_ref(&partition)).await.ok()?;
    let to = bounds[0].end;
    (to < range.end).then_some(Gap {
        partition,
        from: range.start,
        to,
        reason: GapReason::Truncated,
    })
}
