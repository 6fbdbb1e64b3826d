//! The store of group records: read from `tidings.groups` at the start, followed from then on, written through it.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::GroupRecord;
use crate::{
    error::{Error, Reason, Result},
    log::{Batch, Cleanup, Headers, Log, NewRecord, TopicPartition, TopicSettings},
    name::{Group, Topic},
};

const TOPIC: &str = "tidings.groups";
const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Store {
    log: Arc<dyn Log>,
    topic: Topic,
    groups: Mutex<BTreeMap<Group, Arc<GroupRecord>>>,
}

impl Store {
    pub(super) async fn load(log: Arc<dyn Log>, tasks: &TaskTracker, stop: &CancellationToken) -> Result<Arc<Self>> {
        let store = Arc::new(Self {
            log,
            topic: Topic::new(TOPIC)?,
            groups: Mutex::default(),
        });
        let mut next = 0;
        if store.log.partitions(&store.topic).await?.is_some() {
            let bounds = store.log.bounds(std::slice::from_ref(&store.partition())).await?[0];
            let mut reader = store.log.read(&store.partition(), bounds.start, Some(bounds.end));
            while let Some(batch) = reader.next().await {
                store.learn(&batch?);
            }
            next = bounds.end;
        }
        tasks.spawn(follow(Arc::clone(&store), next, stop.clone()));
        Ok(store)
    }

    pub(super) fn get(&self, group: &Group) -> Option<Arc<GroupRecord>> {
        self.lock().get(group).cloned()
    }

    pub(super) fn list(&self, after: Option<&Group>, count: usize) -> Vec<(Group, Arc<GroupRecord>)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let groups = self.lock();
        let page = groups.range::<Group, _>((from, Bound::Unbounded)).take(count);
        page.map(|(group, record)| (group.clone(), Arc::clone(record)))
            .collect()
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
        if let Some(unwritten) = outcomes.into_iter().find_map(std::result::Result::err) {
            let text = format!("write the record of group {group}: {}", unwritten.error);
            return Err(Error::new(unwritten.error.reason(), text).retry_after(RETRY));
        }
        let record = Arc::new(record);
        self.lock().insert(group.clone(), Arc::clone(&record));
        Ok(record)
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

    /// Takes over what is on the log, unless a newer revision is known.
    fn learn(&self, batch: &Batch) {
        for record in &batch.records {
            let name = record.key.as_ref().and_then(|key| std::str::from_utf8(key).ok());
            let Some(group) = name.and_then(|name| Group::new(name).ok()) else {
                tracing::warn!(
                    offset = record.offset,
                    "a record of tidings.groups has no group's name as its key"
                );
                continue;
            };
            match record.value.as_ref().map(|value| GroupRecord::from_bytes(value)) {
                None => drop(self.lock().remove(&group)),
                Some(Ok(record)) => {
                    let mut groups = self.lock();
                    if groups.get(&group).is_none_or(|known| known.revision < record.revision) {
                        groups.insert(group, Arc::new(record));
                    }
                }
                Some(Err(error)) => tracing::warn!(%group, %error, "cannot read the record of a group"),
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
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Group, Arc<GroupRecord>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Learns what other replicas write, until `stop`.
async fn follow(store: Arc<Store>, mut next: i64, stop: CancellationToken) {
    let mut metadata = store.log.metadata();
    loop {
        let mut reader = store.log.read(&store.partition(), next, None);
        loop {
            let batch = tokio::select! {
                () = stop.cancelled() => return,
                batch = reader.next() => batch,
            };
            match batch {
                Some(Ok(batch)) => {
                    store.learn(&batch);
                    next = batch.next;
                }
                Some(Err(_)) | None => break,
            }
        }
        // The topic does not exist yet, or the log is away: try again when topics change, or after a while.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = metadata.changed() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}
