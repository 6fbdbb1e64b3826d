//! Feeds: one fetch and one decoding per partition, shared by all who read near its end.
//!
//! ```text
//! log.read ──▶ feed task ──▶ ring of recent batches ──▶ reader, reader, reader …
//! log.read ─────────────────────────────────────────▶ a reader that is behind the ring, until it has caught up
//! ```
//!
//! The ring is bounded in bytes: what is pushed out of it is read from the log again by those who still want it. A feed
//! lives while someone reads near the end.

mod live;

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio_util::task::TaskTracker;

use self::live::{Live, Lives, Next};
use crate::{
    convention,
    error::{Fault, Result},
    event::Event,
    log::{Batch, Log, LogTime, Reader, Record, TopicPartition},
};

/// One decoded record.
#[derive(Debug)]
pub struct Item {
    pub offset: i64,
    pub log_time: LogTime,
    pub key: Option<Bytes>,
    /// Key, value and headers as logged.
    pub size: u32,
    pub event: Event,
    /// Why the record is no well-formed event, if it is not.
    pub fault: Option<Fault>,
}

impl Item {
    /// What it holds in memory, about.
    pub(super) fn cost(&self) -> usize {
        self.size as usize + size_of::<Self>() + 256
    }

    /// The same in a batch of its own, which shares no bytes with the one that it came with.
    pub(super) fn alone(&self) -> FeedBatch {
        let item = Self {
            offset: self.offset,
            log_time: self.log_time,
            key: self.key.as_ref().map(|key| Bytes::copy_from_slice(key)),
            size: self.size,
            event: self.event.detached(),
            fault: self.fault.clone(),
        };
        FeedBatch {
            next: item.offset + 1,
            end: item.offset + 1,
            bytes: item.cost(),
            items: vec![item],
        }
    }
}

/// Decoded records of one partition, in order.
#[derive(Debug)]
pub(super) struct FeedBatch {
    pub(super) items: Vec<Item>,
    pub(super) next: i64,
    pub(super) end: i64,
    /// What it holds in memory, about.
    pub(super) bytes: usize,
}

/// The part of a batch that a reader asked for.
pub(super) struct Chunk {
    pub(super) batch: Arc<FeedBatch>,
    pub(super) range: Range<usize>,
    /// Reading goes on here.
    pub(super) next: i64,
}

pub(super) struct Feeds {
    log: Arc<dyn Log>,
    lives: Arc<Lives>,
}

impl Feeds {
    pub(super) fn new(log: Arc<dyn Log>, max_bytes: usize, tasks: TaskTracker) -> Self {
        let lives = Arc::new(Lives::new(Arc::clone(&log), max_bytes, tasks));
        Self { log, lives }
    }

    /// Bytes of recent events, over all partitions.
    pub(super) fn held(&self) -> usize {
        self.lives.held()
    }

    /// The partition is gone; one of the same name is another.
    pub(super) fn forget(&self, partition: &TopicPartition) {
        self.lives.forget(partition);
    }

    /// Reads from `next` up to `until`, or for ever.
    pub(super) fn reader(&self, partition: TopicPartition, next: i64, until: Option<i64>) -> FeedReader {
        FeedReader {
            log: Arc::clone(&self.log),
            lives: Arc::clone(&self.lives),
            partition,
            next,
            until,
            source: Source::New,
        }
    }
}

/// Reads one partition; near the end it shares, behind it reads alone.
pub(super) struct FeedReader {
    log: Arc<dyn Log>,
    lives: Arc<Lives>,
    partition: TopicPartition,
    next: i64,
    until: Option<i64>,
    source: Source,
}

/// A feed is started for a reader that is at most so many offsets behind.
const NEAR: i64 = 1_000;

enum Source {
    New,
    Own(Reader),
    Live(Arc<Live>),
}

impl FeedReader {
    pub(super) fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    pub(super) fn position(&self) -> i64 {
        self.next
    }

    pub(super) fn until(&self) -> Option<i64> {
        self.until
    }

    /// The next records, waiting for them; `None` at `until`. After an error the reader starts over where it was.
    /// Cancelling loses nothing: the position moves only with what is returned.
    pub(super) async fn next(&mut self) -> Option<Result<Chunk>> {
        loop {
            if self.until.is_some_and(|until| self.next >= until) {
                return None;
            }
            let batch = match &mut self.source {
                Source::New => {
                    self.source = self.begin().await;
                    continue;
                }
                Source::Own(reader) => match reader.next().await {
                    Some(Ok(batch)) => Arc::new(decode_batch(&self.partition, batch)),
                    Some(Err(error)) => {
                        self.source = Source::New;
                        return Some(Err(error));
                    }
                    None => return None,
                },
                Source::Live(live) => match live.after(self.next).await {
                    Next::Batch(batch) => batch,
                    // Read alone, so that it comes on: another feed may push out what comes next before it is taken, too.
                    // And whatever has failed, reading the log says so.
                    Next::Elsewhere | Next::Failed => {
                        self.source = self.own();
                        continue;
                    }
                },
            };
            if matches!(self.source, Source::Own(_)) && batch.next >= batch.end && self.until.is_none() {
                self.source = Source::Live(self.lives.attach(&self.partition, batch.next));
            }
            if let Some(chunk) = self.cut(batch) {
                return Some(Ok(chunk));
            }
        }
    }

    /// Who begins near the end shares from the start.
    async fn begin(&mut self) -> Source {
        if self.until.is_some() {
            return self.own();
        }
        let bounds = self.log.bounds(std::slice::from_ref(&self.partition)).await;
        let to_catch_up = bounds.map_or(i64::MAX, |bounds| bounds[0].end - self.next);
        let may_start = (0..=NEAR).contains(&to_catch_up);
        match self.lives.covering(&self.partition, self.next, may_start) {
            Some(live) => Source::Live(live),
            None => self.own(),
        }
    }

    fn own(&self) -> Source {
        Source::Own(self.log.read(&self.partition, self.next, self.until))
    }

    fn cut(&mut self, batch: Arc<FeedBatch>) -> Option<Chunk> {
        let until = self.until.unwrap_or(i64::MAX);
        let from = batch.items.partition_point(|item| item.offset < self.next);
        let to = batch.items.partition_point(|item| item.offset < until);
        let next = batch.next.min(until);
        if next <= self.next {
            return None;
        }
        self.next = next;
        Some(Chunk {
            batch,
            range: from..to.max(from),
            next,
        })
    }
}

/// Records of one partition, in order, as they are read next to one another.
pub(super) fn decode(partition: &TopicPartition, records: Vec<Record>) -> FeedBatch {
    let (next, end) = records.last().map_or((0, 0), |last| (last.offset + 1, last.offset + 1));
    decode_batch(partition, Batch { records, next, end })
}

fn decode_batch(partition: &TopicPartition, batch: Batch) -> FeedBatch {
    let items: Vec<Item> = batch
        .records
        .into_iter()
        .map(|record| decode_one(partition, record))
        .collect();
    let bytes = items.iter().map(Item::cost).sum();
    FeedBatch {
        items,
        next: batch.next,
        end: batch.end,
        bytes,
    }
}

pub(super) fn decode_one(partition: &TopicPartition, record: Record) -> Item {
    let size = u32::try_from(record.size()).unwrap_or(u32::MAX);
    let decoded = convention::decode(partition, &record);
    Item {
        offset: record.offset,
        log_time: record.time,
        key: record.key,
        size,
        event: decoded.event,
        fault: decoded.fault,
    }
}
