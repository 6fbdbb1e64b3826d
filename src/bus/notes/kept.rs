//! The row in `tidings.control` of what did not fit into a note.

use crate::{
    bus::{delivery::note::More, table::Row},
    error::{Error, Reason, Result},
};

/// A row: what did not fit into the note that names this version.
pub(in crate::bus) struct Kept {
    pub(super) version: u64,
    pub(super) more: More,
}

impl Row for Kept {
    const TOPIC: &'static str = "tidings.control";
    const PREFIX: &'static str = "tries/";

    fn supersedes(&self, known: &Self) -> bool {
        self.version >= known.version
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.version.to_le_bytes().to_vec();
        bytes.extend(self.more.to_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8], _offset: i64) -> Result<Self> {
        let damaged = || Error::new(Reason::LogDamaged, "read what became of a group's events");
        let (version, more) = bytes.split_first_chunk().ok_or_else(damaged)?;
        Ok(Self {
            version: u64::from_le_bytes(*version),
            more: More::from_bytes(more).ok_or_else(damaged)?,
        })
    }
}
