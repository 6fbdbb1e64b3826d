//! Several sorted sources as one: each key once, with what became of it in all of them, the oldest first.

use std::{cmp::Ordering, collections::BinaryHeap};

use super::{base::BaseReader, block::Entry, runs::RunReader};
use crate::error::Result;

/// Entries in the order of their keys.
pub(super) enum Source {
    Memory(std::vec::IntoIter<Entry>),
    Run(RunReader),
    Base(Box<BaseReader>),
}

impl Source {
    async fn next(&mut self) -> Result<Option<Entry>> {
        match self {
            Self::Memory(entries) => Ok(entries.next()),
            Self::Run(run) => run.next().await,
            Self::Base(base) => base.next().await,
        }
    }
}

pub(super) struct Merge {
    /// Oldest first.
    sources: Vec<Source>,
    /// The next entry of each.
    heads: BinaryHeap<Head>,
    /// Sources whose next entry is to be fetched.
    wanted: Vec<usize>,
}

/// The smallest key, and of equal ones that of the oldest source, is the greatest, because heaps give that first.
struct Head {
    entry: Entry,
    source: usize,
}

impl Merge {
    /// Sources come oldest first.
    pub(super) fn new(sources: Vec<Source>) -> Self {
        let wanted = (0..sources.len()).collect();
        Self {
            sources,
            heads: BinaryHeap::new(),
            wanted,
        }
    }

    /// The next key. After an error it can be asked again only if the source that failed can. Cancelled, it loses nothing but what a
    /// source loses.
    pub(super) async fn next(&mut self) -> Result<Option<Entry>> {
        while let Some(source) = self.wanted.last().copied() {
            let entry = self.sources[source].next().await?;
            self.wanted.pop();
            self.heads.extend(entry.map(|entry| Head { entry, source }));
        }
        let Some(Head { mut entry, source }) = self.heads.pop() else {
            return Ok(None);
        };
        self.wanted.push(source);
        while self.heads.peek().is_some_and(|head| head.entry.key == entry.key) {
            let Some(newer) = self.heads.pop() else { break };
            self.wanted.push(newer.source);
            entry.folded = entry.folded.then(newer.entry.folded);
        }
        Ok(Some(entry))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let reversed = |one: &Self, two: &Self| (&one.entry.key, one.source).cmp(&(&two.entry.key, two.source));
        reversed(other, self)
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}
