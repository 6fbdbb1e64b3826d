//! Reading a partition: from memory where its newest records are, else from its segments; at the end it waits for the writer.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::{
    fault,
    files::SegmentName,
    partition::{Gone, Partition, Place},
    record::Head,
    segment_read::{self, Cursor, Segment},
    table::Shared,
};
use crate::{
    error::{Error, Reason, Result},
    log::{Batch, Reader, Record, TopicPartition},
};

/// Bytes of a batch, unless one record alone is larger.
pub(crate) const BATCH_BYTES: usize = 256 << 10;

pub(crate) fn read(shared: Arc<Shared>, partition: &TopicPartition, from: i64, until: Option<i64>) -> Reader {
    let found = shared.partition(partition);
    let reading = found.map(|partition| Reading {
        shared,
        partition,
        next: from,
        until: until.unwrap_or(i64::MAX),
        cursor: None,
    });
    match reading {
        Err(error) => stream::iter([Err(error)]).boxed(),
        Ok(reading) => stream::unfold(Some(reading), |reading| async {
            let mut reading = reading?;
            match reading.next().await? {
                Ok(batch) => Some((Ok(batch), Some(reading))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed(),
    }
}

struct Reading {
    shared: Arc<Shared>,
    partition: Arc<Partition>,
    next: i64,
    until: i64,
    /// Where the segment that was read last goes on.
    cursor: Option<Cursor>,
}

impl Reading {
    async fn next(&mut self) -> Option<Result<Batch>> {
        while self.next < self.until {
            let batch = match self.find() {
                Place::End => {
                    self.wait().await;
                    continue;
                }
                Place::Gone(Gone::Deleted) => Err(Error::no_such_topic(&self.partition.name.topic)),
                Place::Gone(Gone::Closed) => Err(fault::closed()),
                Place::Outside => Err(self.outside()),
                Place::Memory(chunks) => Ok(Some(self.memory_batch(&chunks))),
                Place::Segment(segment, index) => {
                    let name = segment.name(self.partition.topic, self.partition.number);
                    self.segment_batch(Segment {
                        name,
                        known: segment,
                        index,
                    })
                    .await
                }
            };
            match batch {
                Ok(None) => {}
                Ok(Some(batch)) => {
                    self.next = batch.next;
                    return Some(Ok(batch));
                }
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }

    fn find(&self) -> Place {
        self.partition.lock().find(self.next, BATCH_BYTES)
    }

    async fn wait(&self) {
        let mut changed = std::pin::pin!(self.partition.changed.notified());
        changed.as_mut().enable();
        // It may have changed before it was listened to.
        if matches!(self.find(), Place::End) {
            changed.await;
        }
    }

    fn outside(&self) -> Error {
        let bounds = self.partition.lock().bounds();
        let TopicPartition { topic, partition } = &self.partition.name;
        let text = format!(
            "read partition {partition} of topic {topic} at offset {}: it has offsets {} to {}",
            self.next, bounds.start, bounds.end
        );
        Error::new(Reason::PositionGone, text)
    }

    fn memory_batch(&self, chunks: &[Bytes]) -> Batch {
        let mut records = Vec::new();
        let mut room = BATCH_BYTES;
        for chunk in chunks {
            if !self.take(chunk, &mut records, &mut room) {
                break;
            }
        }
        let next = records.last().map_or(self.next, |last: &Record| last.offset + 1);
        Batch {
            records,
            next,
            end: self.partition.lock().end,
        }
    }

    /// Takes records while there is room; says whether there may be more.
    fn take(&self, chunk: &Bytes, records: &mut Vec<Record>, room: &mut usize) -> bool {
        let mut at = 0;
        while let Ok(head) = Head::read(&chunk[at..]) {
            if head.offset >= self.until || (head.len > *room && !records.is_empty()) {
                return false;
            }
            if head.offset >= self.next {
                records.push(head.record(chunk, at));
                *room = room.saturating_sub(head.len);
            }
            at += head.len;
        }
        true
    }

    /// `None`: the segment went away meanwhile; look again.
    async fn segment_batch(&mut self, segment: Segment) -> Result<Option<Batch>> {
        let (shared, name) = (self.shared.clone(), segment.name);
        let recoveries = shared.recoveries.load(Ordering::SeqCst);
        let (from, until, cursor) = (self.next, self.until, self.cursor.take());
        let work = move || segment_read::batch(&shared, &segment, from..until, cursor);
        let read = tokio::task::spawn_blocking(work).await;
        let read = read.unwrap_or_else(|_| Err(Error::new(Reason::Internal, "reading a segment was aborted")));
        match read {
            Ok(read) => {
                self.cursor = read.cursor;
                let end = self.partition.lock().end;
                Ok(Some(Batch {
                    records: read.records,
                    next: read.next.min(until),
                    end,
                }))
            }
            Err(error) => {
                self.healthy().await;
                let has_changed = self.shared.recoveries.load(Ordering::SeqCst) != recoveries || !self.still_has(name);
                if has_changed { Ok(None) } else { Err(error) }
            }
        }
    }

    /// Waits while the segments are being recovered: an odd number of changes.
    async fn healthy(&self) {
        let mut health = self.shared.health.subscribe();
        while !self.shared.recoveries.load(Ordering::SeqCst).is_multiple_of(2) {
            if health.changed().await.is_err() {
                return;
            }
        }
    }

    fn still_has(&self, name: SegmentName) -> bool {
        let inner = self.partition.lock();
        let mut names = inner
            .segments
            .iter()
            .map(|segment| segment.name(name.topic, name.partition));
        inner.gone.is_none() && names.any(|known| known == name)
    }
}
