//! The tail cache's account: which group commits are in memory, for which partitions, and how many bytes they are.

use std::{collections::VecDeque, sync::Arc};

use super::partition::Partition;

/// What a group commit costs besides its bytes, about.
const OVERHEAD: usize = 256;

#[derive(Default)]
pub(crate) struct Cache {
    groups: VecDeque<Group>,
    bytes: usize,
    /// The number of the newest group commit.
    newest: u64,
}

struct Group {
    number: u64,
    bytes: usize,
    partitions: Vec<Arc<Partition>>,
}

impl Cache {
    /// Opens the account of a group commit and gives it its number.
    pub(crate) fn begin(&mut self, bytes: usize) -> u64 {
        self.newest += 1;
        self.bytes += bytes + OVERHEAD;
        self.groups.push_back(Group {
            number: self.newest,
            bytes: bytes + OVERHEAD,
            partitions: Vec::new(),
        });
        self.newest
    }

    pub(crate) fn add(&mut self, partition: Arc<Partition>) {
        if let Some(newest) = self.groups.back_mut() {
            newest.partitions.push(partition);
        }
    }

    /// The partitions of the newest group commit.
    pub(crate) fn touched(&self) -> Vec<Arc<Partition>> {
        self.groups
            .back()
            .map(|group| group.partitions.clone())
            .unwrap_or_default()
    }

    /// The oldest group commit, while there are more bytes than that.
    pub(crate) fn oldest_above(&self, limit: usize) -> Option<(u64, Vec<Arc<Partition>>)> {
        let oldest = self.groups.front().filter(|_| self.bytes > limit)?;
        Some((oldest.number, oldest.partitions.clone()))
    }

    pub(crate) fn drop_oldest(&mut self) {
        if let Some(oldest) = self.groups.pop_front() {
            self.bytes -= oldest.bytes;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.groups.clear();
        self.bytes = 0;
    }
}
