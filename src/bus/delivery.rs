//! Who gets which event next: the pure heart of a group, without I/O and without a clock.
//!
//! ```text
//! arrivals ──▶ tracker (what is settled) ──▶ scheduler (one event of a key at a time) ──▶ streams (credit, ids)
//! acks ──────▶ outstanding (id → event) ───▶ scheduler, tracker ──▶ the offset that may be committed
//! ```

mod bits;
mod dispatch;
mod entry;
mod ledger;
pub mod note;
mod outstanding;
mod partition;
mod replay;
mod retry;
mod scheduler;
mod stream;
mod tracker;
mod words;

pub use dispatch::Dispatch;
pub use entry::{Arrival, Doom, EntryId, Tries, Why};
pub use ledger::{Credit, CreditMode, Ledger};
pub use outstanding::{IdFault, IdRange, Verdict};
pub use partition::PartitionView;
pub use replay::{Counts, CourseView, Live};
pub use retry::RetryPolicy;
pub use tracker::SPAN;
pub use words::{Grave, Limits, Moment, Nack, Oldest, PartitionId, Places, Sending, Settled, StreamId};
