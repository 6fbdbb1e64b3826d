//! Dead letters: what a group gave up, kept on a topic of the group's own until somebody redrives or discards it.
//!
//! ```text
//! group ──write──▶ the group's topic ──▶ Index (the same on every replica) ──▶ list, get
//!   ▲                    ▲    └──────────────────────────────┐
//!   └── load, done ──────┴── redrive, discard                └──▶ redriving, quarantined ──▶ group
//! ```

mod view;
mod selection;
mod moving;
mod stores;
mod store;
mod topic;
mod follow;
pub mod index;
mod letter;
pub mod format;

pub use follow::Loaded;
pub use index::{Cause, Row, State};
pub use letter::{Letter, LetterId, LetterReason, NoLetterId, Why};
pub use moving::{Fate, Moved, Verb};
pub use selection::{LetterFilter, Selection};
pub use store::{Asked, Store};
pub use stores::DeadLetters;
pub use view::{LetterInfo, LetterPage};
