//! A table: a compacted internal topic, read from its start and followed, written through it; the same on every replica.
//!
//! Replicas write without asking each other, and the topic's order settles who was first: each row says whether it may take
//! the place of the one before. A row that is not known is looked for up to the log's end before it is said not to exist:
//! another replica may have written it a moment ago.

mod follow;
mod news;

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

pub(super) use self::follow::{Followed, GONE_AFTER, follow};
use super::draining;
use crate::{
    error::{Error, Reason, Result},
    log::{Cleanup, Headers, Log, LogTime, NewRecord, Record, TopicPartition, TopicSettings},
    name::Topic,
};

const RETRY: Duration = Duration::from_secs(1);
/// For the table to read what is on the log.
const PATIENCE: Duration = Duration::from_secs(10);

/// What lies in a table under a key.
pub(super) trait Row: Send + Sync + Sized + 'static {
    /// The internal topic.
    const TOPIC: &'static str;

    /// How the keys of these rows begin, where rows of several kinds share the topic.
    const PREFIX: &'static str = "";

    fn to_bytes(&self) -> Vec<u8>;

    /// `offset` is where it lies in the topic.
    fn from_bytes(bytes: &[u8], offset: i64) -> Result<Self>;

    /// Whether this row, which lies behind `known`, takes its place. One that does not is as if it had not been written.
    fn supersedes(&self, known: &Self) -> bool;
}

pub(super) struct Table<R> {
    log: Arc<dyn Log>,
    topic: Topic,
    rows: Mutex<BTreeMap<String, Kept<R>>>,
    /// Everything below this offset is known.
    reached: watch::Sender<i64>,
    /// Where the row lies that was learned last.
    learned: watch::Sender<i64>,
    /// Nothing more will be learned.
    over: CancellationToken,
}

struct Kept<R> {
    row: Arc<R>,
    /// Where it lies.
    at: i64,
    /// Where the last record with its key lies, which compaction keeps.
    last: i64,
    /// When it was written, by the log's clock.
    time: LogTime,
}

impl<R: Row> Table<R> {
    /// Knows nothing until it is followed.
    pub(super) fn new(log: Arc<dyn Log>) -> Arc<Self> {
        Arc::new(Self {
            log,
            topic: Topic::new(R::TOPIC).expect("a valid name"),
            rows: Mutex::default(),
            reached: watch::Sender::new(0),
            learned: watch::Sender::new(-1),
            over: CancellationToken::new(),
        })
    }

    pub(super) fn known(&self, key: &str) -> Option<Arc<R>> {
        self.known_since(key).map(|(row, _)| row)
    }

    /// With when it was written, by the log's clock.
    pub(super) fn known_since(&self, key: &str) -> Option<(Arc<R>, LogTime)> {
        self.lock().get(key).map(|kept| (Arc::clone(&kept.row), kept.time))
    }

    /// `None` only if no replica has written it.
    pub(super) async fn find(&self, key: &str) -> Result<Option<Arc<R>>> {
        match self.known(key) {
            None => self.newest(key).await,
            known => Ok(known),
        }
    }

    /// As everything is that was written before this call.
    pub(super) async fn newest(&self, key: &str) -> Result<Option<Arc<R>>> {
        self.catch_up().await?;
        Ok(self.known(key))
    }

    /// All that is known now; ask `catch_up` first.
    pub(super) fn all(&self) -> Vec<(String, Arc<R>)> {
        self.list(None, |_| true, usize::MAX)
    }

    /// The rows whose keys begin so, each with when it was written by the log's clock.
    pub(super) fn under(&self, prefix: &str) -> Vec<(String, Arc<R>, LogTime)> {
        let (rows, from) = (self.lock(), Bound::Included(prefix));
        let under = rows.range::<str, _>((from, Bound::Unbounded));
        let under = under.take_while(|(key, _)| key.starts_with(prefix));
        let row = |(key, kept): (&String, &Kept<R>)| (key.clone(), Arc::clone(&kept.row), kept.time);
        under.map(row).collect()
    }

    pub(super) fn keys_under(&self, prefix: &str) -> Vec<String> {
        self.under(prefix).into_iter().map(|(key, ..)| key).collect()
    }

    /// Of all that is known now by key, those after `after` that are meant, at most `count`.
    pub(super) fn list(
        &self,
        after: Option<&str>,
        is_meant: impl Fn(&R) -> bool,
        count: usize,
    ) -> Vec<(String, Arc<R>)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.lock();
        let page = rows.range::<str, _>((from, Bound::Unbounded));
        let page = page.filter(|(_, kept)| is_meant(&kept.row)).take(count);
        page.map(|(key, kept)| (key.clone(), Arc::clone(&kept.row))).collect()
    }

    /// Writes a row, durably. Returns the row that holds then: another one if somebody was first.
    pub(super) async fn put(&self, key: &str, row: &R) -> Result<Arc<R>> {
        let mut offset = self.write(vec![(key, Some(row))]).await?;
        loop {
            self.reach(offset + 1).await?;
            let holds = self
                .lock()
                .get(key)
                .map(|kept| (Arc::clone(&kept.row), kept.at < kept.last));
            match holds {
                Some((holds, false)) => return Ok(holds),
                // Compaction keeps the last, so that must be the one that holds.
                Some((holds, true)) => offset = self.write(vec![(key, Some(&holds))]).await?,
                None => {
                    let text = format!("write {key} to {}: it was removed meanwhile", R::TOPIC);
                    return Err(Error::new(Reason::LogUnavailable, text).retry_after(RETRY));
                }
            }
        }
    }

    /// Writes several rows at once, durably. Each may have been superseded already: ask what holds.
    pub(super) async fn put_all(&self, rows: &[(String, R)]) -> Result<()> {
        let new = rows.iter().map(|(key, row)| (key.as_str(), Some(row)));
        let mut last = self.write(new.collect()).await?;
        loop {
            self.reach(last + 1).await?;
            // Compaction keeps the last, so that must be the one that holds.
            let hidden: Vec<(&str, Arc<R>)> = {
                let known = self.lock();
                let hidden = |(key, _): &'_ (String, R)| {
                    let kept = known.get(key).filter(|kept| kept.at < kept.last)?;
                    Some(Arc::clone(&kept.row))
                };
                rows.iter()
                    .filter_map(|row| Some((row.0.as_str(), hidden(row)?)))
                    .collect()
            };
            if hidden.is_empty() {
                return Ok(());
            }
            last = self
                .write(hidden.iter().map(|(key, row)| (*key, Some(&**row))).collect())
                .await?;
        }
    }

    /// Removes a row, durably.
    pub(super) async fn remove(&self, key: &str) -> Result<()> {
        let offset = self.write(vec![(key, None)]).await?;
        self.reach(offset + 1).await
    }

    /// Removes several rows at once.
    pub(super) async fn remove_all(&self, keys: &[String]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let last = self
            .write(keys.iter().map(|key| (key.as_str(), None)).collect())
            .await?;
        self.reach(last + 1).await
    }

    /// Writes rows, `None` = removes them, and tells where the last one lies.
    async fn write(&self, rows: Vec<(&str, Option<&R>)>) -> Result<i64> {
        let settings = TopicSettings::of_the_bus(Cleanup::Compact);
        self.log.ensure_topic(&self.topic, settings).await?;
        let first = rows.first().map_or("nothing", |(key, _)| *key).to_owned();
        let new = rows.into_iter().map(|(key, row)| NewRecord {
            topic: self.topic.clone(),
            partition: Some(0),
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            value: row.map(|row| row.to_bytes().into()),
            headers: Headers::default(),
        });
        let new = new.collect();
        let failed = |reason, cause: &dyn std::fmt::Display| {
            Error::new(reason, format!("write {first} to {}: {cause}", R::TOPIC)).retry_after(RETRY)
        };
        let mut last = Err(failed(Reason::Internal, &"the log gave no answer"));
        for outcome in self.log.append(new).await?.await {
            match outcome {
                Ok(placed) => last = Ok(placed.offset),
                Err(unwritten) => return Err(failed(unwritten.error.reason(), &unwritten.error)),
            }
        }
        last
    }

    /// Waits until everything is known that was written before this call.
    pub(super) async fn catch_up(&self) -> Result<()> {
        if self.log.partitions(&self.topic).await?.is_none() {
            return Ok(());
        }
        let end = self.log.bounds(&[self.partition()]).await?[0].end;
        self.reach(end).await
    }

    async fn reach(&self, end: i64) -> Result<()> {
        let mut reached = self.reached.subscribe();
        tokio::select! {
            biased;
            // The sender lives as long as `self`.
            _ = reached.wait_for(|reached| *reached >= end) => Ok(()),
            () = self.over.cancelled() => Err(draining()),
            () = sleep(PATIENCE) => {
                let text = format!("read {}: the log does not answer", R::TOPIC);
                Err(Error::new(Reason::LogUnavailable, text).retry_after(RETRY))
            }
        }
    }

    fn learn(&self, record: &Record) {
        let offset = record.offset;
        let Some(key) = record.key.as_ref().and_then(|key| std::str::from_utf8(key).ok()) else {
            return tracing::warn!(topic = R::TOPIC, offset, "a record's key is no text");
        };
        if !key.starts_with(R::PREFIX) {
            return;
        }
        let Some(value) = &record.value else {
            self.lock().remove(key);
            return;
        };
        match R::from_bytes(value, offset) {
            Err(error) => tracing::warn!(topic = R::TOPIC, key, %error, "cannot read a record"),
            Ok(row) => {
                let mut rows = self.lock();
                match rows.get_mut(key).filter(|kept| !row.supersedes(&kept.row)) {
                    Some(kept) => kept.last = offset,
                    None => {
                        let (row, at, last, time) = (Arc::new(row), offset, offset, record.time);
                        rows.insert(key.to_owned(), Kept { row, at, last, time });
                        self.learned.send_replace(offset);
                    }
                }
            }
        }
    }

    fn partition(&self) -> TopicPartition {
        TopicPartition {
            topic: self.topic.clone(),
            partition: 0,
        }
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Kept<R>>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
