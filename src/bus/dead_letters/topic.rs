//! A group's dead-letter topic as a replica has it: what was read of it, what is appended to it.
//!
//! The store and the task that follows the topic have it in common.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use super::{format, index::Index};
use crate::{
    bus::table::GONE_AFTER,
    error::{Error, Reason, Result},
    log::{Batch, Cleanup, Headers, Log, NewRecord, TopicPartition, TopicSettings},
    name::{Group, Topic},
};

pub(super) const RETRY: Duration = Duration::from_secs(1);
/// For the log to give more of what is on it.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Shared {
    pub(super) log: Arc<dyn Log>,
    pub(super) group: Group,
    pub(super) topic: Topic,
    index: Mutex<Index>,
    /// Everything below this offset is known.
    pub(super) reached: watch::Sender<i64>,
    /// Rises when the topic is found to be deleted: what was read of it before is not learned any more.
    generation: AtomicU64,
    /// Since when the log denies the topic, although it was there.
    denied: Mutex<Option<Instant>>,
    /// Somebody waits: look at the topic now.
    pub(super) wake: Notify,
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
            denied: Mutex::default(),
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

    /// What the log has no more is not known any more.
    pub(super) async fn forget_what_is_gone(&self) -> Result<()> {
        let bounds = self.log.bounds(&[self.partition()]).await?;
        self.index().forget_before(bounds[0].start);
        Ok(())
    }

    /// The log says that there is no such topic. Whether that is certain: then nothing is known any more.
    pub(super) fn is_gone(&self) -> bool {
        self.doubt();
        let since = *self.denied();
        if since.is_some_and(|since| since.elapsed() < GONE_AFTER) {
            return false;
        }
        self.forget();
        true
    }

    /// The log denies a topic that was there. Until it is clear whether it is another one, what is known of it stays, and
    /// nobody is told that this is all.
    pub(super) fn doubt(&self) {
        if *self.reached.borrow() > 0 {
            self.denied().get_or_insert_with(Instant::now);
        }
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.denied().is_some()
    }

    /// It is clear which topic it is.
    pub(super) fn trust(&self) {
        if self.denied().take().is_some() {
            self.reached.send_modify(|_| ());
        }
    }

    /// The topic was deleted: nothing is known.
    pub(super) fn forget(&self) {
        let mut index = self.index();
        if *self.reached.borrow() > 0 {
            self.generation.fetch_add(1, Ordering::Relaxed);
            *index = Index::default();
            self.reached.send_replace(0);
        }
        drop(index);
        self.trust();
    }

    /// Waits until everything below is known, as long as there is progress.
    pub(super) async fn reach(&self, end: i64) -> Result<()> {
        let mut reached = self.reached.subscribe();
        self.wake.notify_one();
        while *reached.borrow_and_update() < end || self.is_in_doubt() {
            // The sender lives as long as `self`.
            if timeout(PATIENCE, reached.changed()).await.is_err() {
                let text = format!("read {}: the log does not answer", self.topic);
                return Err(Error::new(Reason::LogUnavailable, text).retry_after(RETRY));
            }
        }
        Ok(())
    }

    /// Appends records, durably. Gives the offset behind the last.
    pub(super) async fn append(&self, records: Vec<NewRecord>) -> Result<i64> {
        if records.is_empty() {
            return Ok(0);
        }
        // A dead letter stays until an operator deletes the topic.
        let settings = TopicSettings::of_the_bus(Cleanup::Delete);
        self.log.ensure_topic(&self.topic, settings).await?;
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

    pub(super) fn empty(&self) -> NewRecord {
        NewRecord {
            topic: self.topic.clone(),
            partition: Some(0),
            key: None,
            value: None,
            headers: Headers::default(),
        }
    }

    /// Nothing panics while it holds these locks, so poisoned ones are whole.
    fn denied(&self) -> MutexGuard<'_, Option<Instant>> {
        self.denied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
