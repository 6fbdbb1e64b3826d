//! What becomes of a command, read from the topic from where the command lies, as fast as the caller takes it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until},
};

use super::{
    awaited::Awaited,
    send::nobody,
    wire,
    words::{CommandAnswer, CommandTarget},
};
use crate::{
    bus::{
        Inner,
        feed::{Chunk, FeedReader},
    },
    error::{Error, Reason, Result},
};

const RETRY: Duration = Duration::from_millis(500);
/// Between looks at which replicas live.
const LOOK: Duration = Duration::from_secs(1);

/// What becomes of a command, as it is told. Dropping it ends the waiting, and takes nothing back.
pub struct Answers {
    bus: Arc<Inner>,
    command_id: String,
    awaited: Awaited,
    reader: FeedReader,
    news: VecDeque<CommandAnswer>,
    deadline: Instant,
    looks: Interval,
    /// Replicas that gave no sign of life at the last look.
    doubted: BTreeSet<String>,
    phase: Phase,
    target: CommandTarget,
    _permit: OwnedSemaphorePermit,
}

/// A command that lies on the topic.
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) target: CommandTarget,
    /// Those that will tell to whom they gave it.
    pub(super) replicas: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting,
    /// The time is over; the last answers are being told.
    Expired,
    Ended,
}

impl Answers {
    /// Reads on from where the command lies.
    pub(super) fn of(
        bus: &Arc<Inner>,
        (sent, at): (Sent, i64),
        (deadline, permit): (Instant, OwnedSemaphorePermit),
    ) -> Self {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            bus: Arc::clone(bus),
            awaited: Awaited::of(&sent.id, sent.replicas),
            command_id: sent.id,
            reader: bus.feeds.reader(bus.commands_partition(), at + 1, None),
            news: VecDeque::new(),
            deadline,
            looks,
            doubted: BTreeSet::new(),
            phase: Phase::Waiting,
            target: sent.target,
            _permit: permit,
        }
    }

    /// The next answer; `None` when there are no more. Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<Result<CommandAnswer>> {
        let bus = Arc::clone(&self.bus);
        loop {
            if let Some(answer) = self.news.pop_front() {
                return Some(Ok(answer));
            }
            match self.phase {
                Phase::Ended => return None,
                Phase::Waiting if !self.awaited.is_complete() => {}
                Phase::Waiting | Phase::Expired => {
                    self.phase = Phase::Ended;
                    return self.missing().map(Err);
                }
            }
            // Every arm is cancel-safe: a reader's position moves only with what it returns, and that is used at once.
            tokio::select! {
                biased;
                () = bus.draining.cancelled() => {
                    self.phase = Phase::Ended;
                    return Some(Err(self.abandoned()));
                }
                chunk = read(&mut self.reader) => self.take(chunk),
                () = sleep_until(self.deadline) => {
                    self.phase = Phase::Expired;
                    self.news.extend(self.awaited.expired());
                }
                _ = self.looks.tick() => self.look(),
            }
        }
    }

    fn take(&mut self, chunk: Option<Chunk>) {
        for item in chunk.iter().flat_map(|chunk| &chunk.batch.items[chunk.range.clone()]) {
            if let Some(entry) = wire::read_event(&item.event) {
                self.news.extend(self.awaited.take(entry));
            }
        }
    }

    /// A replica that gives no sign of life at two looks is lost: what it wrote last has been read by then.
    fn look(&mut self) {
        let living = self.bus.seen.listening_now();
        let is_lost = |id: &String| *id != self.bus.replica_id && !living.contains(id);
        let silent: BTreeSet<String> = self.awaited.replicas().into_iter().filter(is_lost).collect();
        for id in silent.intersection(&self.doubted) {
            self.news.extend(self.awaited.lost(id));
        }
        self.doubted = silent;
    }

    /// What is wrong where not everything was told.
    fn missing(&self) -> Option<Error> {
        let silent = self.awaited.silent();
        if !silent.is_empty() {
            let (id, silent) = (&self.command_id, silent.join(", "));
            let text = format!("command {id}: replicas did not tell in time to whom they gave it: {silent}");
            return Some(Error::new(Reason::DeadlineExceeded, text));
        }
        self.awaited.is_nobody_there().then(|| nobody(&self.target))
    }

    fn abandoned(&self) -> Error {
        let text = format!(
            "the server is stopping: command {} was sent, and its further answers are lost",
            self.command_id
        );
        Error::new(Reason::Draining, text)
    }
}

/// `None` = the log could not be read; the reader goes on where it was.
async fn read(reader: &mut FeedReader) -> Option<Chunk> {
    match reader.next().await {
        Some(Ok(chunk)) => Some(chunk),
        Some(Err(error)) => {
            tracing::debug!(%error, "cannot read what became of a command");
            sleep(RETRY).await;
            None
        }
        None => std::future::pending().await,
    }
}
