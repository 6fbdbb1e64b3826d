//! Replays: past events are sent to a running group beside its live ones, marked, and no offset of the group moves.
//!
//! ```text
//! start ─▶ `replays/…` in tidings.control, then the group's record names it   (accepted: from here on it is carried out)
//!            └─▶ the owner of each partition reads the range and sends it as streams have room (bus/group/replaying.rs)
//!                 └─▶ with its commits, `replayed/…`: how far it has come there
//! all ranges are done, or somebody stops it ─▶ `replays/…` says so, the record names it no more
//! ```
//!
//! docs/replay.md tells what is promised.

mod row;
mod progress;
mod range;
mod start;
mod ending;
mod keeper;
mod view;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use rustc_hash::FxHashMap;

pub use self::{
    ending::StopReplay,
    row::{Ended, How, ReplayRange, ReplayRow, no_such_replay},
    start::StartReplay,
    view::{ReplayInfo, ReplayPartition},
};
pub(super) use self::{
    progress::{Replayed, ReplayedTable, key},
    row::ReplaysTable,
};

/// What is known of replays.
pub(super) struct Replays {
    rows: Arc<ReplaysTable>,
    pub(super) progress: Arc<ReplayedTable>,
    /// Partitions that a replay misses, by the key of its progress, and since when.
    missing: Mutex<FxHashMap<String, Instant>>,
}

impl Replays {
    pub(super) fn of(rows: Arc<ReplaysTable>, progress: Arc<ReplayedTable>) -> Self {
        Self {
            rows,
            progress,
            missing: Mutex::default(),
        }
    }

    /// It is over.
    fn miss_nothing_of(&self, id: &str) {
        let keys = progress::keys_of(id);
        self.missing().retain(|key, _| !key.starts_with(&keys));
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn missing(&self) -> MutexGuard<'_, FxHashMap<String, Instant>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
