//! Resets: planned, applied to a group that is running, taken back.
//!
//! ```text
//! plan ─▶ `resets/…` in tidings.control
//! apply ─▶ the group's record: epoch + 1, and where each partition shall stand   (accepted: from here on it is carried out)
//!            └─▶ the owner of each partition: fence, write down where it stood, commit with the epoch, read on
//!                (of a group without members the replica that was asked becomes the owner)
//! all committed ─▶ `resets/…` has the outcome, the record has no reset any more
//! ```
//!
//! docs/offsets.md tells what is promised, and what each step survives.

mod standing;
mod moved;
mod target;
mod partition_move;
mod plan;
mod row;
mod apply;
mod drive;
mod undo;
mod view;

pub use self::{
    apply::ApplyReset,
    partition_move::PartitionMove,
    plan::{PlanReset, ResetPlan, Whose},
    row::{Applied, ResetState},
    target::Target,
    undo::UndoReset,
    view::{ResetInfo, no_such_reset},
};
pub(super) use self::{
    moved::{Again, Moved, MovesTable, key, keys_of},
    row::ResetsTable,
    standing::Standing,
};

#[cfg(test)]
mod model;
