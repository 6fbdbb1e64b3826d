//! One group's dead letters on the log: read from the start and followed, written, moved.
//!
//! ```text
//! write, redrive, discard, done ──▶ the group's topic, one partition ──▶ follow ──▶ Index ──▶ redriving, quarantined, rows
//! ```
//!
//! Nothing is known before it was read back, so what a replica knows has been settled by the topic's order.

use std::sync::{Arc, MutexGuard, atomic::AtomicBool};

use rustc_hash::FxHashMap;
use tokio::sync::watch;
use tokio_util::sync::DropGuard;

use super::{
    format::{self, Change, Request},
    index::{Index, Redriving, Row, State},
    letter::{Letter, LetterId},
    topic::{RETRY, Shared},
};
use crate::{
    error::{Error, Reason, Result},
    log::{LogTime, NewRecord, TopicPartition},
    name::Group,
};

/// Ids in one record: it stays below the smallest `limits.max_event_bytes`.
const MOST_IDS: usize = 4_000;

/// Who asks for letters to be moved, and why.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Names the request: of a redrive, what its deliveries are marked with.
    pub id: String,
    pub by: String,
    pub reason: String,
}

/// One group's dead letters. Followed until it is dropped.
pub struct Store {
    pub(super) shared: Arc<Shared>,
    /// Since somebody last looked whether it is still wanted.
    pub(super) was_asked: AtomicBool,
    /// Whether somebody looks.
    pub(super) lingers: AtomicBool,
    _stop: DropGuard,
}

impl Store {
    pub(super) fn new(shared: Arc<Shared>, stop: DropGuard) -> Self {
        Self {
            shared,
            was_asked: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            _stop: stop,
        }
    }

    /// Whose letters they are.
    pub fn group(&self) -> &Group {
        &self.shared.group
    }

    /// Waits until everything is known that was written before this call; at once if there is no topic. `LOG_UNAVAILABLE`
    /// while the log denies one that was there.
    pub async fn ready(&self) -> Result<()> {
        let shared = &self.shared;
        if shared.log.partitions(&shared.topic).await?.is_none() {
            return self.denied();
        }
        match shared.log.bounds(&[shared.partition()]).await {
            Ok(bounds) => shared.reach(bounds[0].end).await,
            Err(error) if error.reason() == Reason::TopicNotFound => self.denied(),
            Err(error) => Err(error),
        }
    }

    /// The log says that there is no such topic: nothing is known if there never was one, or since that is certain.
    fn denied(&self) -> Result<()> {
        if *self.shared.reached.borrow() == 0 {
            return Ok(());
        }
        let text = format!("read {}: it was there, and the log does not find it", self.shared.topic);
        Err(Error::new(Reason::LogUnavailable, text).retry_after(RETRY))
    }

    /// Changes whenever something was learned.
    pub fn changes(&self) -> watch::Receiver<i64> {
        self.shared.reached.subscribe()
    }

    /// Writes letters, durably, and creates the topic if it is missing. After an error some may be written: writing them
    /// again makes no second letter.
    pub async fn write(&self, letters: Vec<Letter>) -> Result<()> {
        let shared = &self.shared;
        let record = |letter: Letter| NewRecord {
            headers: format::letter_headers(&shared.group, &letter),
            key: letter.record.key,
            value: letter.record.value,
            ..shared.empty()
        };
        shared.append(letters.into_iter().map(record).collect()).await?;
        Ok(())
    }

    /// The redrive of these has ended: they were acked, or became new letters that do not name them as parents.
    /// Durable when it returns.
    pub async fn done(&self, ids: Vec<LetterId>) -> Result<()> {
        self.change(&ids, |ids| Change::Done { ids }).await?;
        Ok(())
    }

    /// Has these delivered again, each with its chain. Known when it returns.
    pub async fn redrive(&self, ids: Vec<LetterId>, asked: &Asked) -> Result<()> {
        let time = LogTime::now();
        let end = self
            .change(&ids, |ids| Change::Redrive(request(asked, ids, time)))
            .await?;
        self.shared.reach(end).await
    }

    /// Gives these up; what waits behind them, and is not named, is delivered. Known when it returns.
    pub async fn discard(&self, ids: Vec<LetterId>, asked: &Asked) -> Result<()> {
        let mut ids = ids;
        // A head that came first, in a record of its own, would free those that are named in a later one.
        ids.sort_unstable_by_key(|id| self.index().row(*id).map(|row| std::cmp::Reverse(row.at)));
        let time = LogTime::now();
        let end = self
            .change(&ids, |ids| Change::Discard(request(asked, ids, time)))
            .await?;
        self.shared.reach(end).await
    }

    /// What a partition's owner is to deliver again: in order, with their offsets for [`Self::load`].
    pub fn redriving(&self, source: &TopicPartition) -> Vec<Redriving> {
        self.index().redriving(source)
    }

    /// The keys (by `bus::key_hash`) whose events are to join a chain, each with its head.
    pub fn quarantined(&self, source: &TopicPartition) -> FxHashMap<u64, LetterId> {
        self.index().quarantined(source)
    }

    /// Nobody has done anything about it.
    pub fn is_parked(&self, id: LetterId) -> bool {
        self.index().row(id).is_some_and(|row| row.state == State::Parked)
    }

    /// How many wait for somebody, or are just being delivered again.
    pub fn waiting(&self) -> usize {
        let waits = |row: &&Row| matches!(row.state, State::Parked | State::Redriving);
        self.index().all().filter(waits).count()
    }

    /// What is known. Held shortly: others learn meanwhile nothing.
    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.shared.index()
    }

    /// Gives the offset behind what was written.
    async fn change(&self, ids: &[LetterId], change: impl Fn(Vec<LetterId>) -> Change) -> Result<i64> {
        let record = |ids: &[LetterId]| {
            let (headers, value) = format::change(&change(ids.to_vec()));
            NewRecord {
                headers,
                value: Some(value),
                ..self.shared.empty()
            }
        };
        self.shared.append(ids.chunks(MOST_IDS).map(record).collect()).await
    }
}

fn request(asked: &Asked, ids: Vec<LetterId>, time: LogTime) -> Request {
    Request {
        id: asked.id.clone(),
        ids,
        by: asked.by.clone(),
        reason: asked.reason.clone(),
        time_ms: time.0,
    }
}
