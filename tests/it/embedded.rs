//! What the embedded log promises beyond any log: files, crashes, damage, limits.

mod reopen;
mod damage;
mod kill;
mod limits;
mod lock;
mod promises;
mod replays;

use std::{path::Path, sync::Arc};

use tidings::log::embedded::{EmbeddedLog, Options};

use crate::log::{append, at, read_all, record, settings, topic, values};

/// Small files, so that a test sees many of them.
pub(crate) fn small(dir: &Path) -> Options {
    Options {
        journal_bytes: 16 << 10,
        segment_bytes: 8 << 10,
        cache_bytes: 4 << 10,
        open_files: 4,
        ..Options::new(dir)
    }
}

pub(crate) async fn open(dir: &Path) -> Arc<EmbeddedLog> {
    EmbeddedLog::open(small(dir)).await.unwrap()
}
