//! The embedded log: durable, in one directory, for one process.
//!
//! ```text
//! append ▶ queue ▶ writer ▶ journal (fsynced, all partitions) ▶ memory ▶ segments (one file after another per partition)
//!                                                               └▶ readers ◀┘
//! ```
//!
//! An append that returned survives `kill -9` and power loss. Damage is found and named, never read as data nor skipped.
//! docs/embedded-log.md describes the files, what is synced when, and what is done about damage.

mod calls;
mod groups;
mod members;
mod coordinator;
mod verify;
mod report;
mod topics;
mod writer;
mod group;
mod settle;
mod upkeep;
mod checkpoint;
mod recovery;
mod replay;
mod scan;
mod reader;
mod segment_read;
mod segments;
mod index;
mod partition;
mod retention;
mod compaction;
mod replacing;
mod house;
mod cache;
mod handles;
mod table;
mod state;
mod sheet;
mod journal;
mod frame;
mod record;
mod files;
mod fault;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Semaphore;

use self::{
    files::{Files, RealFiles},
    groups::Groups,
    table::{Health, Shared},
    writer::{Item, Trouble, Writer},
};
pub use self::{
    report::{Finding, JournalReport, Kind, LostRecords, PartitionReport, Report},
    verify::verify,
};
use crate::{
    error::{Error, Reason, Result},
    log::{AppendTimes, LogTime},
};

const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// Where the log lies and what it may use.
#[derive(Clone, Debug)]
pub struct Options {
    /// Created if it is not there. Nothing else may lie in it.
    pub directory: PathBuf,
    pub fsync: Fsync,
    /// A journal this long is sealed, and a new one begun.
    pub journal_bytes: u64,
    /// A segment this long is closed, and a new one begun. At most 2 GiB.
    pub segment_bytes: u64,
    /// Bytes of records that may wait to be written; appends beyond it wait.
    pub queue_bytes: usize,
    /// Bytes of the newest records that are kept in memory, of all partitions together.
    pub cache_bytes: usize,
    /// Segment files open at a time.
    pub open_files: usize,
    /// Hears how long each write to the journal took, with its fsync where that is not put off.
    pub append_times: AppendTimes,
}

/// When what was appended is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Before the append is answered. Calls that wait at the same time share one fsync.
    Always,
    /// This long after the append was answered, at most: a crash of the process loses nothing, but a crash of the machine or
    /// a power loss may lose records that were acknowledged, as many as came in this time.
    Interval(Duration),
}

impl Options {
    /// Safe, and for a small machine.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            fsync: Fsync::Always,
            journal_bytes: 64 << 20,
            segment_bytes: 64 << 20,
            queue_bytes: 16 << 20,
            cache_bytes: 8 << 20,
            open_files: 256,
            append_times: AppendTimes::default(),
        }
    }
}

/// A log in a directory. Close it, so that opening it again has nothing to replay; dropping it closes it in the background.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Item>,
    groups: Arc<Groups>,
    /// Bytes of the queue that are free.
    room: Arc<Semaphore>,
    is_closed: AtomicBool,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl EmbeddedLog {
    /// Opens the log, recovering it if it was not closed. `LOG_DAMAGED` names the file and the place; `LOG_UNAVAILABLE` if
    /// another process has it open.
    pub async fn open(options: Options) -> Result<Arc<Self>> {
        fs::create_dir_all(&options.directory)
            .map_err(|error| fault::failed(&format!("create {}", options.directory.display()), error))?;
        let of = options.clone();
        let locked = tokio::task::spawn_blocking(move || lock(&of)).await;
        let lock = locked.map_err(|error| Error::new(Reason::Internal, format!("lock the log: {error}")))??;
        Self::open_on(options, Arc::new(RealFiles), Some(lock)).await
    }

    async fn open_on(mut options: Options, files: Arc<dyn Files>, lock: Option<fs::File>) -> Result<Arc<Self>> {
        options.segment_bytes = options.segment_bytes.min(2 << 30);
        let room = Arc::new(Semaphore::new(options.queue_bytes.max(1)));
        let start = move || start(options, files, lock);
        let started = tokio::task::spawn_blocking(start).await;
        let (shared, queue, thread) =
            started.map_err(|error| Error::new(Reason::Internal, format!("open the log: {error}")))??;
        tokio::spawn(house::keep(shared.clone(), queue.clone()));
        Ok(Arc::new(Self {
            groups: Groups::start(shared.clone(), queue.clone()),
            shared,
            queue,
            room,
            is_closed: AtomicBool::new(false),
            thread: Mutex::new(Some(thread)),
        }))
    }

    /// Runs on the writer's thread, between two group commits.
    async fn on_writer<T: Send + 'static>(&self, task: impl FnOnce(&mut Writer) -> T + Send + 'static) -> Result<T> {
        self.check_open()?;
        house::on_writer(&self.queue, task).await
    }

    fn send(&self, item: Item) -> Result<()> {
        self.check_open()?;
        self.queue.send(item).map_err(|_| fault::closed())
    }

    fn check_open(&self) -> Result<()> {
        match self.is_closed.load(Ordering::SeqCst) {
            true => Err(fault::closed()),
            false => Ok(()),
        }
    }

    /// Deletes what retention says at this time; it is done now and then by itself. Says how many bytes came free.
    pub async fn retain(&self, now: LogTime) -> Result<u64> {
        self.on_writer(move |writer| writer.retain(now.0)).await?
    }

    /// Compacts the topics that are to be; it is done now and then by itself. Says how many bytes come free.
    pub async fn compact(&self) -> Result<u64> {
        house::compact(&self.shared, &self.queue).await
    }

    async fn stop(&self) {
        if !self.is_closed.swap(true, Ordering::SeqCst) {
            self.groups.close();
            let _ = self.queue.send(Item::Close);
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        if !self.is_closed.swap(true, Ordering::SeqCst) {
            self.groups.close();
            let _ = self.queue.send(Item::Close);
        }
    }
}

fn closed() -> Health {
    Err("the log is closed".into())
}

/// Takes the directory's lock. A server that has just ended may hold it a moment longer: a child that it was starting has it
/// until it runs.
#[expect(
    clippy::disallowed_methods,
    reason = "called where blocking is allowed, to try again"
)]
fn lock(options: &Options) -> Result<fs::File> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match try_lock(options) {
            Err(error) if error.reason() == Reason::LogUnavailable && Instant::now() < deadline => {
                thread::sleep(LOCK_PATIENCE / 20);
            }
            result => return result,
        }
    }
}

fn try_lock(options: &Options) -> Result<fs::File> {
    let path = options.directory.join("lock");
    let failed = |error| fault::failed(&format!("lock {}", path.display()), error);
    let file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::new(
            Reason::LogUnavailable,
            format!(
                "{} is open in another process; each server needs a directory of its own",
                options.directory.display()
            ),
        )),
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

type Started = (Arc<Shared>, mpsc::Sender<Item>, thread::JoinHandle<()>);

fn start(options: Options, files: Arc<dyn Files>, lock: Option<fs::File>) -> Result<Started> {
    let shared = Arc::new(Shared::new(options, files));
    let found = recovery::recover(&shared, None)?;
    shared.change_state(|state| *state = found.state);
    shared.refresh(&found.partitions);
    #[expect(
        clippy::disallowed_methods,
        reason = "records in it are bounded in bytes by `room`; everything else is waited for by who sent it"
    )]
    let (sender, queue) = mpsc::channel();
    let writer = Writer {
        segments: segments::Segments::new(&shared),
        shared: shared.clone(),
        queue,
        sender: sender.clone(),
        journal: found.journal,
        manifest: found.manifest,
        internal_end: found.internal_end,
        cache: cache::Cache::default(),
        trouble: Trouble::None,
        checkpoint: None,
        obsolete: Vec::new(),
        last_sync: Instant::now(),
        _lock: lock,
    };
    let thread = thread::Builder::new().name("log-writer".into()).spawn(|| writer.run());
    let thread = thread.map_err(|error: io::Error| fault::failed("start the log's writer", error))?;
    Ok((shared, sender, thread))
}
