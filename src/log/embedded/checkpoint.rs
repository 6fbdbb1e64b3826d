//! A checkpoint: the segments are synced, what lies in them is written down, and the journals before it are superfluous.
//!
//! ```text
//! flush and note (writer) ▶ sync segments, write the checkpoint (in the background) ▶ manifest, delete journals (writer)
//! ```
//!
//! Only journals sealed before the syncs began are deleted.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, mpsc::Sender},
    thread,
};

use super::{
    files::{self, Files, Layout, SegmentName},
    sheet::{self, Checkpoint},
    writer::{Item, Writer},
};

/// What is to be synced and written down.
pub(crate) struct Job {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) layout: Layout,
    pub(crate) dirty: Vec<SegmentName>,
    /// To be removed once this counts.
    pub(crate) obsolete: Vec<SegmentName>,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) number: u64,
    /// The first journal that is needed once this is done.
    pub(crate) replay_from: u64,
}

/// How a checkpoint failed.
pub(crate) enum Failed {
    /// A sync: nobody knows what is on the disk.
    Sync(io::Error),
    /// Writing it down: all is as before.
    Write(io::Error),
}

impl Job {
    pub(crate) fn run(&self) -> Result<(), Failed> {
        let mut dirs = BTreeSet::new();
        for name in &self.dirty {
            // Not through the cache of handles, which would keep what is deleted meanwhile.
            match self.files.open(&self.layout.segment(*name)) {
                Ok(file) => file.sync().map_err(Failed::Sync)?,
                // Its topic was deleted meanwhile, or retention took it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Failed::Write(error)),
            }
            dirs.insert(name.topic);
        }
        for topic in &dirs {
            match self.files.sync_dir(&self.layout.topic(*topic)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Failed::Sync(error)),
                _ => {}
            }
        }
        if !dirs.is_empty() {
            self.files.sync_dir(&self.layout.topics()).map_err(Failed::Sync)?;
        }
        let bytes = sheet::encode(&self.checkpoint);
        files::replace(&*self.files, &self.layout.checkpoint(self.number), &bytes).map_err(Failed::Write)
    }
}

/// A checkpoint that is being made.
pub(crate) struct Running {
    thread: thread::JoinHandle<Result<(), Failed>>,
    pub(crate) number: u64,
    pub(crate) replay_from: u64,
    pub(crate) dirty: Vec<SegmentName>,
    pub(crate) obsolete: Vec<SegmentName>,
}

impl Running {
    /// Starts it; when it ends, the writer is told to look.
    pub(crate) fn start(job: Job, sender: Sender<Item>) -> io::Result<Self> {
        let (number, replay_from) = (job.number, job.replay_from);
        let (dirty, obsolete) = (job.dirty.clone(), job.obsolete.clone());
        let work = move || {
            let done = job.run();
            let _ = sender.send(Item::Task(Box::new(Writer::look_at_checkpoint)));
            done
        };
        let thread = thread::Builder::new().name("log-checkpoint".into()).spawn(work)?;
        Ok(Self {
            thread,
            number,
            replay_from,
            dirty,
            obsolete,
        })
    }

    pub(crate) fn wait(self) -> Result<(), Failed> {
        let panicked = |_| Err(Failed::Sync(io::Error::other("the checkpoint's thread panicked")));
        self.thread.join().unwrap_or_else(panicked)
    }
}
