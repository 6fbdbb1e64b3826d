//! What is told of a snapshot, whether it is stored or still being taken.

use super::{
    manifest::Manifest,
    name::SnapshotName,
    row::{Creation, SnapshotRow},
};
use crate::{log::LogTime, name::Topic};

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    pub name: SnapshotName,
    pub topic: Topic,
    pub state: SnapshotState,
    pub partitions: Vec<SnapshotPartition>,
    pub keys: u64,
    pub bytes: u64,
    /// Events read to take it, and to be read.
    pub read: u64,
    pub total: u64,
    /// Events without a key.
    pub keyless: u64,
    /// The snapshot that it was made from.
    pub base: Option<String>,
    /// `None` = not known.
    pub begun: Option<LogTime>,
    pub finished: Option<LogTime>,
    pub reason: String,
    pub by: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotState {
    Creating,
    Ready,
    /// Why.
    Failed(String),
    Damaged(String),
}

/// What it holds of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPartition {
    pub partition: i32,
    /// The state is that before this offset.
    pub offset: i64,
    pub keys: u64,
    /// Events were gone before they were read.
    pub missing: Option<(i64, i64)>,
}

impl SnapshotInfo {
    pub(super) fn ready(manifest: &Manifest) -> Self {
        let held = manifest.partitions.iter().map(|held| SnapshotPartition {
            partition: held.partition,
            offset: held.offset,
            keys: held.keys,
            missing: held.missing,
        });
        Self {
            name: SnapshotName::of(&manifest.topic, &manifest.id),
            topic: manifest.topic.clone(),
            state: SnapshotState::Ready,
            partitions: held.collect(),
            keys: manifest.keys(),
            bytes: manifest.bytes(),
            read: manifest.read,
            total: manifest.total,
            keyless: manifest.keyless,
            base: manifest.base.clone(),
            begun: Some(manifest.begun),
            finished: Some(manifest.finished),
            reason: manifest.reason.clone(),
            by: manifest.by.clone(),
        }
    }

    pub(super) fn damaged(topic: &Topic, id: &str, what: String) -> Self {
        Self {
            name: SnapshotName::of(topic, id),
            topic: topic.clone(),
            state: SnapshotState::Damaged(what),
            partitions: Vec::new(),
            keys: 0,
            bytes: 0,
            read: 0,
            total: 0,
            keyless: 0,
            base: None,
            begun: None,
            finished: None,
            reason: String::new(),
            by: String::new(),
        }
    }

    /// One that is not stored. `is_alive` = somebody still takes it.
    pub(super) fn of_row(topic: &Topic, row: &SnapshotRow, is_alive: Alive) -> Self {
        let state = match (&row.state, is_alive) {
            (Creation::Failed(what), _) => SnapshotState::Failed(what.clone()),
            (Creation::Active(_), Alive::Yes) => SnapshotState::Creating,
            _ => SnapshotState::Failed("the server that took it is gone".to_owned()),
        };
        let held = (0..).zip(&row.offsets).map(|(partition, offset)| SnapshotPartition {
            partition,
            offset: *offset,
            keys: 0,
            missing: None,
        });
        Self {
            name: SnapshotName::of(topic, &row.id),
            topic: topic.clone(),
            state,
            partitions: held.collect(),
            keys: row.keys,
            bytes: row.bytes,
            read: row.read,
            total: row.total,
            keyless: 0,
            base: row.base.clone(),
            begun: Some(row.begun),
            finished: None,
            reason: row.reason.clone(),
            by: row.by.clone(),
        }
    }
}

/// Whether somebody takes a snapshot that is said to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alive {
    Yes,
    No,
}
