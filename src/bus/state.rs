//! The state that a topic's events add up to: snapshots of it in the object store, and restores from them. docs/state.md tells what is
//! promised and how snapshots are stored.
//!
//! ```text
//!                     ┌─ snapshot ◀── object store ◀── chunks, manifest ◀─┐
//! states, key by key ◀┤                                                   ├─ the same states, written
//!                     └─ tail ◀────── log, from there to the end          ┘
//! ```

mod fold;
mod block;
mod manifest;
mod marks;
mod name;
mod info;
mod row;
mod claim;
mod create;
mod writing;
mod delete;
mod view;
mod schedule;
mod restore;
mod restoring;
mod planning;
mod sources;
mod topic;
mod part;
mod bases;
mod base;
mod tail;
mod gather;
mod merge;
mod runs;
mod memory;
mod shelf;
mod positions;

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

pub use bases::Unusable;
pub use create::NewSnapshot;
pub use delete::DeleteSnapshot;
pub use info::{SnapshotInfo, SnapshotPartition, SnapshotState};
pub use name::SnapshotName;
pub use restore::{RestoreOptions, RestoreSession};
pub use restoring::{Change, KeyState, RestoreFrame, RestoreProgress, RestoreSource};
pub use schedule::Schedule;

pub(in crate::bus) use row::{DeletionsTable, SnapshotsTable};

use self::{memory::Memory, sources::Sources};
use super::Inner;

/// What the bus is told of snapshots at its start.
#[derive(Clone, Debug)]
pub struct SnapshotSettings {
    /// For reading topics, over all that are read at once.
    pub memory: usize,
    /// Restores under way.
    pub restores: usize,
    /// How many of a topic are kept; 0 = all.
    pub keep: usize,
    /// Zero = for ever.
    pub max_age: Duration,
    pub schedule: Vec<Schedule>,
}

/// What reading states shares.
pub(in crate::bus) struct StateRoom {
    memory: Memory,
    pub(super) restores: Arc<Semaphore>,
}

impl StateRoom {
    pub(in crate::bus) fn new(settings: &SnapshotSettings) -> Self {
        Self {
            memory: Memory::new(settings.memory),
            restores: Arc::new(Semaphore::new(settings.restores)),
        }
    }
}

impl Inner {
    fn sources(&self) -> Sources {
        Sources {
            log: Arc::clone(&self.log),
            objects: self.objects().ok().cloned(),
            scratch: self.stores.scratch().clone(),
            memory: self.state.memory.clone(),
            tasks: self.tasks.clone(),
            draining: self.draining.clone(),
        }
    }
}
