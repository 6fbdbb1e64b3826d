//! What lies beside the log: the object store of snapshots and checkpoints, and room for what does not fit into memory.

use super::{Bus, Inner};
use crate::{
    error::{Error, Reason, Result},
    objects::Objects,
    scratch::Scratch,
};

/// Handed to the bus at its start.
#[derive(Clone, Debug)]
pub struct Stores {
    /// `None` = none is configured.
    objects: Option<Objects>,
    scratch: Scratch,
}

impl Stores {
    pub fn new(objects: Option<Objects>, scratch: Scratch) -> Self {
        Self { objects, scratch }
    }

    /// Temporary files.
    pub(super) fn scratch(&self) -> &Scratch {
        &self.scratch
    }
}

impl Bus {
    /// Whether snapshots and checkpoints can be kept.
    pub fn has_store(&self) -> bool {
        self.0.stores.objects.is_some()
    }
}

impl Inner {
    /// `STORE_NOT_SET` where none is configured.
    pub(super) fn objects(&self) -> Result<&Objects> {
        self.stores.objects.as_ref().ok_or_else(|| {
            let text = "the server has no object store: set snapshots.store to one that all replicas can reach";
            Error::new(Reason::StoreNotSet, text)
        })
    }
}
