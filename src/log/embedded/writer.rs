//! The one writer: a thread that takes what is queued and makes it durable together.
//!
//! ```text
//! queue ▶ one write to the journal ▶ one fsync ▶ visible to readers ▶ answers ▶ segments (from memory, when enough)
//! ```
//!
//! Everything that changes the log runs on this thread, between two group commits.

use std::{
    fs,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    Fsync,
    cache::Cache,
    checkpoint::Running,
    fault,
    files::SegmentName,
    group::{self, Request},
    journal::{Failure, Journal},
    members::Hold,
    segments::Segments,
    sheet::Manifest,
    state::Op,
    table::Shared,
};
use crate::{
    error::{Error, Result},
    log::{Outcome, Unwritten},
};

/// A group commit takes what is queued up to this many bytes: readers hold on to a group's buffer as a whole.
const GROUP_BYTES: usize = 1 << 20;

pub(crate) enum Item {
    Append(Append),
    /// The hold keeps the partitions with their owner until it is done.
    Commit(Op, oneshot::Sender<Result<()>>, Hold),
    /// Runs between two group commits.
    Task(Box<dyn FnOnce(&mut Writer) + Send>),
    Close,
}

pub(crate) struct Append {
    pub(crate) request: Request,
    pub(crate) bytes: usize,
    pub(crate) answer: oneshot::Sender<Vec<Outcome>>,
    /// Its place in the queue, free again when it is done.
    pub(crate) room: OwnedSemaphorePermit,
}

pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) queue: Receiver<Item>,
    /// For its own background work; closing does not depend on it.
    pub(crate) sender: Sender<Item>,
    pub(crate) journal: Journal,
    pub(crate) manifest: Manifest,
    pub(crate) segments: Segments,
    pub(crate) internal_end: i64,
    pub(crate) cache: Cache,
    pub(crate) trouble: Trouble,
    pub(crate) checkpoint: Option<Running>,
    /// Segments that were compacted, until a checkpoint names what replaced them.
    pub(crate) obsolete: Vec<SegmentName>,
    pub(crate) last_sync: Instant,
    /// Held as long as the log is open.
    pub(crate) _lock: Option<fs::File>,
}

pub(crate) enum Trouble {
    None,
    /// Records are durable in the journal and in memory, and a segment has no room for them.
    Full(Error),
    /// The files must be recovered before anything is written.
    Dead {
        error: Error,
        retry: Instant,
        pause: Duration,
    },
}

#[derive(Default)]
struct Group {
    requests: Vec<Request>,
    answers: Vec<oneshot::Sender<Vec<Outcome>>>,
    rooms: Vec<OwnedSemaphorePermit>,
    ops: Vec<Op>,
    op_answers: Vec<oneshot::Sender<Result<()>>>,
    holds: Vec<Hold>,
    bytes: usize,
}

/// Why a group is not known to be written.
pub(crate) struct Unsure {
    pub(crate) error: Error,
    pub(crate) may_be_written: bool,
}

impl Writer {
    pub(crate) fn run(mut self) {
        loop {
            let item = match self.wait() {
                Ok(item) => item,
                Err(RecvTimeoutError::Timeout) => {
                    self.on_timer();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if self.take(item).is_break() {
                break;
            }
        }
        self.shut();
        while let Ok(item) = self.queue.try_recv() {
            refuse(item);
        }
    }

    fn wait(&mut self) -> Result<Item, RecvTimeoutError> {
        let until = match &self.trouble {
            Trouble::Dead { retry, .. } => Some(*retry),
            Trouble::Full(_) => Some(Instant::now() + Duration::from_secs(1)),
            Trouble::None => match self.shared.options.fsync {
                Fsync::Interval(interval) if self.journal.durable < self.journal.len => Some(self.last_sync + interval),
                _ => None,
            },
        };
        match until {
            Some(until) => self.queue.recv_timeout(until.saturating_duration_since(Instant::now())),
            None => self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn on_timer(&mut self) {
        if self.ready().is_ok() && self.journal.durable < self.journal.len {
            self.sync();
        }
    }

    /// Takes this and what else is queued, until there is enough for one group.
    fn take(&mut self, first: Item) -> std::ops::ControlFlow<()> {
        let mut group = Group::default();
        let mut next = Some(first);
        while let Some(item) = next {
            match item {
                Item::Append(append) => group.add(append),
                Item::Commit(op, answer, hold) => {
                    group.holds.push(hold);
                    group.ops.push(op);
                    group.op_answers.push(answer);
                    group.bytes += 256;
                }
                Item::Task(task) => {
                    self.commit(std::mem::take(&mut group));
                    task(self);
                }
                Item::Close => {
                    self.commit(group);
                    return std::ops::ControlFlow::Break(());
                }
            }
            if group.bytes >= GROUP_BYTES {
                break;
            }
            next = self.queue.try_recv().ok();
        }
        self.commit(group);
        std::ops::ControlFlow::Continue(())
    }

    fn commit(&mut self, group: Group) {
        if group.answers.is_empty() && group.ops.is_empty() {
            return;
        }
        let written = self.write(&group.requests, group.ops);
        // Before the answers: who has one may count on the partitions being free to move.
        drop(group.holds);
        match written {
            Ok(outcomes) => {
                for (answer, outcomes) in group.answers.into_iter().zip(outcomes) {
                    let _ = answer.send(outcomes);
                }
                for answer in group.op_answers {
                    let _ = answer.send(Ok(()));
                }
            }
            Err(unsure) => {
                let error = Arc::new(unsure.error);
                for (answer, request) in group.answers.into_iter().zip(&group.requests) {
                    let unwritten = Unwritten {
                        may_be_written: unsure.may_be_written,
                        error: error.clone(),
                    };
                    let _ = answer.send(vec![Err(unwritten); request.records.len()]);
                }
                for answer in group.op_answers {
                    let _ = answer.send(Err(fault::again(&error)));
                }
            }
        }
        drop(group.rooms);
        self.settle();
    }

    /// Writes records and operations durably and makes them visible; one outcome for each record of each request.
    pub(crate) fn write(&mut self, requests: &[Request], ops: Vec<Op>) -> Result<Vec<Vec<Outcome>>, Unsure> {
        self.ready().map_err(|error| Unsure {
            error,
            may_be_written: false,
        })?;
        let start = group::Start {
            position: self.journal.len,
            durable: self.journal.durable,
            nonce: self.journal.header.nonce,
            now: now(),
            internal: self.internal_end,
        };
        let op_bytes: Vec<_> = ops.iter().map(Op::encode).collect();
        let mut encoded = group::encode(requests, &op_bytes, start);
        self.write_journal(&encoded.bytes)?;
        self.internal_end += ops.len() as i64;
        self.shared
            .change_state(|state| ops.into_iter().for_each(|op| state.apply(op)));
        let outcomes = std::mem::take(&mut encoded.outcomes);
        self.publish(encoded);
        Ok(outcomes)
    }

    fn write_journal(&mut self, bytes: &[u8]) -> Result<(), Unsure> {
        let began = Instant::now();
        match self.journal.append(bytes) {
            Ok(()) => {}
            Err(Failure::Undone(error)) => {
                let error = fault::failed("write to the journal", error);
                return Err(Unsure {
                    error,
                    may_be_written: false,
                });
            }
            Err(Failure::Lost(error)) => return Err(self.die("write to the journal", error)),
        }
        if self.shared.options.fsync == Fsync::Always {
            self.journal
                .sync()
                .map_err(|error| self.die("sync the journal", error))?;
        }
        self.shared.options.append_times.tell(began.elapsed());
        Ok(())
    }
}

impl Group {
    fn add(&mut self, append: Append) {
        self.bytes += append.bytes;
        self.requests.push(append.request);
        self.answers.push(append.answer);
        self.rooms.push(append.room);
    }
}

/// Came too late.
fn refuse(item: Item) {
    match item {
        Item::Append(append) => {
            let unwritten = Unwritten {
                may_be_written: false,
                error: Arc::new(fault::closed()),
            };
            let _ = append.answer.send(vec![Err(unwritten); append.request.records.len()]);
        }
        Item::Commit(_, answer, _) => {
            let _ = answer.send(Err(fault::closed()));
        }
        Item::Task(_) | Item::Close => {}
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
