//! Checkpoints: the state of a client, any bytes, with the positions that it stands for, kept in the object store.
//!
//! ```text
//! put ─▶ checkpoints/NAME/data/UPLOAD/1, 2, … ─▶ checkpoints/NAME/generations/7, which names them and makes it exist
//!                                                  └─▶ a group, if it is tied to one: committed there (tie.rs)
//! ```
//!
//! A generation is created, never changed; the newest one is the checkpoint. Of several puts at once each makes a generation, and
//! who was promised another one before is refused. docs/checkpoints.md tells what is promised, and what each step survives.

mod manifest;
mod shelf;
mod positions;
mod upload;
mod put;
mod tie;
mod get;
mod view;
mod delete;

use std::collections::BTreeMap;

pub use self::{
    delete::DeleteCheckpoint,
    get::Download,
    put::{Begun, NewCheckpoint},
    upload::Upload,
    view::CheckpointRow,
};
use crate::{
    log::{LogTime, TopicPartition},
    name::{CheckpointName, Group},
};

/// What is configured of them.
#[derive(Clone, Copy, Debug)]
pub struct CheckpointRules {
    /// Generations of each that are kept, the newest among them.
    pub keep: usize,
    /// The largest.
    pub max_bytes: u64,
    /// How many may be put or read at once on this replica; each takes up to 16 MiB.
    pub transfers: usize,
}

/// A generation of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointInfo {
    pub name: CheckpointName,
    /// From 1; rises with each put, and with each deletion.
    pub generation: u64,
    /// What comes next in each partition: everything below is in the state.
    pub positions: Vec<(TopicPartition, i64)>,
    pub size: u64,
    pub sha256: [u8; 32],
    /// As whoever put it says.
    pub content_type: String,
    pub labels: BTreeMap<String, String>,
    /// The group that was committed at the positions.
    pub tie: Option<Tie>,
    pub created: LogTime,
    pub by: String,
    /// Of the call that put it.
    pub request_id: String,
}

impl CheckpointInfo {
    /// `name@generation`.
    pub fn label(&self) -> String {
        format!("{}@{}", self.name, self.generation)
    }
}

/// The group that a checkpoint belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tie {
    pub group: Group,
    /// The group's, as the client saw it.
    pub epoch: u64,
    /// Tells the group from another of its name.
    id: u64,
}
