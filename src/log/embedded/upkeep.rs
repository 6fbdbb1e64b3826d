//! The writer's upkeep: rolling the journal, checkpoints, failing, coming back, and closing.

use std::{
    io,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{
    checkpoint::{Failed, Job, Running},
    fault::{self, At},
    files::{self, SegmentName},
    journal::Journal,
    partition::Gone,
    recovery::{self, Recovered},
    sheet::{self, Checkpoint, Manifest},
    writer::{Trouble, Unsure, Writer},
};
use crate::error::{Error, Reason, Result};

/// More journals than this are not kept: the writer waits for the checkpoint instead.
const MOST_JOURNALS: u64 = 4;

impl Writer {
    /// Sees to it that something can be written: mends what failed before, and starts a new journal when this one is full.
    pub(crate) fn ready(&mut self) -> Result<()> {
        if let Trouble::Dead { error, retry, .. } = &self.trouble {
            if Instant::now() < *retry {
                return Err(fault::again(error));
            }
            self.revive()?;
        }
        if let Trouble::Full(_) = &self.trouble {
            self.trouble = Trouble::None;
            if !self.flush_all() {
                return Err(self.trouble_error());
            }
            let _ = self.shared.health.send_replace(Ok(()));
        }
        if self.journal.len >= self.shared.options.journal_bytes {
            self.roll()?;
            self.begin_checkpoint();
            if let Trouble::Dead { error, .. } = &self.trouble {
                return Err(fault::again(error));
            }
        }
        Ok(())
    }

    fn trouble_error(&self) -> Error {
        match &self.trouble {
            Trouble::Full(error) | Trouble::Dead { error, .. } => fault::again(error),
            Trouble::None => Error::new(Reason::LogUnavailable, "the log could not be written to"),
        }
    }

    pub(crate) fn sync(&mut self) {
        self.last_sync = Instant::now();
        if let Err(error) = self.journal.sync() {
            self.die("sync the journal", error);
        }
    }

    /// Stops writing until the files are recovered: what failed leaves nobody knowing what is on the disk.
    pub(crate) fn die(&mut self, doing: &str, error: io::Error) -> Unsure {
        let error = fault::failed(doing, error);
        tracing::error!(error = %error, "the log stops and recovers: {error}");
        self.tell(&error);
        let unsure = Unsure {
            error: fault::again(&error),
            may_be_written: true,
        };
        self.trouble = Trouble::Dead {
            error,
            retry: Instant::now(),
            pause: Duration::from_millis(50),
        };
        unsure
    }

    pub(crate) fn tell(&self, error: &Error) {
        let _ = self.shared.health.send_replace(Err(error.text().into()));
    }

    /// Recovers the files as opening does, cutting what was never known to be durable, and goes on.
    fn revive(&mut self) -> Result<()> {
        if let Some(running) = self.checkpoint.take() {
            let _ = running.wait();
        }
        // Odd while the segments are being written again: readers wait.
        if self.shared.recoveries.load(Ordering::SeqCst).is_multiple_of(2) {
            self.shared.recoveries.fetch_add(1, Ordering::SeqCst);
        }
        self.shared.handles.forget(|_| true);
        let cut = (self.journal.header.number, self.journal.durable);
        match recovery::recover(&self.shared, Some(cut)) {
            Ok(found) => self.adopt(found),
            Err(error) => {
                self.tell(&error);
                if let Trouble::Dead {
                    retry,
                    pause,
                    error: known,
                } = &mut self.trouble
                {
                    *pause = (*pause * 2).min(Duration::from_secs(5));
                    *retry = Instant::now() + *pause;
                    *known = fault::again(&error);
                }
                return Err(error);
            }
        }
        self.trouble = Trouble::None;
        self.shared.recoveries.fetch_add(1, Ordering::SeqCst);
        let _ = self.shared.health.send_replace(Ok(()));
        tracing::info!("the log has recovered");
        Ok(())
    }

    fn adopt(&mut self, found: Recovered) {
        self.journal = found.journal;
        self.manifest = found.manifest;
        self.internal_end = found.internal_end;
        self.segments.dirty.clear();
        // Recovery removed what no checkpoint names.
        self.obsolete.clear();
        self.cache.clear();
        self.shared.change_state(|state| *state = found.state);
        self.shared.refresh(&found.partitions);
        for partition in self.shared.partitions() {
            if let Some(found) = found.partitions.get(&(partition.topic, partition.number)) {
                partition.adopt(found);
            }
        }
    }

    /// Seals the journal and starts the next.
    pub(crate) fn roll(&mut self) -> Result<()> {
        if let Err(error) = self.journal.sync() {
            return Err(self.die("sync the journal", error).error);
        }
        let shared = self.shared.clone();
        let number = self.journal.header.number + 1;
        let path = shared.layout.journal(number);
        let journal = Journal::create(&*shared.files, &shared.layout, number, shared.options.journal_bytes)
            .at("create the journal", &path)?;
        let mut manifest = self.manifest.clone();
        manifest.sealed.insert(self.journal.header.number, self.journal.len);
        manifest.last = number;
        self.write_manifest(manifest)?;
        self.journal = journal;
        Ok(())
    }

    fn write_manifest(&mut self, manifest: Manifest) -> Result<()> {
        let (shared, path) = (self.shared.clone(), self.shared.layout.manifest());
        let temporary = files::prepare(&*shared.files, &path, &sheet::encode(&manifest)).at("write", &path)?;
        if let Err(error) = files::put_in_place(&*shared.files, &temporary, &path) {
            return Err(self.die("replace the manifest", error).error);
        }
        self.manifest = manifest;
        Ok(())
    }

    pub(crate) fn flush_all(&mut self) -> bool {
        let partitions = self.shared.partitions();
        partitions.iter().all(|partition| self.flush(partition))
    }

    /// Starts a checkpoint if journals lie behind and none is being made.
    pub(crate) fn begin_checkpoint(&mut self) {
        if self.manifest.last - self.manifest.first >= MOST_JOURNALS
            && let Some(running) = self.checkpoint.take()
        {
            self.end_checkpoint(running);
        }
        if self.checkpoint.is_some() || self.manifest.first == self.manifest.last {
            return;
        }
        let Some(job) = self.checkpoint_job() else {
            return;
        };
        match Running::start(job, self.sender.clone()) {
            Ok(running) => self.checkpoint = Some(running),
            Err(error) => tracing::warn!(%error, "no checkpoint of the log was made: {error}"),
        }
    }

    /// Puts all records in segments and notes what is there. `None` if there is trouble.
    fn checkpoint_job(&mut self) -> Option<Job> {
        if !matches!(self.trouble, Trouble::None) || !self.flush_all() {
            return None;
        }
        let partitions = self.shared.partitions();
        for partition in &partitions {
            if let Err(error) = self.segments.seal(partition) {
                tracing::warn!(%error, "an index of the log could not be written: {error}");
            }
        }
        Some(Job {
            files: self.shared.files.clone(),
            layout: self.shared.layout.clone(),
            dirty: self.segments.dirty.drain().collect(),
            obsolete: std::mem::take(&mut self.obsolete),
            checkpoint: Checkpoint {
                state: self.shared.read_state(Clone::clone),
                internal_end: self.internal_end,
                partitions: partitions
                    .iter()
                    .map(|partition| partition.lock().sheet(partition.topic, partition.number))
                    .filter(|sheet| sheet.end > 0)
                    .collect(),
            },
            number: self.manifest.checkpoint + 1,
            replay_from: self.journal.header.number,
        })
    }

    pub(crate) fn look_at_checkpoint(&mut self) {
        if let Some(running) = self.checkpoint.take() {
            self.end_checkpoint(running);
            self.begin_checkpoint();
        }
    }

    fn end_checkpoint(&mut self, running: Running) {
        let (number, replay_from) = (running.number, running.replay_from);
        let (dirty, obsolete) = (running.dirty.clone(), running.obsolete.clone());
        match running.wait() {
            Ok(()) => self.adopt_checkpoint(number, replay_from, obsolete),
            Err(Failed::Write(error)) => {
                self.segments.dirty.extend(dirty);
                self.obsolete.extend(obsolete);
                tracing::warn!(%error, "no checkpoint of the log was made: {error}");
            }
            Err(Failed::Sync(error)) => {
                self.die("sync a segment", error);
            }
        }
    }

    fn adopt_checkpoint(&mut self, number: u64, replay_from: u64, obsolete: Vec<SegmentName>) {
        let old = self.manifest.clone();
        let mut manifest = old.clone();
        manifest.checkpoint = number;
        manifest.first = replay_from;
        manifest.sealed.retain(|journal, _| *journal >= replay_from);
        if let Err(error) = self.write_manifest(manifest) {
            tracing::warn!(%error, "no checkpoint of the log was made: {error}");
            self.obsolete.extend(obsolete);
            return;
        }
        obsolete.iter().for_each(|name| self.remove(*name));
        // What stays behind is removed at the next start.
        for journal in old.first..replay_from {
            let _ = self.shared.files.remove(&self.shared.layout.journal(journal));
        }
        let _ = self.shared.files.remove(&self.shared.layout.checkpoint(old.checkpoint));
    }

    /// Leaves the log so that opening it has nothing to replay.
    pub(crate) fn shut(&mut self) {
        if let Some(running) = self.checkpoint.take() {
            self.end_checkpoint(running);
        }
        // A checkpoint that was under way when segments were compacted does not know of it.
        let is_behind = self.journal.len > super::frame::JOURNAL_HEADER as u64 || !self.obsolete.is_empty();
        if self.ready().is_ok() && is_behind && self.roll().is_ok() {
            if let Some(running) = self.checkpoint.take() {
                self.end_checkpoint(running);
            }
            if let Some(job) = self.checkpoint_job() {
                match job.run() {
                    Ok(()) => self.adopt_checkpoint(job.number, job.replay_from, job.obsolete),
                    Err(Failed::Sync(error) | Failed::Write(error)) => {
                        tracing::warn!(%error, "no last checkpoint of the log was made: {error}");
                    }
                }
            }
        }
        // Readers that wait for a recovery need wait no longer.
        if !self.shared.recoveries.load(Ordering::SeqCst).is_multiple_of(2) {
            self.shared.recoveries.fetch_add(1, Ordering::SeqCst);
        }
        for partition in self.shared.partitions() {
            partition.end(Gone::Closed);
        }
        self.shared.handles.forget(|_| true);
        let _ = self.shared.health.send_replace(super::closed());
    }
}
