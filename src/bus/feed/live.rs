//! The live feed of one partition: a task that reads its end, and the ring that readers share.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::StreamExt as _;
use rustc_hash::FxHashMap;
use tokio::sync::watch;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{FeedBatch, decode_batch};
use crate::log::{Log, TopicPartition};

/// All live feeds.
pub(super) struct Lives {
    log: Arc<dyn Log>,
    /// Bytes that all rings hold, and may hold.
    held: Arc<AtomicUsize>,
    max_bytes: usize,
    tasks: TaskTracker,
    feeds: Mutex<FxHashMap<TopicPartition, Weak<Live>>>,
}

/// The live feed of one partition; its task ends when the last reader drops it.
pub(super) struct Live {
    ring: Mutex<Ring>,
    /// The offset behind the newest batch; `i64::MAX` once the feed has failed.
    news: watch::Sender<i64>,
    held: Arc<AtomicUsize>,
    _task: DropGuard,
}

struct Ring {
    batches: VecDeque<Arc<FeedBatch>>,
    /// The offset of the oldest batch in the ring.
    start: i64,
    next: i64,
    failed: bool,
}

/// What a feed has for a reader.
pub(super) enum Next {
    Batch(Arc<FeedBatch>),
    /// The ring no longer has it.
    Elsewhere,
    /// The log could not be read on.
    Failed,
}

impl Lives {
    pub(super) fn new(log: Arc<dyn Log>, max_bytes: usize, tasks: TaskTracker) -> Self {
        let held = Arc::new(AtomicUsize::new(0));
        let feeds = Mutex::default();
        Self {
            log,
            held,
            max_bytes,
            tasks,
            feeds,
        }
    }

    /// Bytes that all rings hold.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// The partition's feed, if it has what comes at `next`, or if there is none and one may be started.
    pub(super) fn covering(&self, partition: &TopicPartition, next: i64, may_start: bool) -> Option<Arc<Live>> {
        let live = lock(&self.feeds).get(partition).and_then(Weak::upgrade);
        match live.filter(|live| !lock(&live.ring).failed) {
            Some(live) if live.covers(next) => Some(live),
            None if may_start => Some(self.attach(partition, next)),
            _ => None,
        }
    }

    pub(super) fn forget(&self, partition: &TopicPartition) {
        lock(&self.feeds).remove(partition);
    }

    /// The partition's feed; started at `next` if there is none.
    pub(super) fn attach(&self, partition: &TopicPartition, next: i64) -> Arc<Live> {
        let mut feeds = lock(&self.feeds);
        if let Some(live) = feeds.get(partition).and_then(Weak::upgrade)
            && !lock(&live.ring).failed
        {
            return live;
        }
        feeds.retain(|_, live| live.strong_count() > 0);
        let stop = CancellationToken::new();
        let live = Arc::new(Live::new(next, Arc::clone(&self.held), stop.clone()));
        feeds.insert(partition.clone(), Arc::downgrade(&live));
        self.tasks.spawn(run(
            Arc::clone(&self.log),
            (partition.clone(), next),
            Arc::downgrade(&live),
            (stop, self.max_bytes),
        ));
        live
    }
}

/// Reads on until the last reader has gone or the log fails.
async fn run(
    log: Arc<dyn Log>,
    (partition, from): (TopicPartition, i64),
    live: Weak<Live>,
    (stop, max_bytes): (CancellationToken, usize),
) {
    let mut reader = log.read(&partition, from, None);
    loop {
        let batch = tokio::select! {
            () = stop.cancelled() => return,
            batch = reader.next() => batch,
        };
        let Some(live) = live.upgrade() else { return };
        match batch {
            Some(Ok(batch)) => live.push(Arc::new(decode_batch(&partition, batch)), max_bytes),
            Some(Err(_)) | None => return live.fail(),
        }
    }
}

impl Live {
    fn new(next: i64, held: Arc<AtomicUsize>, stop: CancellationToken) -> Self {
        let ring = Ring {
            batches: VecDeque::new(),
            start: next,
            next,
            failed: false,
        };
        Self {
            ring: Mutex::new(ring),
            news: watch::Sender::new(next),
            held,
            _task: stop.drop_guard(),
        }
    }

    fn covers(&self, next: i64) -> bool {
        let ring = lock(&self.ring);
        ring.start <= next && next <= ring.next
    }

    /// What follows `next`, waiting for it.
    pub(super) async fn after(&self, next: i64) -> Next {
        let mut news = self.news.subscribe();
        loop {
            {
                let ring = lock(&self.ring);
                if ring.failed {
                    return Next::Failed;
                }
                if next < ring.start {
                    return Next::Elsewhere;
                }
                let at = ring.batches.partition_point(|batch| batch.next <= next);
                if let Some(batch) = ring.batches.get(at) {
                    return Next::Batch(Arc::clone(batch));
                }
            }
            if news.wait_for(|newest| *newest > next).await.is_err() {
                return Next::Failed;
            }
        }
    }

    fn push(&self, batch: Arc<FeedBatch>, max_bytes: usize) {
        let next = batch.next;
        let mut ring = lock(&self.ring);
        let mut held = self.held.fetch_add(batch.bytes, Ordering::Relaxed) + batch.bytes;
        ring.next = next;
        ring.batches.push_back(batch);
        // The newest batch stays for those who wait for it, unless many partitions together hold far too much.
        while held > max_bytes && (ring.batches.len() > 1 || held > 2 * max_bytes) {
            let Some(oldest) = ring.batches.pop_front() else { break };
            ring.start = oldest.next;
            held = self.held.fetch_sub(oldest.bytes, Ordering::Relaxed) - oldest.bytes;
        }
        drop(ring);
        self.news.send_replace(next);
    }

    fn fail(&self) {
        lock(&self.ring).failed = true;
        self.news.send_replace(i64::MAX);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let bytes: usize = lock(&self.ring).batches.iter().map(|batch| batch.bytes).sum();
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Nothing panics while it holds these locks, so a poisoned one is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
