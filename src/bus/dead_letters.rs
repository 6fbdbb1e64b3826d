//! Dead letters: what a group gave up, kept on a topic of the group's own until somebody redrives or discards it.

mod letter;
pub mod format;
pub mod index;

pub use index::{Cause, Row, State};
pub use letter::{Letter, LetterId, LetterReason, NoLetterId, Why};
