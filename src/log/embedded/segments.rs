//! Writing segments: what the journal made durable goes from memory to the file of its partition, without an fsync.
//!
//! Segment: `TIDINGSS`, version (u32), CRC32 of what follows (u32), topic (u32), partition (u32), base offset (i64), records.
//! A write may be repeated: it goes to a known place, and nothing reads behind the known length.

use std::{io, sync::Arc};

use rustc_hash::FxHashSet;

use super::{
    files::{Files, Layout, SegmentName},
    handles::Handles,
    index,
    partition::{Chunk, IndexEntry, Inner, Partition},
    record::{Head, u32_at},
    sheet::Segment,
    state::TopicState,
    table::Shared,
};

/// Where the first record lies.
pub(crate) const HEADER: u64 = 32;

const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"TIDINGSS";
/// Chunks smaller than this are written together.
const SMALL: usize = 32 << 10;

pub(crate) fn header(name: SegmentName) -> [u8; HEADER as usize] {
    let mut bytes = [0; HEADER as usize];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..20].copy_from_slice(&name.topic.to_le_bytes());
    bytes[20..24].copy_from_slice(&name.partition.to_le_bytes());
    bytes[24..].copy_from_slice(&name.base.to_le_bytes());
    let crc = crc32fast::hash(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

pub(crate) fn check_header(bytes: &[u8], name: SegmentName) -> Result<(), &'static str> {
    if bytes.len() < HEADER as usize {
        return Err("the segment's header is cut");
    }
    if bytes[..8] == MAGIC[..] && u32_at(bytes, 8) != VERSION {
        return Err("the segment is of another version");
    }
    if bytes[..HEADER as usize] != header(name) {
        return Err("the header is not that of this segment");
    }
    Ok(())
}

/// What the writer needs to write segments.
pub(crate) struct Segments {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) layout: Layout,
    pub(crate) handles: Arc<Handles>,
    pub(crate) segment_bytes: u64,
    /// Written to since the last checkpoint began.
    pub(crate) dirty: FxHashSet<SegmentName>,
}

/// When a partition's segments are closed.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) bytes: u64,
    /// Milliseconds between a segment's first and last record.
    pub(crate) age: i64,
}

impl Limits {
    /// So that retention finds something to delete in time.
    pub(crate) fn of(segment_bytes: u64, topic: Option<&TopicState>) -> Self {
        let kept = topic.and_then(|topic| topic.retention_bytes).unwrap_or(u64::MAX);
        let age = topic.and_then(|topic| topic.retention_ms).unwrap_or(u64::MAX);
        Self {
            bytes: segment_bytes.min((kept / 4).max(16 << 10)),
            age: i64::try_from(age / 8).unwrap_or(i64::MAX),
        }
    }
}

impl Segments {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self {
            files: shared.files.clone(),
            layout: shared.layout.clone(),
            handles: shared.handles.clone(),
            segment_bytes: shared.options.segment_bytes,
            dirty: FxHashSet::default(),
        }
    }

    /// Writes all that the partition has in memory only.
    pub(crate) fn flush(&mut self, partition: &Partition, limits: Limits) -> io::Result<()> {
        loop {
            let (target, chunks) = {
                let inner = partition.lock();
                if inner.flushed >= inner.end || inner.gone.is_some() {
                    return Ok(());
                }
                plan(&inner, limits)
            };
            let (segment, is_new) = match target {
                Some(segment) => (segment, false),
                None => (self.start_segment(partition, &chunks[0])?, true),
            };
            let written = self.write(partition, segment, &chunks)?;
            note(&mut partition.lock(), written, is_new);
        }
    }

    fn start_segment(&mut self, partition: &Partition, first: &Chunk) -> io::Result<Segment> {
        self.seal(partition)?;
        let segment = Segment {
            base: first.base,
            generation: 0,
            len: HEADER,
            end: first.base,
            first_time: first.time,
            last_time: first.time,
            indexed: 0,
            index_place: 0,
        };
        let name = segment.name(partition.topic, partition.number);
        self.handles.create(name)?.write_at(&header(name), 0)?;
        Ok(segment)
    }

    fn write(&mut self, partition: &Partition, mut segment: Segment, chunks: &[Chunk]) -> io::Result<Written> {
        let name = segment.name(partition.topic, partition.number);
        let file = self.handles.get(name)?;
        self.dirty.insert(name);
        let step = index::step(self.segment_bytes);
        let (mut entries, mut small) = (Vec::new(), Vec::new());
        let mut place = segment.len;
        for chunk in chunks {
            add_entries(&mut segment, chunk, step, &mut entries);
            if chunk.bytes.len() < SMALL {
                small.extend_from_slice(&chunk.bytes);
                continue;
            }
            file.write_at(&small, place)?;
            file.write_at(&chunk.bytes, place + small.len() as u64)?;
            small.clear();
            place = segment.len;
        }
        file.write_at(&small, place)?;
        Ok(Written { segment, entries })
    }

    /// Writes the index entries of the last segment that are in memory only.
    pub(crate) fn seal(&self, partition: &Partition) -> io::Result<()> {
        let (segment, entries) = {
            let inner = partition.lock();
            match inner.segments.last() {
                Some(last) if !inner.index.is_empty() => (last.clone(), inner.index.clone()),
                _ => return Ok(()),
            }
        };
        let path = self.layout.index(segment.name(partition.topic, partition.number));
        index::add(&*self.files, &path, segment.indexed, &entries)?;
        let mut inner = partition.lock();
        inner.index.clear();
        if let Some(last) = inner.segments.last_mut() {
            last.indexed += entries.len() as u64;
        }
        Ok(())
    }
}

struct Written {
    segment: Segment,
    entries: Vec<IndexEntry>,
}

/// The segment to write to (`None` = a new one) and the chunks that go there.
fn plan(inner: &Inner, limits: Limits) -> (Option<Segment>, Vec<Chunk>) {
    let first = inner.chunks.partition_point(|chunk| chunk.end <= inner.flushed);
    let is_open = |segment: &&Segment| {
        let age = inner.chunks[first].time.saturating_sub(segment.first_time);
        segment.len < limits.bytes && age <= limits.age
    };
    let target = inner.segments.last().filter(is_open).cloned();
    let (mut len, since) = match &target {
        Some(segment) => (segment.len, segment.first_time),
        None => (HEADER, inner.chunks[first].time),
    };
    let mut chunks = Vec::new();
    for chunk in inner.chunks.range(first..) {
        let is_late = chunk.time.saturating_sub(since) > limits.age;
        if !chunks.is_empty() && (len >= limits.bytes || is_late) {
            break;
        }
        len += chunk.bytes.len() as u64;
        chunks.push(chunk.clone());
    }
    (target, chunks)
}

fn add_entries(segment: &mut Segment, chunk: &Chunk, step: u64, entries: &mut Vec<IndexEntry>) {
    let mut at = 0;
    while at < chunk.bytes.len() {
        let place = segment.len + at as u64;
        let is_due = place >= segment.index_place + step;
        if at == 0 && !is_due && place + (chunk.bytes.len() as u64) < segment.index_place + step {
            break;
        }
        let Ok(head) = Head::read(&chunk.bytes[at..]) else {
            break;
        };
        if is_due {
            segment.index_place = place;
            entries.push(IndexEntry {
                offset: head.offset,
                time: head.time,
                place,
            });
        }
        at += head.len;
    }
    segment.len += chunk.bytes.len() as u64;
    segment.end = chunk.end;
    segment.last_time = chunk.time;
}

fn note(inner: &mut Inner, written: Written, is_new: bool) {
    inner.flushed = written.segment.end;
    let still = inner
        .chunks
        .iter()
        .rev()
        .take_while(|chunk| chunk.base >= inner.flushed);
    inner.unflushed_bytes = still.map(|chunk| chunk.bytes.len()).sum();
    if is_new {
        inner.index = written.entries;
        inner.segments.push(written.segment);
    } else {
        inner.index.extend(written.entries);
        if let Some(last) = inner.segments.last_mut() {
            let indexed = last.indexed;
            *last = Segment {
                indexed,
                ..written.segment
            };
        }
    }
}
