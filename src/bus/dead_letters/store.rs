//! One group's dead letters on the log: read from the start and followed, written, moved.
//!
//! ```text
//! write, redrive, discard, done ──▶ the group's topic, one partition ──▶ follow ──▶ Index ──▶ redriving, quarantined, rows
//! ```
//!
//! Nothing is known before it was read back, so what a replica knows has been settled by the topic's order.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustc_hash::FxHashMap;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tokio_util::sync::DropGuard;

use super::{
    format::{self, Change, Request},
    index::{Index, Redriving},
    letter::{Letter, LetterId},
};
use crate::{
    error::{Error, Reason, Result},
    log::{Batch, Cleanup, Headers, Log, LogTime, NewRecord, TopicPartition, TopicSettings},
    name::{Group, Topic},
};

const RETRY: Duration = Duration::from_secs(1);
/// For the log to give more of what is on it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Ids in one record: it stays below the smallest `limits.max_event_bytes`.
const MOST_IDS: usize = 4_000;

/// Who asks for letters to be moved, and why.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Names the request: of a redrive, what its deliveries are marked with.
    pub id: String,
    pub by: String,
    pub reason: String,
}

/// One group's dead letters. Followed until it is dropped.
pub struct Store {
    pub(super) shared: Arc<Shared>,
    _stop: DropGuard,
}

/// What the store has in common with the task that follows the topic.
pub(super) struct Shared {
    pub(super) log: Arc<dyn Log>,
    pub(super) group: Group,
    pub(super) topic: Topic,
    index: Mutex<Index>,
    /// Everything below this offset is known.
    pub(super) reached: watch::Sender<i64>,
    /// Rises when the topic is found to be deleted: what was read of it before is not learned any more.
    generation: AtomicU64,
    /// Somebody waits: look at the topic now.
    pub(super) wake: Notify,
}

impl Store {
    pub(super) fn new(shared: Arc<Shared>, stop: DropGuard) -> Self {
        Self { shared, _stop: stop }
    }

    /// Whose letters they are.
    pub fn group(&self) -> &Group {
        &self.shared.group
    }

    /// Waits until everything is known that was written before this call; at once if there is no topic.
    pub async fn ready(&self) -> Result<()> {
        let shared = &self.shared;
        if shared.log.partitions(&shared.topic).await?.is_none() {
            shared.forget();
            return Ok(());
        }
        match shared.log.bounds(&[shared.partition()]).await {
            Ok(bounds) => shared.reach(bounds[0].end).await,
            Err(error) if error.reason() == Reason::TopicNotFound => {
                shared.forget();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Changes whenever something was learned.
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.shared.reached.subscribe()
    }

    /// Writes letters, durably, and creates the topic if it is missing. After an error some may be written: writing them
    /// again makes no second letter.
    pub async fn write(&self, letters: Vec<Letter>) -> Result<()> {
        let shared = &self.shared;
        let record = |letter: Letter| NewRecord {
            headers: format::letter_headers(&shared.group, &letter),
            key: letter.record.key,
            value: letter.record.value,
            ..shared.empty()
        };
        shared.append(letters.into_iter().map(record).collect()).await?;
        Ok(())
    }

    /// The redrive of these has ended: they were acked, or became new letters that do not name them as parents.
    /// Durable when it returns.
    pub async fn done(&self, ids: Vec<LetterId>) -> Result<()> {
        self.change(&ids, |ids| Change::Done { ids }).await?;
        Ok(())
    }

    /// Has these delivered again, each with its chain. Known when it returns.
    pub async fn redrive(&self, ids: Vec<LetterId>, asked: &Asked) -> Result<()> {
        let time = LogTime::now();
        let end = self
            .change(&ids, |ids| Change::Redrive(request(asked, ids, time)))
            .await?;
        self.shared.reach(end).await
    }

    /// Gives these up; what waits behind them, and is not named, is delivered. Known when it returns.
    pub async fn discard(&self, ids: Vec<LetterId>, asked: &Asked) -> Result<()> {
        let mut ids = ids;
        // A head that came first, in a record of its own, would free those that are named in a later one.
        ids.sort_unstable_by_key(|id| self.index().row(*id).map(|row| std::cmp::Reverse(row.at)));
        let time = LogTime::now();
        let end = self
            .change(&ids, |ids| Change::Discard(request(asked, ids, time)))
            .await?;
        self.shared.reach(end).await
    }

    /// What a partition's owner is to deliver again: in order, with their offsets for [`Self::load`].
    pub fn redriving(&self, source: &TopicPartition) -> Vec<Redriving> {
        self.index().redriving(source)
    }

    /// The keys (by `bus::key_hash`) whose events are to join a chain, each with its head.
    pub fn quarantined(&self, source: &TopicPartition) -> FxHashMap<u64, LetterId> {
        self.index().quarantined(source)
    }

    /// What is known. Held shortly: others learn meanwhile nothing.
    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.shared.index()
    }

    /// Gives the offset behind what was written.
    async fn change(&self, ids: &[LetterId], change: impl Fn(Vec<LetterId>) -> Change) -> Result<i64> {
        let record = |ids: &[LetterId]| {
            let (headers, value) = format::change(&change(ids.to_vec()));
            NewRecord {
                headers,
                value: Some(value),
                ..self.shared.empty()
            }
        };
        self.shared.append(ids.chunks(MOST_IDS).map(record).collect()).await
    }
}

fn request(asked: &Asked, ids: Vec<LetterId>, time: LogTime) -> Request {
    Request {
        id: asked.id.clone(),
        ids,
        by: asked.by.clone(),
        reason: asked.reason.clone(),
        time_ms: time.0,
    }
}

impl Shared {
    pub(super) fn new(log: Arc<dyn Log>, group: Group, topic: Topic) -> Arc<Self> {
        Arc::new(Self {
            log,
            group,
            topic,
            index: Mutex::default(),
            reached: watch::Sender::new(0),
            generation: AtomicU64::new(0),
            wake: Notify::new(),
        })
    }

    pub(super) fn partition(&self) -> TopicPartition {
        TopicPartition {
            topic: self.topic.clone(),
            partition: 0,
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Learns what was read; `false` = the topic was deleted meanwhile.
    pub(super) fn learn(&self, batch: &Batch, generation: u64) -> bool {
        let mut index = self.index();
        if self.generation() != generation {
            return false;
        }
        for record in &batch.records {
            match format::read(record) {
                Some(entry) => index.apply(record.offset, record.time, &entry),
                None => tracing::debug!(topic = %self.topic, offset = record.offset, "a record is no dead letter"),
            }
        }
        self.reached.send_replace(batch.next);
        true
    }

    /// The topic was deleted: nothing is known.
    pub(super) fn forget(&self) {
        let mut index = self.index();
        if *self.reached.borrow() > 0 {
            self.generation.fetch_add(1, Ordering::Relaxed);
            *index = Index::default();
            self.reached.send_replace(0);
        }
    }

    /// Waits until everything below is known, as long as there is progress.
    async fn reach(&self, end: i64) -> Result<()> {
        let mut reached = self.reached.subscribe();
        self.wake.notify_one();
        while *reached.borrow_and_update() < end {
            // The sender lives as long as `self`.
            if timeout(PATIENCE, reached.changed()).await.is_err() {
                let text = format!("read {}: the log does not answer", self.topic);
                return Err(Error::new(Reason::LogUnavailable, text).retry_after(RETRY));
            }
        }
        Ok(())
    }

    /// Appends records, durably. Gives the offset behind the last.
    async fn append(&self, records: Vec<NewRecord>) -> Result<i64> {
        if records.is_empty() {
            return Ok(0);
        }
        self.ensure_topic().await?;
        let mut end = 0;
        for outcome in self.log.append(records).await?.await {
            let placed = outcome.map_err(|unwritten| {
                let text = format!("write to {}: {}", self.topic, unwritten.error);
                Error::new(unwritten.error.reason(), text).retry_after(RETRY)
            })?;
            end = end.max(placed.offset + 1);
        }
        Ok(end)
    }

    /// Never compacted, without retention: a dead letter stays until an operator deletes the topic.
    async fn ensure_topic(&self) -> Result<()> {
        if self.log.partitions(&self.topic).await?.is_some() {
            return Ok(());
        }
        let settings = TopicSettings {
            partitions: 1,
            retention: None,
            retention_bytes: None,
            cleanup: Cleanup::Delete,
        };
        match self.log.create_topic(&self.topic, settings).await {
            Err(error) if error.reason() != Reason::TopicExists => Err(error),
            _ => Ok(()),
        }
    }

    fn empty(&self) -> NewRecord {
        NewRecord {
            topic: self.topic.clone(),
            partition: Some(0),
            key: None,
            value: None,
            headers: Headers::default(),
        }
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
