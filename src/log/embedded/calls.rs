//! The embedded log as a `Log`: what callers' tasks do before and after the writer.

use std::sync::{Arc, atomic::Ordering};

use async_trait::async_trait;
use rustc_hash::FxHashMap;
use tokio::sync::{oneshot, watch};

use super::{
    EmbeddedLog, fault,
    group::Request,
    partition::{Inner, Partition},
    reader,
    record::{MAX_BYTES, OVERHEAD, Parts},
    segment_read::{self, Segment},
    table::{Entry, Health, Shared},
    writer::{Append, Item},
};
use crate::{
    error::{Error, Reason, Result},
    log::{
        Bounds, Commit, Committed, Log, LogTime, Membership, NewRecord, Reader, Receipt, TopicInfo, TopicPartition,
        TopicSettings, partitioner::partition_of, receipt::Answer, rules::no_such_partition,
    },
    name::{Group, Topic},
};

#[async_trait]
impl Log for EmbeddedLog {
    async fn create_topic(&self, topic: &Topic, settings: TopicSettings) -> Result<()> {
        let topic = topic.clone();
        self.on_writer(move |writer| writer.create_topic(&topic, &settings))
            .await?
    }

    async fn alter_topic(&self, topic: &Topic, settings: TopicSettings) -> Result<()> {
        let topic = topic.clone();
        self.on_writer(move |writer| writer.alter_topic(&topic, &settings))
            .await?
    }

    async fn delete_topic(&self, topic: &Topic) -> Result<()> {
        let topic = topic.clone();
        self.on_writer(move |writer| writer.delete_topic(&topic)).await?
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.check_open()?;
        let mut topics: Vec<_> = self
            .shared
            .read_table(|table| table.values().map(|entry| entry.info.clone()).collect());
        topics.sort_by(|a: &TopicInfo, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    async fn names(&self) -> Result<Vec<Topic>> {
        self.check_open()?;
        let mut names: Vec<Topic> = self.shared.read_table(|table| table.keys().cloned().collect());
        names.sort();
        Ok(names)
    }

    async fn partitions(&self, topic: &Topic) -> Result<Option<i32>> {
        self.check_open()?;
        Ok(self.shared.entry(topic).map(|entry| entry.info.settings.partitions))
    }

    async fn topic(&self, topic: &Topic) -> Result<Option<TopicInfo>> {
        self.check_open()?;
        Ok(self.shared.entry(topic).map(|entry| entry.info.clone()))
    }

    fn metadata(&self) -> watch::Receiver<u64> {
        self.shared.metadata.subscribe()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Receipt> {
        self.check_open()?;
        let count = records.len();
        if count == 0 {
            return Ok(Box::new(Answer::nothing()));
        }
        let (request, bytes) = place(&self.shared, records)?;
        let most = self.shared.options.queue_bytes.max(1);
        let permits = u32::try_from(bytes.min(most)).unwrap_or(u32::MAX);
        let room = self
            .room
            .clone()
            .acquire_many_owned(permits)
            .await
            .map_err(|_| fault::closed())?;
        let (answer, answered) = oneshot::channel();
        self.send(Item::Append(Append {
            request,
            bytes,
            answer,
            room,
        }))?;
        Ok(Box::new(Answer::to(count, answered)))
    }

    fn read(&self, partition: &TopicPartition, from: i64, until: Option<i64>) -> Reader {
        reader::read(self.shared.clone(), partition, from, until)
    }

    async fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>> {
        self.check_open()?;
        let bounds = |partition| Ok(self.shared.partition(partition)?.lock().bounds());
        partitions.iter().map(bounds).collect()
    }

    async fn offsets_at(&self, partitions: &[TopicPartition], time: LogTime) -> Result<Vec<i64>> {
        self.check_open()?;
        let found = partitions.iter().map(|partition| self.shared.partition(partition));
        let found = found.collect::<Result<Vec<_>>>()?;
        let shared = self.shared.clone();
        let search = move || {
            found
                .iter()
                .map(|partition| offset_at(&shared, partition, time.0))
                .collect()
        };
        let searched = tokio::task::spawn_blocking(search).await;
        searched.unwrap_or_else(|_| Err(Error::new(Reason::Internal, "the search was aborted")))
    }

    async fn join(&self, group: &Group, topics: &[Topic]) -> Result<Membership> {
        self.check_open()?;
        Ok(self.groups.join(group, topics))
    }

    async fn committed(&self, group: &Group, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>> {
        self.check_open()?;
        let committed = |partition| {
            self.shared.partition(partition)?;
            Ok(self.groups.committed(group, partition))
        };
        partitions.iter().map(committed).collect()
    }

    async fn has_members(&self, group: &Group) -> Result<bool> {
        self.check_open()?;
        Ok(self.groups.with(group, |running| running.coordinator.has_members()))
    }

    async fn commit(&self, group: &Group, commits: Vec<Commit>) -> Result<()> {
        self.check_open()?;
        self.groups.commit(group, None, commits).await
    }

    async fn forget(&self, group: &Group) -> Result<()> {
        let (groups, group) = (Arc::clone(&self.groups), group.clone());
        self.on_writer(move |writer| groups.forget(&group, writer)).await?
    }

    /// Nobody else can read it.
    async fn foreign_groups(&self) -> Result<Vec<(Group, usize)>> {
        Ok(Vec::new())
    }

    fn is_shared(&self) -> bool {
        false
    }

    async fn close(&self) {
        self.stop().await;
    }
}

/// Finds each record its partition. Says too how many bytes they are.
fn place(shared: &Shared, records: Vec<NewRecord>) -> Result<(Request, usize)> {
    let mut request = Request {
        targets: Vec::with_capacity(records.len()),
        partitions: Vec::new(),
        records: Vec::new(),
    };
    let mut numbers: FxHashMap<(u32, i32), u32> = FxHashMap::default();
    let mut topic: Option<Rotating> = None;
    let mut bytes = 0;
    for record in &records {
        let len = Parts::from(record).encoded_len();
        if len > MAX_BYTES {
            return Err(too_large(record, len - OVERHEAD));
        }
        bytes += len;
        if topic.as_ref().is_none_or(|topic| topic.entry.info.name != record.topic) {
            topic = Some(Rotating::new(shared, &record.topic)?);
        }
        let Some(topic) = &topic else { continue };
        let number = topic.partition_of(record);
        let next = request.partitions.len() as u32;
        let target = *numbers.entry((topic.entry.id, number)).or_insert(next);
        if target == next {
            let partition = usize::try_from(number)
                .ok()
                .and_then(|number| topic.entry.partitions.get(number));
            let missing = || {
                no_such_partition(&TopicPartition {
                    topic: record.topic.clone(),
                    partition: number,
                })
            };
            request.partitions.push(partition.ok_or_else(missing)?.clone());
        }
        request.targets.push(target);
    }
    request.records = records;
    Ok((request, bytes))
}

fn too_large(record: &NewRecord, len: usize) -> Error {
    let text = format!(
        "a record for topic {} has {len} bytes; the log takes at most {}",
        record.topic,
        MAX_BYTES - OVERHEAD
    );
    Error::new(Reason::EventTooLarge, text)
}

/// A topic and where this call's records without a key go.
struct Rotating {
    entry: Arc<Entry>,
    keyless: i32,
}

impl Rotating {
    fn new(shared: &Shared, topic: &Topic) -> Result<Self> {
        let entry = shared.entry(topic).ok_or_else(|| Error::no_such_topic(topic))?;
        let turn = entry.rotation.fetch_add(1, Ordering::Relaxed);
        let keyless = (turn % entry.partitions.len() as u32) as i32;
        Ok(Self { entry, keyless })
    }

    fn partition_of(&self, record: &NewRecord) -> i32 {
        match (record.partition, &record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_of(key, self.entry.info.settings.partitions),
            (None, None) => self.keyless,
        }
    }
}

fn offset_at(shared: &Shared, partition: &Partition, time: i64) -> Result<i64> {
    loop {
        let recoveries = shared.recoveries.load(Ordering::SeqCst);
        let (segment, start) = {
            let inner = partition.lock();
            match segment_at(&inner, partition, time) {
                Ok(segment) => (segment, inner.start),
                Err(offset) => return Ok(offset),
            }
        };
        match segment_read::offset_at(shared, &segment, time) {
            Ok(offset) => return Ok(offset.max(start)),
            Err(error) => {
                let inner = partition.lock();
                let is_there = inner.segments.contains(&segment.known);
                if is_there && shared.recoveries.load(Ordering::SeqCst) == recoveries {
                    return Err(error);
                }
            }
        }
    }
}

/// The segment that has the first record at this time or later, or the offset if it is in memory or yet to come.
fn segment_at(inner: &Inner, partition: &Partition, time: i64) -> Result<Segment, i64> {
    let at = inner.segments.partition_point(|segment| segment.last_time < time);
    if let Some(known) = inner.segments.get(at) {
        let index = if at + 1 == inner.segments.len() {
            inner.index.clone()
        } else {
            Vec::new()
        };
        let name = known.name(partition.topic, partition.number);
        return Ok(Segment {
            name,
            known: known.clone(),
            index,
        });
    }
    let mut unflushed = inner.chunks.iter().filter(|chunk| chunk.end > inner.flushed);
    let found = unflushed.find(|chunk| chunk.time >= time);
    Err(found.map_or(inner.end, |chunk| chunk.base))
}
