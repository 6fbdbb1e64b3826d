//! Compaction: of each key all but the newest record go, in the segments that are closed. Offsets stay; holes are left.
//!
//! New segments (generation 0) say which keys have newer records; then they and all before them are written again, one by one,
//! as the next generation. The old files go once a checkpoint names the new ones. A null value deletes its key: it is kept when
//! its segment is compacted for the first time, and goes the next time. Records without a key are kept.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, atomic::Ordering},
};

use rustc_hash::FxHashMap;

use super::{
    fault::At,
    files::{File, SegmentName},
    index,
    partition::{IndexEntry, Partition},
    record::Head,
    segment_read, segments,
    sheet::Segment,
    table::Shared,
};
use crate::error::Result;

/// Keys that are remembered in one go, of 24 bytes each; more new segments than hold them wait for the next go.
const MOST_KEYS: usize = 400_000;

/// What a compaction has done to a partition, to be put in place by the writer.
pub(crate) struct Compacted {
    pub(crate) partition: Arc<Partition>,
    /// The old segment and the new one, `None` if nothing is left of it.
    pub(crate) replaced: Vec<(Segment, Option<Segment>)>,
    /// How often the log had recovered when this began.
    pub(crate) recoveries: u64,
}

/// Compacts a partition's closed segments, if enough of them are new. Blocks.
pub(crate) fn compact(shared: &Shared, partition: &Arc<Partition>) -> Result<Option<Compacted>> {
    let recoveries = shared.recoveries.load(Ordering::SeqCst);
    let mut closed = partition.lock().segments.clone();
    closed.pop();
    if !is_worth_it(&closed) {
        return Ok(None);
    }
    let mut keys = Keys::default();
    let mut count = 0;
    for segment in &closed {
        if segment.generation == 0 {
            if count > 0 && keys.newest.len() >= MOST_KEYS {
                break;
            }
            let name = segment.name(partition.topic, partition.number);
            each(shared, name, segment, &mut |head, bytes| {
                if let Some(key) = head.key(bytes) {
                    keys.note(key, head.offset);
                }
            })?;
        }
        count += 1;
    }
    let mut replaced = Vec::new();
    for segment in closed.drain(..count) {
        if let Some(new) = rewrite(shared, partition, &segment, &keys)? {
            replaced.push((segment, new.into_segment()));
        }
    }
    let dir = shared.layout.topic(partition.topic);
    shared.files.sync_dir(&dir).at("sync", &dir)?;
    Ok(Some(Compacted {
        partition: partition.clone(),
        replaced,
        recoveries,
    }))
}

/// At least half as much is new as was compacted before.
fn is_worth_it(closed: &[Segment]) -> bool {
    let (new, old): (Vec<&Segment>, Vec<&Segment>) = closed.iter().partition(|segment| segment.generation == 0);
    let bytes = |segments: Vec<&Segment>| segments.iter().map(|segment| segment.len).sum::<u64>();
    let new = bytes(new);
    new > 0 && new * 2 >= bytes(old)
}

/// The newest offset of each key. Keys are kept as 128 bits of a hash that nobody can foresee.
#[derive(Default)]
struct Keys {
    hashers: [RandomState; 2],
    newest: FxHashMap<(u64, u64), i64>,
}

impl Keys {
    fn note(&mut self, key: &[u8], offset: i64) {
        self.newest.insert(self.hash(key), offset);
    }

    fn keeps(&self, head: &Head, bytes: &[u8], generation: u32) -> bool {
        let Some(key) = head.key(bytes) else {
            return true;
        };
        let is_newest = self
            .newest
            .get(&self.hash(key))
            .is_none_or(|newest| *newest <= head.offset);
        is_newest && !(head.is_tombstone() && generation > 0)
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        (self.hashers[0].hash_one(key), self.hashers[1].hash_one(key))
    }
}

/// Shows each record of a segment, with its bytes.
fn each(shared: &Shared, name: SegmentName, segment: &Segment, see: &mut dyn FnMut(&Head, &[u8])) -> Result<()> {
    let path = shared.layout.segment(name);
    let file = shared.files.open(&path).at("open", &path)?;
    segment_read::each(&*file, &path, segment.len, see)
}

/// Writes what is kept of a segment as its next generation. `None` if that is all of a segment compacted before.
fn rewrite(shared: &Shared, partition: &Partition, old: &Segment, keys: &Keys) -> Result<Option<New>> {
    let name = old.name(partition.topic, partition.number);
    let mut dropped = 0;
    each(shared, name, old, &mut |head, bytes| {
        dropped += u32::from(!keys.keeps(head, bytes, old.generation))
    })?;
    if dropped == 0 && old.generation > 0 {
        return Ok(None);
    }
    let generation = old.generation + 1;
    let mut new = New::create(shared, SegmentName { generation, ..name }, old)?;
    let mut failed = Ok(());
    each(shared, name, old, &mut |head, bytes| {
        if failed.is_ok() && keys.keeps(head, bytes, old.generation) {
            failed = new.add(head, bytes);
        }
    })?;
    failed.at("write", &shared.layout.segment(new.name))?;
    new.finish(shared)?;
    Ok(Some(new))
}

/// A segment that is being written again.
struct New {
    name: SegmentName,
    file: Arc<dyn File>,
    segment: Segment,
    waiting: Vec<u8>,
    entries: Vec<IndexEntry>,
    step: u64,
}

impl New {
    fn create(shared: &Shared, name: SegmentName, old: &Segment) -> Result<Self> {
        let path = shared.layout.segment(name);
        Ok(Self {
            name,
            file: shared.files.create(&path).at("create", &path)?,
            segment: Segment {
                generation: name.generation,
                len: segments::HEADER,
                indexed: 0,
                index_place: 0,
                ..old.clone()
            },
            waiting: segments::header(name).to_vec(),
            entries: Vec::new(),
            step: index::step(shared.options.segment_bytes),
        })
    }

    fn add(&mut self, head: &Head, bytes: &[u8]) -> std::io::Result<()> {
        if self.segment.len >= self.segment.index_place + self.step {
            let (offset, time, place) = (head.offset, head.time, self.segment.len);
            self.entries.push(IndexEntry { offset, time, place });
            self.segment.index_place = place;
        }
        self.waiting.extend_from_slice(&bytes[..head.len]);
        self.segment.len += head.len as u64;
        match self.waiting.len() > 1 << 20 {
            true => self.write(),
            false => Ok(()),
        }
    }

    fn write(&mut self) -> std::io::Result<()> {
        let place = self.segment.len - self.waiting.len() as u64;
        self.file.write_at(&self.waiting, place)?;
        self.waiting.clear();
        Ok(())
    }

    fn finish(&mut self, shared: &Shared) -> Result<()> {
        let path = shared.layout.segment(self.name);
        self.write().at("write", &path)?;
        self.file.sync().at("sync", &path)?;
        let path = shared.layout.index(self.name);
        index::add(&*shared.files, &path, 0, &self.entries).at("write", &path)?;
        self.segment.indexed = self.entries.len() as u64;
        Ok(())
    }

    fn into_segment(self) -> Option<Segment> {
        (self.segment.len > segments::HEADER).then_some(self.segment)
    }
}
