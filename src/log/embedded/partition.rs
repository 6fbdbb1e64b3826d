//! One partition in memory: its bounds, what its segments hold, and its newest records, which may not lie in a segment yet.
//!
//! ```text
//! start … segments … flushed … chunks … end
//!             chunks kept for readers may begin before `flushed`
//! ```
//!
//! Changed by the writer only; readers look and wait.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::sheet::{PartitionSheet, Segment};
use crate::log::{Bounds, TopicPartition};

pub(crate) struct Partition {
    pub(crate) topic: u32,
    pub(crate) number: i32,
    /// For people and errors.
    pub(crate) name: TopicPartition,
    inner: Mutex<Inner>,
    /// Tells readers that the end moved, or that the topic is gone.
    pub(crate) changed: Notify,
}

#[derive(Default)]
pub(crate) struct Inner {
    /// The topic was deleted, or the log closed.
    pub(crate) gone: Option<Gone>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) last_time: i64,
    pub(crate) segments: Vec<Segment>,
    /// Index entries of the last segment that its side file does not have yet.
    pub(crate) index: Vec<IndexEntry>,
    /// What lies before this is in the segments.
    pub(crate) flushed: i64,
    pub(crate) unflushed_bytes: usize,
    pub(crate) chunks: VecDeque<Chunk>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    Deleted,
    Closed,
}

/// Records that were made durable together, in memory.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) base: i64,
    pub(crate) end: i64,
    /// All its records have this time.
    pub(crate) time: i64,
    pub(crate) bytes: Bytes,
    /// The group commit that it came with.
    pub(crate) group: u64,
}

/// Where in a segment a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) offset: i64,
    pub(crate) time: i64,
    pub(crate) place: u64,
}

/// Where a reader finds an offset.
#[derive(Debug)]
pub(crate) enum Place {
    /// Before the start, or behind the end.
    Outside,
    /// Nothing there yet.
    End,
    Memory(Vec<Bytes>),
    /// In this segment, or in a hole before it; the entries are those that its side file lacks.
    Segment(Segment, Vec<IndexEntry>),
    Gone(Gone),
}

impl Partition {
    pub(crate) fn new(topic: u32, name: TopicPartition, start: i64) -> Self {
        let inner = Inner {
            start,
            end: start,
            flushed: start,
            ..Inner::default()
        };
        Self {
            topic,
            number: name.partition,
            name,
            inner: Mutex::new(inner),
            changed: Notify::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Becomes what recovery found.
    pub(crate) fn adopt(&self, found: &Self) {
        if std::ptr::eq(self, found) {
            return;
        }
        let found = std::mem::take(&mut *found.lock());
        let mut inner = self.lock();
        if inner.gone.is_none() {
            *inner = found;
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    pub(crate) fn end(&self, gone: Gone) {
        let mut inner = self.lock();
        inner.gone.get_or_insert(gone);
        inner.chunks.clear();
        drop(inner);
        self.changed.notify_waiters();
    }
}

impl Inner {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            start: self.start,
            end: self.end,
        }
    }

    pub(crate) fn push(&mut self, chunk: Chunk) {
        self.end = chunk.end;
        self.last_time = chunk.time;
        self.unflushed_bytes += chunk.bytes.len();
        self.chunks.push_back(chunk);
    }

    /// Forgets what came with this group commit and those before it, once it lies in a segment.
    pub(crate) fn evict(&mut self, group: u64) {
        while let Some(chunk) = self.chunks.front()
            && chunk.group <= group
            && chunk.end <= self.flushed
        {
            self.chunks.pop_front();
        }
    }

    /// Whether records of this group commit, or of one before it, are in memory only.
    pub(crate) fn needs_flush(&self, group: u64) -> bool {
        let first = self.chunks.partition_point(|chunk| chunk.end <= self.flushed);
        self.chunks.get(first).is_some_and(|chunk| chunk.group <= group)
    }

    /// Finds the records from `from` on; from memory at most `bytes` of them, but always some.
    pub(crate) fn find(&self, from: i64, bytes: usize) -> Place {
        if let Some(gone) = self.gone {
            return Place::Gone(gone);
        }
        if from < self.start || from > self.end {
            return Place::Outside;
        }
        if from == self.end {
            return Place::End;
        }
        match self.chunks.front() {
            Some(first) if first.base <= from => Place::Memory(self.take(from, bytes)),
            _ => self.segment_of(from),
        }
    }

    fn take(&self, from: i64, bytes: usize) -> Vec<Bytes> {
        let first = self.chunks.partition_point(|chunk| chunk.end <= from);
        let mut room = bytes;
        let mut taken = Vec::new();
        for chunk in self.chunks.range(first..) {
            if !taken.is_empty() && (chunk.bytes.len() > room || taken.len() == 256) {
                break;
            }
            room = room.saturating_sub(chunk.bytes.len());
            taken.push(chunk.bytes.clone());
        }
        taken
    }

    fn segment_of(&self, from: i64) -> Place {
        let at = self.segments.partition_point(|segment| segment.end <= from);
        match self.segments.get(at) {
            Some(segment) if at + 1 == self.segments.len() => Place::Segment(segment.clone(), self.index.clone()),
            Some(segment) => Place::Segment(segment.clone(), Vec::new()),
            None => Place::Outside,
        }
    }

    pub(crate) fn sheet(&self, topic: u32, partition: i32) -> PartitionSheet {
        PartitionSheet {
            topic,
            partition,
            end: self.flushed,
            last_time: self.last_time,
            segments: self.segments.clone(),
        }
    }
}
