//! A partition of a topic whose states are read: what it stands on, and what is known of it beside its keys.

use std::sync::Arc;

use super::{
    manifest::{Held, Manifest, Mark},
    tail::Tail,
};
use crate::{
    bus::{Gap, GapReason},
    log::{LogTime, TopicPartition},
    objects::Objects,
};

/// A partition.
pub(super) struct Part {
    /// What it stands on; `None` = the log alone.
    pub(super) base: Option<(Objects, Arc<Manifest>)>,
    /// Which of the bases that is.
    pub(super) index: usize,
    pub(super) tail: Option<Tail>,
    /// What is known of it once it was read.
    pub(super) known: Known,
}

/// What there is to say of a partition beside its keys.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) at: TopicPartition,
    pub(super) until: i64,
    pub(super) missing: Option<(i64, i64)>,
    pub(super) newest: Option<LogTime>,
    pub(super) mark: Option<Mark>,
    /// Records without a key behind the snapshot.
    pub(super) keyless: u64,
}

impl Known {
    /// The events that are missing.
    pub(super) fn gap(&self) -> Option<Gap> {
        let (from, to) = self.missing?;
        Some(Gap {
            partition: self.at.clone(),
            from,
            to,
            reason: GapReason::Retention,
        })
    }
}

impl Part {
    /// What its snapshot holds of it.
    pub(super) fn held(&self) -> Option<&Held> {
        let (_, manifest) = self.base.as_ref()?;
        manifest.partition(self.known.at.partition)
    }
}

/// Its place in lists of all partitions.
pub(super) fn place(partition: i32) -> usize {
    usize::try_from(partition).unwrap_or_default()
}
