//! A seat: one reader's place in a lane, with the queue of its partition.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    consumer::base_consumer::PartitionQueue,
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use tokio::sync::Notify;

use crate::log::{TopicPartition, kafka::client::Context};

/// How long a reader at the end keeps its seat where others wait for one.
const TURN: Duration = Duration::from_millis(100);

pub(crate) struct Seat {
    pub(crate) partition: TopicPartition,
    state: Mutex<State>,
    /// Something came into the queue, or the seat changed.
    news: Arc<Notify>,
}

struct State {
    /// Where its reader wants to go on; the lane has not taken it there yet.
    seek: Option<i64>,
    queue: Option<PartitionQueue<Context>>,
    used: Use,
    is_evicted: bool,
    since: Instant,
}

/// How much its reader wants it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// The reader has not come back from what it took last.
    Idle,
    /// The reader waits at the end of the partition.
    AtEnd,
    /// The reader waits for what there is.
    Wanted,
}

/// A reader that waits; it does not any longer once this is dropped.
pub(crate) struct Waiting<'a>(&'a Seat);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(Use::Idle);
    }
}

/// What lay in the queue.
pub(crate) enum Polled {
    /// More than was wanted now.
    More,
    /// It is empty now.
    Drained,
    /// It is empty, and the brokers had no more when it was filled.
    End,
    Failed(RDKafkaErrorCode),
    /// The seat was given to somebody else.
    Evicted,
}

impl Seat {
    pub(super) fn new(partition: TopicPartition, from: i64) -> Self {
        Self {
            partition,
            state: Mutex::new(State {
                seek: Some(from),
                queue: None,
                used: Use::Wanted,
                is_evicted: false,
                since: Instant::now(),
            }),
            news: Arc::default(),
        }
    }

    /// Takes what lies in the queue, as long as `take` wants more.
    pub(crate) fn poll(&self, mut take: impl FnMut(&BorrowedMessage<'_>) -> bool) -> Polled {
        let mut state = self.lock();
        (state.used, state.since) = (Use::Idle, Instant::now());
        if state.is_evicted {
            return Polled::Evicted;
        }
        let Some(queue) = state.queue.as_ref().filter(|_| state.seek.is_none()) else {
            return Polled::Drained;
        };
        let mut is_at_end = false;
        loop {
            match queue.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    is_at_end = false;
                    if !take(&message) {
                        return Polled::More;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => is_at_end = true,
                Some(Err(error)) => {
                    return Polled::Failed(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown));
                }
                None if is_at_end => return Polled::End,
                None => return Polled::Drained,
            }
        }
    }

    /// Ready when it is worth polling.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// Held while the reader waits for what comes.
    pub(crate) fn wait(&self, is_at_end: bool) -> Waiting<'_> {
        self.set(if is_at_end { Use::AtEnd } else { Use::Wanted });
        Waiting(self)
    }

    fn set(&self, used: Use) {
        let mut state = self.lock();
        (state.used, state.since) = (used, Instant::now());
    }

    /// Since when nobody reads from it; `None` while somebody does.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        (state.used == Use::Idle).then_some(state.since)
    }

    /// Whether it may be given to another reader: nobody reads from it, or it has had nothing for its reader for a while.
    pub(super) fn may_be_taken(&self) -> bool {
        let state = self.lock();
        match state.used {
            Use::Idle => true,
            Use::AtEnd => state.since.elapsed() >= TURN,
            Use::Wanted => false,
        }
    }

    /// The place to go to, asked for once.
    pub(super) fn wanted(&self) -> Option<i64> {
        self.lock().seek
    }

    pub(super) fn want(&self, offset: i64) {
        self.lock().seek = Some(offset);
    }

    /// The lane has taken it to `offset`; `queue` is new where it has come into the lane.
    pub(super) fn arrived(&self, offset: i64, queue: Option<PartitionQueue<Context>>) {
        let mut state = self.lock();
        if state.is_evicted {
            return;
        }
        if let Some(mut queue) = queue {
            let news = Arc::clone(&self.news);
            queue.set_nonempty_callback(move || news.notify_one());
            state.queue = Some(queue);
        }
        if state.seek == Some(offset) {
            state.seek = None;
        }
        drop(state);
        self.news.notify_one();
    }

    pub(super) fn evict(&self) {
        let mut state = self.lock();
        state.is_evicted = true;
        let queue = state.queue.take();
        drop(state);
        drop(queue);
        self.news.notify_one();
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
