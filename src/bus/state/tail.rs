//! The end of a partition, read from the log and folded: what became of each key from an offset on, up to another.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::{
    fold::Rule,
    gather::{Gather, Gathered},
    manifest::{Mark, join},
    memory::Memory,
    runs::Spill,
};
use crate::{
    convention::Effect,
    error::{Error, Reason, Result},
    log::{Batch, Log, LogTime, Record, TopicPartition},
};

/// What stays in memory of all partitions of a topic, so that a restore of few events needs no file.
const LEFT_IN_MEMORY: usize = 1 << 20;

/// After so long without a record it is asked whether there can be one.
const PATIENCE: Duration = Duration::from_secs(5);

/// What all partitions of a topic are read with. Cloning it is cheap.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) log: Arc<dyn Log>,
    pub(super) memory: Memory,
    pub(super) spill: Spill,
    pub(super) progress: Arc<Progress>,
    pub(super) rule: Rule,
    /// How many there are.
    pub(super) partitions: usize,
}

/// How far reading is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) read: AtomicU64,
    pub(super) total: AtomicU64,
}

/// What is to be read.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) at: TopicPartition,
    pub(super) from: i64,
    pub(super) until: i64,
    /// Records older than this count no more.
    pub(super) before: LogTime,
}

/// What was read.
pub(super) struct Tail {
    pub(super) plan: Plan,
    pub(super) keys: Gathered,
    /// The last event that deletes all keys, and when.
    pub(super) all_deleted: Option<(Mark, Record)>,
    /// The oldest and the newest record.
    pub(super) times: Option<(LogTime, LogTime)>,
    pub(super) keyless: u64,
    /// Events were gone before they were read.
    pub(super) missing: Option<(i64, i64)>,
}

impl Progress {
    pub(super) fn expect(&self, plan: &Plan) {
        self.total.fetch_add(plan.len(), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

impl Plan {
    /// Offsets.
    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.until - self.from).unwrap_or(0)
    }
}

impl Reading {
    pub(super) async fn read(self, plan: Plan) -> Result<Tail> {
        let share = self.memory.share().await;
        let mut reader = TailReader {
            gather: Gather::new(share, self.spill.clone()),
            next: plan.from,
            all_deleted: None,
            times: None,
            keyless: 0,
            missing: None,
            reading: self,
            plan,
        };
        while reader.next < reader.plan.until {
            reader.read_on().await?;
        }
        reader.finish().await
    }
}

struct TailReader {
    reading: Reading,
    plan: Plan,
    gather: Gather,
    next: i64,
    all_deleted: Option<(Mark, Record)>,
    times: Option<(LogTime, LogTime)>,
    keyless: u64,
    missing: Option<(i64, i64)>,
}

impl TailReader {
    /// Reads up to the end, or up to where retention has overtaken it.
    async fn read_on(&mut self) -> Result<()> {
        let plan = &self.plan;
        let mut batches = self.reading.log.read(&plan.at, self.next, Some(plan.until));
        loop {
            match timeout(PATIENCE, batches.next()).await {
                Err(_) => self.check_end().await?,
                Ok(None) => break,
                Ok(Some(Ok(batch))) => self.take(batch).await?,
                Ok(Some(Err(error))) if error.reason() == Reason::PositionGone => return self.over_gap().await,
                Ok(Some(Err(error))) => return Err(error),
            }
        }
        // A reader ends only there.
        self.next = self.next.max(self.plan.until);
        Ok(())
    }

    /// A topic that was made anew may end before what was its end, and nothing comes any more.
    async fn check_end(&self) -> Result<()> {
        let at = &self.plan.at;
        match self.reading.log.bounds(std::slice::from_ref(at)).await {
            Ok(bounds) if bounds[0].end < self.plan.until => Err(made_anew(at)),
            // What the log does not say now, the reader waits for.
            _ => Ok(()),
        }
    }

    async fn take(&mut self, batch: Batch) -> Result<()> {
        for record in &batch.records {
            self.add(record);
        }
        let next = batch.next.min(self.plan.until);
        let passed = u64::try_from(next - self.next).unwrap_or(0);
        self.reading.progress.read.fetch_add(passed, Ordering::Relaxed);
        self.next = next;
        self.gather.relieve().await
    }

    fn add(&mut self, record: &Record) {
        let (oldest, newest) = self.times.unwrap_or((record.time, record.time));
        self.times = Some((oldest.min(record.time), newest.max(record.time)));
        let effect = self.reading.rule.effect(&self.plan.at, record);
        if effect == Effect::DeletesAll {
            let mark = Mark {
                offset: record.offset,
                time: record.time,
            };
            self.all_deleted = Some((mark, detached(record)));
            return self.gather.clear();
        }
        match &record.key {
            None => self.keyless += 1,
            Some(_) if record.time < self.plan.before => {}
            Some(key) => self.gather.add(key, effect, record),
        }
    }

    /// Retention deletes faster than this reads, or the topic was made anew.
    async fn over_gap(&mut self) -> Result<()> {
        let at = &self.plan.at;
        let bounds = self.reading.log.bounds(std::slice::from_ref(at)).await?[0];
        if bounds.start <= self.next {
            return Err(made_anew(at));
        }
        let next = bounds.start.min(self.plan.until);
        self.missing = join(self.missing, Some((self.next, next)));
        self.next = next;
        Ok(())
    }

    async fn finish(self) -> Result<Tail> {
        let mut left = LEFT_IN_MEMORY / self.reading.partitions.max(1);
        Ok(Tail {
            keys: self.gather.finish(&mut left).await?,
            plan: self.plan,
            all_deleted: self.all_deleted,
            times: self.times,
            keyless: self.keyless,
            missing: self.missing,
        })
    }
}

fn made_anew(at: &TopicPartition) -> Error {
    let text = format!("read {}/{}: the topic was made anew meanwhile", at.topic, at.partition);
    Error::new(Reason::PositionGone, text)
}

/// The same, without a share in the bytes of its batch.
fn detached(record: &Record) -> Record {
    use crate::log::Headers;
    let copy = |bytes: &bytes::Bytes| bytes::Bytes::copy_from_slice(bytes);
    Record {
        offset: record.offset,
        time: record.time,
        key: record.key.as_ref().map(copy),
        value: record.value.as_ref().map(copy),
        headers: Headers::from_encoded(copy(record.headers.encoded())),
    }
}
