//! The chunks of a snapshot: states in the order of their keys, compressed and put into the store a few at once.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{
    block::{BlockWriter, Entry},
    create::aborted,
    fold::{Folded, Rule},
    manifest::{Chunk, Held, Manifest},
    row::SnapshotRow,
    shelf,
    sources::Wanted,
    tail::Progress,
    topic::TopicReader,
};
use crate::{
    bus::{Inner, OnGap, partitions::partitions},
    error::{Error, Result},
    log::{LogTime, TopicInfo},
    name::Topic,
    objects::Objects,
};

/// Of a chunk before it is compressed.
const CHUNK: usize = 2 << 20;
const LEVEL: i32 = 3;
/// Chunks on their way to the store.
const AT_ONCE: usize = 3;

/// How far it is.
#[derive(Default)]
pub(super) struct Written {
    progress: Arc<Progress>,
    keys: AtomicU64,
    bytes: AtomicU64,
    begun: watch::Sender<Begun>,
}

/// What is known once the log was read.
#[derive(Clone, Debug, Default)]
struct Begun {
    offsets: Vec<i64>,
    base: Option<String>,
}

impl Written {
    pub(super) fn tell(&self, row: &mut SnapshotRow) {
        let begun = self.begun.borrow();
        (row.offsets, row.base) = (begun.offsets.clone(), begun.base.clone());
        (row.read, row.total) = (self.progress.read(), self.progress.total());
        (row.keys, row.bytes) = (self.keys.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
    }
}

/// Reads the topic and writes all chunks. The manifest is not written yet.
pub(super) async fn write(
    bus: &Arc<Inner>,
    topic: &Topic,
    row: SnapshotRow,
    written: Arc<Written>,
) -> Result<Manifest> {
    let info = bus.log.topic(topic).await?.ok_or_else(|| Error::no_such_topic(topic))?;
    let mut reader = open(bus, &info, &written).await?;
    let base = reader.base().map(Manifest::name);
    written.begun.send_modify(|begun| begun.base.clone_from(&base));
    let earlier = reader.base().map_or(0, |manifest| manifest.keyless);
    let mut chunks = Chunks::new(bus, topic, &row.id, Arc::clone(&written));
    while let Some((at, entry)) = reader.next().await? {
        if entry.folded.state().is_some() {
            chunks.add(at.partition, entry).await?;
        }
    }
    Ok(Manifest {
        topic: topic.clone(),
        partitions: chunks.finish(&reader).await?,
        newest: reader.parts().filter_map(|known| known.newest).max(),
        topic_created: info.created,
        finished: LogTime::now(),
        base,
        read: written.progress.read(),
        total: written.progress.total(),
        keyless: earlier + reader.parts().map(|known| known.keyless).sum::<u64>(),
        id: row.id,
        begun: row.begun,
        reason: row.reason,
        by: row.by,
    })
}

/// The state of the topic at the ends that its partitions have now.
async fn open(bus: &Arc<Inner>, info: &TopicInfo, written: &Written) -> Result<TopicReader> {
    let partitions: Vec<_> = partitions(&info.name, info.settings.partitions).collect();
    let bounds = bus.log.bounds(&partitions).await?;
    let ends = bounds.iter().map(|bounds| bounds.end).collect();
    written.begun.send_modify(|begun| begun.offsets = ends);
    let wanted = Wanted {
        topic: info.name.clone(),
        rule: Rule::of(info.settings.cleanup),
        bounds,
        since: None,
        progress: Arc::clone(&written.progress),
        on_gap: OnGap::Continue,
    };
    bus.sources().open(wanted).await
}

struct Chunks {
    bus: Arc<Inner>,
    topic: Topic,
    id: String,
    written: Arc<Written>,
    block: BlockWriter,
    /// Of the block.
    partition: i32,
    number: u32,
    on_their_way: VecDeque<AbortOnDropHandle<Result<Put>>>,
    done: Vec<Put>,
}

/// A chunk in the store.
struct Put {
    partition: i32,
    keys: u64,
    chunk: Chunk,
}

impl Chunks {
    fn new(bus: &Arc<Inner>, topic: &Topic, id: &str, written: Arc<Written>) -> Self {
        Self {
            bus: Arc::clone(bus),
            topic: topic.clone(),
            id: id.to_owned(),
            written,
            block: BlockWriter::default(),
            partition: 0,
            number: 0,
            on_their_way: VecDeque::new(),
            done: Vec::new(),
        }
    }

    async fn add(&mut self, partition: i32, entry: Entry) -> Result<()> {
        if partition != self.partition {
            self.flush().await?;
            (self.partition, self.number) = (partition, 0);
        }
        self.block.add(&Entry {
            key: entry.key,
            folded: Folded {
                is_cleared: false,
                ..entry.folded
            },
        });
        match self.block.len() >= CHUNK {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        if self.block.len() == 0 {
            return Ok(());
        }
        if self.on_their_way.len() >= AT_ONCE {
            self.wait_for_one().await?;
        }
        let name = format!("{:05}-{:06}", self.partition, self.number);
        let block = std::mem::take(&mut self.block);
        self.written.keys.fetch_add(block.count(), Ordering::Relaxed);
        let path = shelf::object(&self.topic, &self.id, &name);
        let put = put(self.bus.objects()?.clone(), path, (self.partition, name), block);
        self.on_their_way
            .push_back(AbortOnDropHandle::new(self.bus.tasks.spawn(put)));
        self.number += 1;
        Ok(())
    }

    async fn wait_for_one(&mut self) -> Result<()> {
        if let Some(first) = self.on_their_way.pop_front() {
            let put = first.await.map_err(|_| aborted())??;
            self.written.bytes.fetch_add(put.chunk.bytes, Ordering::Relaxed);
            self.done.push(put);
        }
        Ok(())
    }

    /// What is held of each partition, when all chunks are durable.
    async fn finish(mut self, reader: &TopicReader) -> Result<Vec<Held>> {
        self.flush().await?;
        while !self.on_their_way.is_empty() {
            self.wait_for_one().await?;
        }
        let mut held: Vec<Held> = reader
            .parts()
            .map(|known| Held {
                partition: known.at.partition,
                offset: known.until,
                keys: 0,
                missing: known.missing,
                mark: known.mark,
                chunks: Vec::new(),
            })
            .collect();
        for put in self.done {
            if let Some(held) = held.iter_mut().find(|held| held.partition == put.partition) {
                held.keys += put.keys;
                held.chunks.push(put.chunk);
            }
        }
        Ok(held)
    }
}

async fn put(
    objects: Objects,
    path: crate::objects::ObjectPath,
    (partition, name): (i32, String),
    mut block: BlockWriter,
) -> Result<Put> {
    let keys = block.count();
    let packed = tokio::task::spawn_blocking(move || block.finish(LEVEL)).await;
    let packed = packed.map_err(|_| aborted())??;
    let (bytes, crc32) = (packed.len() as u64, crc32fast::hash(&packed));
    objects.put(&path, packed.into()).await?;
    Ok(Put {
        partition,
        keys,
        chunk: Chunk { name, bytes, crc32 },
    })
}
