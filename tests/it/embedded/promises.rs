//! The suite of any log on the embedded one.

use tidings::log::embedded::{EmbeddedLog, Options};

use crate::log::{Backend, every_promise};

async fn in_a_directory() -> Backend {
    let directory = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(Options::new(directory.path())).await.unwrap();
    Backend {
        log,
        creator: None,
        _ground: Box::new(directory),
    }
}

every_promise!(super::in_a_directory);
