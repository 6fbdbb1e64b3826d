//! Appending: an idempotent producer, and what became of each record it was given.
//!
//! ```text
//! append ──▶ room (bytes) ──▶ send, in the order of calls ──▶ librdkafka ──▶ brokers
//!    └── receipt ◀── calls (a slot for each append under way) ◀── delivery reports, on the producer's own thread
//! ```
//!
//! A producer that failed for good (a fatal error: its sequence is broken) is replaced once all it had is answered, so
//! records keep the order of calls.

mod calls;
mod generation;
mod reporting;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, watch},
    time::sleep,
};

use self::generation::Generation;
use super::{
    Cluster,
    fault::{self, blocking},
};
use crate::{
    error::{Error, Reason, Result},
    log::{NewRecord, Receipt, TopicPartition, rules::no_such_partition},
};

/// After a producer could not be made.
const AGAIN: Duration = Duration::from_secs(1);
/// As much as one request to a broker may have.
const MAX_RECORD_BYTES: usize = 64 << 20;

pub(super) struct Producer {
    cluster: Arc<Cluster>,
    current: Arc<watch::Sender<Arc<Generation>>>,
    /// Bytes of the queue that are free.
    room: Arc<Semaphore>,
}

impl Producer {
    pub(super) fn start(cluster: &Arc<Cluster>) -> Result<Self> {
        let current = Arc::new(watch::Sender::new(Arc::new(Generation::new(cluster)?)));
        let room = Arc::new(Semaphore::new(cluster.options.queue_bytes.max(1)));
        cluster.tasks.spawn(renew(Arc::clone(cluster), Arc::clone(&current)));
        Ok(Self {
            cluster: Arc::clone(cluster),
            current,
            room,
        })
    }

    /// While the cluster is away nothing is taken: so it can still be said that nothing was written.
    pub(super) async fn append(&self, records: Vec<NewRecord>) -> Result<Receipt> {
        let bytes = self.check(&records).await?;
        tokio::select! {
            () = self.cluster.health.reachable() => {}
            () = self.cluster.stop.cancelled() => return Err(fault::closed()),
        }
        let most = self.cluster.options.queue_bytes.max(1);
        let permits = u32::try_from(bytes.clamp(1, most)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await;
        let mut room = room.map_err(|_| fault::closed())?;
        let mut generations = self.current.subscribe();
        loop {
            let usable = generations.wait_for(|generation| !generation.has_failed()).await;
            let generation = Arc::clone(&*usable.map_err(|_| fault::closed())?);
            generation.learn(&self.cluster, &records).await?;
            if generation.has_failed() {
                continue;
            }
            self.cluster.check_open()?;
            match generation.send(&self.cluster, &records, room) {
                Ok(receipt) => return Ok(receipt),
                Err(kept) => room = kept,
            }
        }
    }

    /// Every topic exists, every record fits. Answers with their bytes.
    async fn check(&self, records: &[NewRecord]) -> Result<usize> {
        self.cluster.check_open()?;
        let (mut bytes, mut known) = (0, None);
        for (index, record) in records.iter().enumerate() {
            let partitions = match known {
                Some((topic, partitions)) if topic == &record.topic => partitions,
                _ => self.cluster.must_exist(&record.topic).await?.partitions,
            };
            known = Some((&record.topic, partitions));
            if let Some(partition) = record
                .partition
                .filter(|partition| !(0..partitions).contains(partition))
            {
                let topic = record.topic.clone();
                return Err(no_such_partition(&TopicPartition { topic, partition }));
            }
            let size = record.size();
            if size >= MAX_RECORD_BYTES {
                let text =
                    format!("append: record {index} has {size} bytes; fewer than {MAX_RECORD_BYTES} are possible");
                return Err(Error::new(Reason::EventTooLarge, text));
            }
            bytes += size;
        }
        Ok(bytes)
    }

    /// Waits for what was handed over, as long as the cluster answers at all.
    pub(super) async fn close(&self) {
        self.room.close();
        let generation = Arc::clone(&*self.current.borrow());
        let _ = blocking(move || generation.flush()).await;
    }
}

/// Replaces producers that failed for good.
async fn renew(cluster: Arc<Cluster>, current: Arc<watch::Sender<Arc<Generation>>>) {
    loop {
        let failed = Arc::clone(&*current.borrow());
        if !failed.has_failed() {
            tokio::select! {
                () = cluster.stop.cancelled() => return,
                () = failed.failure() => {}
            }
        }
        let of = Arc::clone(&cluster);
        let renewed = blocking(move || {
            failed.give_up();
            Generation::new(&of)
        });
        match renewed.await.and_then(|renewed| renewed) {
            Ok(generation) => {
                tracing::warn!("the producer failed for good and was replaced");
                current.send_replace(Arc::new(generation));
            }
            Err(error) => {
                tracing::error!(%error, "cannot replace the producer, trying again");
                tokio::select! {
                    () = cluster.stop.cancelled() => return,
                    () = sleep(AGAIN) => {}
                }
            }
        }
    }
}
