//! What becomes of a command, read from the topic from where the command lies, as fast as the caller takes it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until, timeout},
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

/// For the log to say where the topic ends when the time is over.
const LAST_LOOK: Duration = Duration::from_millis(500);
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
    /// The time is over; answers that lie below this offset still count, for a caller that has not taken them yet.
    Late(i64),
    /// The last answers are being told.
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
                Phase::Waiting | Phase::Late(_) if !self.awaited.is_complete() => {}
                _ => {
                    self.phase = Phase::Ended;
                    return self.missing().map(Err);
                }
            }
            // Every arm is cancel-safe: a reader's position moves only with what it returns, and that is used at once.
            tokio::select! {
                () = bus.draining.cancelled() => {
                    self.phase = Phase::Ended;
                    return Some(Err(self.abandoned()));
                }
                chunk = read(&mut self.reader) => self.take(chunk),
                () = sleep_until(self.deadline), if self.phase == Phase::Waiting => self.late().await,
                _ = self.looks.tick() => self.look(),
            }
        }
    }

    async fn late(&mut self) {
        let partition = self.bus.commands_partition();
        let bounds = self.bus.log.bounds(std::slice::from_ref(&partition));
        // A log that does not say where it ends has nothing more for us.
        let end = timeout(LAST_LOOK, bounds)
            .await
            .map_or(0, |bounds| bounds.map_or(0, |bounds| bounds[0].end));
        self.phase = Phase::Late(end);
        self.end_where_nothing_is_left(self.reader.position() >= end);
    }

    fn end_where_nothing_is_left(&mut self, is_so: bool) {
        if is_so && matches!(self.phase, Phase::Late(_)) {
            self.phase = Phase::Expired;
            self.news.extend(self.awaited.expired());
        }
    }

    fn take(&mut self, chunk: Option<Chunk>) {
        for item in chunk.iter().flat_map(|chunk| &chunk.batch.items[chunk.range.clone()]) {
            if let Some(entry) = wire::read_event(&item.event) {
                self.news.extend(self.awaited.take(entry));
            }
        }
        let is_at_end = matches!(self.phase, Phase::Late(end) if self.reader.position() >= end);
        self.end_where_nothing_is_left(is_at_end || chunk.is_none());
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
