//! The store of group records: `tidings.groups` read from its start and followed, written through it.
//!
//! What lies last on the log holds, on every replica. A group that is not known is looked for up to the log's end before it
//! is said not to exist: another replica may have created it a moment ago.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::GroupRecord;
use crate::{
    error::{Error, Reason, Result},
    log::{Batch, Cleanup, Headers, Log, NewRecord, Record, TopicPartition, TopicSettings},
    name::{Group, Topic},
};

const TOPIC: &str = "tidings.groups";
const RETRY: Duration = Duration::from_secs(1);
/// For the store to read what is on the log.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Store {
    log: Arc<dyn Log>,
    topic: Topic,
    groups: Mutex<BTreeMap<Group, Arc<GroupRecord>>>,
    /// Everything below this offset is known.
    reached: watch::Sender<i64>,
}

impl Store {
    pub(super) fn start(log: Arc<dyn Log>, tasks: &TaskTracker, stop: &CancellationToken) -> Arc<Self> {
        let store = Arc::new(Self {
            log,
            topic: Topic::new(TOPIC).expect("a valid name"),
            groups: Mutex::default(),
            reached: watch::Sender::new(0),
        });
        tasks.spawn(follow(Arc::clone(&store), stop.clone()));
        store
    }

    pub(super) fn known(&self, group: &Group) -> Option<Arc<GroupRecord>> {
        self.lock().get(group).map(Arc::clone)
    }

    /// `None` only if no replica has created it.
    pub(super) async fn find(&self, group: &Group) -> Result<Option<Arc<GroupRecord>>> {
        if let Some(record) = self.known(group) {
            return Ok(Some(record));
        }
        self.catch_up().await?;
        Ok(self.known(group))
    }

    pub(super) async fn list(&self, after: Option<&Group>, count: usize) -> Result<Vec<(Group, Arc<GroupRecord>)>> {
        self.catch_up().await?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let groups = self.lock();
        let page = groups.range::<Group, _>((from, Bound::Unbounded)).take(count);
        Ok(page
            .map(|(group, record)| (group.clone(), Arc::clone(record)))
            .collect())
    }

    /// Changes whenever something was learned.
    pub(super) fn changes(&self) -> watch::Receiver<i64> {
        self.reached.subscribe()
    }

    pub(super) async fn put(&self, group: &Group, record: GroupRecord) -> Result<Arc<GroupRecord>> {
        self.ensure_topic().await?;
        let new = NewRecord {
            topic: self.topic.clone(),
            partition: Some(0),
            key: Some(Bytes::copy_from_slice(group.as_str().as_bytes())),
            value: Some(record.to_bytes().into()),
            headers: Headers::default(),
        };
        let outcomes = self.log.append(vec![new]).await?.await;
        match outcomes.into_iter().next() {
            Some(Ok(placed)) => {
                let offset = placed.offset;
                Ok(self.learn(group.clone(), GroupRecord { offset, ..record }))
            }
            Some(Err(unwritten)) => {
                let text = format!("write the record of group {group}: {}", unwritten.error);
                Err(Error::new(unwritten.error.reason(), text).retry_after(RETRY))
            }
            None => Err(Error::new(
                Reason::Internal,
                format!("write the record of group {group}"),
            )),
        }
    }

    /// Waits until everything is known that was written before this call.
    async fn catch_up(&self) -> Result<()> {
        if self.log.partitions(&self.topic).await?.is_none() {
            return Ok(());
        }
        let end = self.log.bounds(&[self.partition()]).await?[0].end;
        let mut reached = self.reached.subscribe();
        let late =
            |_| Error::new(Reason::LogUnavailable, "read the groups: the log does not answer").retry_after(RETRY);
        let caught_up = timeout(PATIENCE, reached.wait_for(|reached| *reached >= end)).await;
        // The sender lives as long as `self`.
        caught_up.map(|_| ()).map_err(late)
    }

    async fn ensure_topic(&self) -> Result<()> {
        if self.log.partitions(&self.topic).await?.is_some() {
            return Ok(());
        }
        let settings = TopicSettings {
            partitions: 1,
            retention: None,
            retention_bytes: None,
            cleanup: Cleanup::Compact,
        };
        match self.log.create_topic(&self.topic, settings).await {
            Err(error) if error.reason() != Reason::TopicExists => Err(error),
            _ => Ok(()),
        }
    }

    fn learn_all(&self, batch: &Batch) {
        for record in &batch.records {
            let name = record.key.as_ref().and_then(|key| std::str::from_utf8(key).ok());
            let Some(group) = name.and_then(|name| Group::new(name).ok()) else {
                let offset = record.offset;
                tracing::warn!(offset, "a record of tidings.groups has no group's name as its key");
                continue;
            };
            self.learn_one(group, record);
        }
    }

    fn learn_one(&self, group: Group, record: &Record) {
        match record.value.as_ref().map(|value| GroupRecord::from_bytes(value)) {
            None => drop(self.lock().remove(&group)),
            Some(Ok(read)) => {
                let offset = record.offset;
                self.learn(group, GroupRecord { offset, ..read });
            }
            Some(Err(error)) => tracing::warn!(%group, %error, "cannot read the record of a group"),
        }
    }

    /// What lies later on the log holds.
    fn learn(&self, group: Group, record: GroupRecord) -> Arc<GroupRecord> {
        let record = Arc::new(record);
        let mut groups = self.lock();
        if groups.get(&group).is_none_or(|known| known.offset < record.offset) {
            groups.insert(group, Arc::clone(&record));
        }
        record
    }

    fn partition(&self) -> TopicPartition {
        TopicPartition {
            topic: self.topic.clone(),
            partition: 0,
        }
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Group, Arc<GroupRecord>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Learns what all replicas write, until `stop`.
async fn follow(store: Arc<Store>, stop: CancellationToken) {
    let mut metadata = store.log.metadata();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = read_on(&store) => {}
        }
        // The topic does not exist yet, or the log is away: try again when topics change, or after a while.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = metadata.changed() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Reads from where reading ended before, until it fails.
async fn read_on(store: &Store) {
    let Ok(bounds) = store.log.bounds(&[store.partition()]).await else {
        return;
    };
    let mut next = (*store.reached.borrow()).max(bounds[0].start);
    if next > bounds[0].end {
        // It was deleted and made anew.
        next = bounds[0].start;
        store.lock().clear();
    }
    store.reached.send_replace(next);
    let mut reader = store.log.read(&store.partition(), next, None);
    while let Some(Ok(batch)) = reader.next().await {
        store.learn_all(&batch);
        store.reached.send_replace(batch.next);
    }
}
