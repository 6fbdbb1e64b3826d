//! Lanes: the consumers that all readers of this process share.
//!
//! ```text
//! reader ── seat ──┐                       lane 0: one consumer, a fetch for all its partitions, a queue for each
//! reader ── seat ──┼── one per partition ─▶
//! reader ── seat ──┘  two of one partition ▶ lane 1 …
//! ```
//!
//! A reader takes a seat in a lane for as long as it reads. Two readers that are at different places of one partition sit
//! in different lanes; where all lanes are taken, a seat that is not being read from is given to whoever wants it, and its
//! reader takes another one when it goes on.

mod lane;
mod seat;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

use self::lane::Lane;
pub(super) use self::seat::{Polled, Seat};
use super::{Cluster, fault::blocking, offsets::Offsets};
use crate::{error::Result, log::TopicPartition};

/// Readers at different places of one partition that are served at once; further ones take turns.
const MOST_LANES: usize = 4;
/// What a partition's queue holds at most: librdkafka's limit and one answer of a broker beyond it.
const SEAT_BYTES: usize = 1536 << 10;
/// How often those who wait for a seat look whether one has become idle.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

pub(super) struct Lanes {
    pub(super) cluster: Arc<Cluster>,
    pub(super) offsets: Arc<Offsets>,
    lanes: Mutex<Vec<Arc<Lane>>>,
    freed: Notify,
}

impl Lanes {
    pub(super) fn new(cluster: Arc<Cluster>, offsets: Arc<Offsets>) -> Self {
        Self {
            cluster,
            offsets,
            lanes: Mutex::default(),
            freed: Notify::new(),
        }
    }

    /// A seat from which a partition can be read from an offset on; waits for one.
    pub(super) async fn take(self: &Arc<Self>, partition: &TopicPartition, from: i64) -> Result<Arc<Seat>> {
        loop {
            self.cluster.check_open()?;
            let freed = self.freed.notified();
            if let Some(seat) = self.try_take(partition, from) {
                return Ok(seat);
            }
            if self.lock().len() < MOST_LANES {
                self.open_lane().await?;
                continue;
            }
            tokio::select! {
                () = freed => {}
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// The reader is done with it.
    pub(super) fn leave(&self, seat: &Arc<Seat>) {
        for lane in &*self.lock() {
            lane.remove(seat);
        }
        self.freed.notify_waiters();
    }

    /// Its reader goes on elsewhere in its partition.
    pub(super) fn seek(&self, seat: &Arc<Seat>, offset: i64) {
        for lane in &*self.lock() {
            lane.seek(seat, offset);
        }
    }

    fn try_take(&self, partition: &TopicPartition, from: i64) -> Option<Arc<Seat>> {
        let lanes = self.lock();
        let free = lanes.iter().find(|lane| !lane.has(partition));
        let to_take = || (lanes.len() == MOST_LANES).then(|| lanes.iter().find(|lane| lane.may_be_taken(partition)));
        let lane = free.or_else(|| to_take().flatten())?;
        let seat = lane.seat(partition, from);
        self.evict_idle(&lanes);
        Some(seat)
    }

    /// Queues that nobody reads from are full, after a while: only so many may be.
    fn evict_idle(&self, lanes: &[Arc<Lane>]) {
        let most = self.cluster.options.fetch_bytes / SEAT_BYTES;
        let mut idle: Vec<_> = lanes.iter().flat_map(|lane| lane.idle()).collect();
        if idle.len() > most {
            idle.sort_by_key(|(since, _)| *since);
            let surplus = idle.len() - most;
            for (_, seat) in &idle[..surplus] {
                lanes.iter().for_each(|lane| lane.remove(seat));
            }
        }
    }

    async fn open_lane(self: &Arc<Self>) -> Result<()> {
        let cluster = Arc::clone(&self.cluster);
        let lane = Arc::new(blocking(move || Lane::new(&cluster)).await??);
        let mut lanes = self.lock();
        if lanes.len() < MOST_LANES {
            lanes.push(Arc::clone(&lane));
            self.cluster.tasks.spawn(Arc::clone(self).run(lane));
        }
        Ok(())
    }

    /// Until the log closes, or the lane can read no more: those who read in it take seats elsewhere.
    async fn run(self: Arc<Self>, lane: Arc<Lane>) {
        lane.follow_seats(&self.cluster.stop).await;
        {
            // Both before somebody takes a seat in it.
            let mut lanes = self.lock();
            lanes.retain(|there| !Arc::ptr_eq(there, &lane));
            lane.clear();
        }
        let _ = blocking(move || drop(lane)).await;
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
