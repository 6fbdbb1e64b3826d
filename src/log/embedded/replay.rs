//! Bringing the segments to where the journals are: cut to the checkpoint, then written again from the journals' frames.

use std::{collections::BTreeSet, io, path::Path, sync::Arc};

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::{
    checkpoint::{Failed, Job},
    fault::{self, At},
    frame::Frame,
    index,
    partition::{Chunk, Partition},
    record::Head,
    segments::{Limits, Segments},
    sheet::{Checkpoint, PartitionSheet, Segment},
    state::State,
    table::Shared,
};
use crate::{error::Result, log::TopicPartition, name::Topic};

/// Replayed records wait in memory up to this many bytes.
const MOST_BYTES: usize = 4 << 20;

pub(crate) struct Replay<'a> {
    shared: &'a Shared,
    segments: Segments,
    partitions: FxHashMap<(u32, i32), Arc<Partition>>,
    waiting: usize,
}

impl<'a> Replay<'a> {
    /// Cuts the segments to what the checkpoint says and removes all others.
    pub(crate) fn new(shared: &'a Shared, state: &State, checkpoint: &Checkpoint) -> Result<Self> {
        let mut replay = Self {
            shared,
            segments: Segments::new(shared),
            partitions: FxHashMap::default(),
            waiting: 0,
        };
        for sheet in &checkpoint.partitions {
            replay.adopt(state, sheet)?;
        }
        replay.remove_superfluous(state)?;
        Ok(replay)
    }

    pub(crate) fn into_partitions(self) -> FxHashMap<(u32, i32), Arc<Partition>> {
        self.partitions
    }

    fn adopt(&mut self, state: &State, sheet: &PartitionSheet) -> Result<()> {
        let Some(topic) = state.topics.get(&sheet.topic) else {
            return Ok(());
        };
        let start = topic.start(sheet.partition);
        let kept = sheet.segments.iter().filter(|segment| segment.end > start);
        let segments: Vec<Segment> = kept.cloned().collect();
        for segment in &segments {
            self.check_length(sheet, segment)?;
        }
        let partition = self.partition(state, sheet.topic, sheet.partition);
        if let Some(partition) = partition {
            let mut inner = partition.lock();
            inner.end = sheet.end.max(start);
            inner.flushed = inner.end;
            inner.last_time = sheet.last_time;
            inner.segments = segments;
        }
        Ok(())
    }

    fn check_length(&self, sheet: &PartitionSheet, segment: &Segment) -> Result<()> {
        let name = segment.name(sheet.topic, sheet.partition);
        let path = self.shared.layout.segment(name);
        let file = match self.shared.files.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(fault::missing(&path)),
            other => other.at("open", &path)?,
        };
        let len = file.len().at("look at", &path)?;
        if len < segment.len {
            return Err(fault::damaged(
                &path,
                len,
                &format!("the file should have {} bytes", segment.len),
            ));
        }
        if len > segment.len {
            file.set_len(segment.len).at("cut", &path)?;
        }
        let index = self.shared.layout.index(name);
        index::cut(&*self.shared.files, &index, segment.indexed).at("cut", &index)
    }

    /// Removes topics that were deleted, and segments that the checkpoint does not know.
    fn remove_superfluous(&mut self, state: &State) -> Result<()> {
        let (files, layout) = (&*self.shared.files, &self.shared.layout);
        for name in files.list(&layout.topics()).at("list", &layout.topics())? {
            let dir = layout.topics().join(&name);
            let Some(id) = name.parse::<u32>().ok().filter(|id| state.topics.contains_key(id)) else {
                files.remove_dir(&dir).at("remove", &dir)?;
                continue;
            };
            let known = self.known_names(id);
            for file in files.list(&dir).at("list", &dir)? {
                if !known.contains(&file) {
                    files.remove(&dir.join(&file)).at("remove", &dir.join(&file))?;
                }
            }
        }
        Ok(())
    }

    fn known_names(&self, topic: u32) -> BTreeSet<String> {
        let mut known = BTreeSet::new();
        for partition in self.partitions.values().filter(|partition| partition.topic == topic) {
            for segment in &partition.lock().segments {
                let name = segment.name(topic, partition.number);
                known.extend([name.file("segment"), name.file("index")]);
            }
        }
        known
    }

    /// The partition, unless its topic was deleted.
    fn partition(&mut self, state: &State, id: u32, number: i32) -> Option<Arc<Partition>> {
        let topic = state.topics.get(&id).filter(|topic| number < topic.partitions)?;
        let name = Topic::new(&topic.name).ok()?;
        let partition = self.partitions.entry((id, number)).or_insert_with(|| {
            let name = TopicPartition {
                topic: name,
                partition: number,
            };
            Arc::new(Partition::new(id, name, topic.start(number)))
        });
        Some(partition.clone())
    }

    /// Takes a frame's records, as far as the segments do not have them.
    pub(crate) fn frame(&mut self, state: &State, frame: &Frame, records: &[u8], path: &Path) -> Result<()> {
        let Some(partition) = self.partition(state, frame.topic, frame.partition) else {
            return match frame.topic <= state.last_topic {
                true => Ok(()),
                false => Err(fault::damaged(
                    path,
                    frame.position,
                    "records of a topic that was never created",
                )),
            };
        };
        let mut inner = partition.lock();
        if frame.base > inner.end {
            let what = format!(
                "records of {} from {} on are missing before it",
                partition.name.topic, inner.end
            );
            return Err(fault::damaged(path, frame.position, &what));
        }
        let Some((new, time)) = skip(records, inner.end) else {
            return Ok(());
        };
        let (base, end) = (inner.end, frame.base + i64::from(frame.count));
        self.waiting += new.len();
        let bytes = Bytes::copy_from_slice(new);
        inner.push(Chunk {
            base,
            end,
            time,
            bytes,
            group: 0,
        });
        drop(inner);
        match self.waiting > MOST_BYTES {
            true => self.flush(state),
            false => Ok(()),
        }
    }

    fn flush(&mut self, state: &State) -> Result<()> {
        for partition in self.partitions.values() {
            let limits = Limits::of(self.shared.options.segment_bytes, state.topics.get(&partition.topic));
            let dir = self.shared.layout.topic(partition.topic);
            self.segments.flush(partition, limits).at("write a segment in", &dir)?;
            partition.lock().chunks.clear();
        }
        self.waiting = 0;
        Ok(())
    }

    /// Syncs what was written and notes it in a checkpoint, which counts once the manifest names it.
    pub(crate) fn finish(&mut self, state: &State, internal_end: i64, number: u64) -> Result<()> {
        self.flush(state)?;
        let mut partitions = Vec::new();
        for partition in self.partitions.values() {
            let dir = self.shared.layout.topic(partition.topic);
            self.segments.seal(partition).at("write an index in", &dir)?;
            let inner = partition.lock();
            if inner.end > 0 {
                partitions.push(inner.sheet(partition.topic, partition.number));
            }
        }
        let job = Job {
            files: self.shared.files.clone(),
            layout: self.shared.layout.clone(),
            dirty: self.segments.dirty.drain().collect(),
            obsolete: Vec::new(),
            checkpoint: Checkpoint {
                state: state.clone(),
                internal_end,
                partitions,
            },
            number,
            replay_from: 0,
        };
        job.run().map_err(|failed| {
            let (Failed::Sync(error) | Failed::Write(error)) = failed;
            fault::failed(
                &format!("write {}", self.shared.layout.checkpoint(number).display()),
                error,
            )
        })
    }
}

/// The records from an offset on, and their time.
fn skip(records: &[u8], from: i64) -> Option<(&[u8], i64)> {
    let mut rest = records;
    while let Ok(head) = Head::read(rest) {
        if head.offset >= from {
            return Some((rest, head.time));
        }
        rest = &rest[head.len..];
    }
    None
}
