//! Following a topic into its tables: what all replicas write is learned in its order, by one reader for all tables that share
//! the topic.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{RETRY, Row, Table};
use crate::{
    error::Result,
    log::{Batch, Log, TopicPartition},
};

/// A topic that was there counts as deleted once the log has denied it for so long: a broker that has just started denies what
/// others have. Until then what is known of it stays.
pub(in crate::bus) const GONE_AFTER: Duration = Duration::from_secs(5);

/// A table, whatever its rows are. Those of one topic are as far as each other.
pub(in crate::bus) trait Followed: Send + Sync {
    fn topic(&self) -> (&Arc<dyn Log>, TopicPartition);

    /// Everything below this offset is known.
    fn reached(&self) -> i64;

    /// Nothing is known: the topic is gone, or was made anew.
    fn clear(&self);

    /// Learning goes on from here.
    fn go_on_at(&self, offset: i64);

    fn learn_all(&self, batch: &Batch);

    /// It is followed no more: whoever waits for it is told so.
    fn end(&self);
}

/// Tables of one topic.
type Tables = Vec<Arc<dyn Followed>>;

/// Begins to read the topic of these tables, which is followed until `stop`.
pub(in crate::bus) fn follow(tables: Tables, tasks: &TaskTracker, stop: &CancellationToken) {
    tasks.spawn(follow_until(tables, stop.clone()));
}

async fn follow_until(tables: Tables, stop: CancellationToken) {
    stop.run_until_cancelled(follow_on(&tables)).await;
    tables.iter().for_each(|table| table.end());
}

async fn follow_on(tables: &Tables) {
    let Some(first) = tables.first() else { return };
    let mut metadata = first.topic().0.metadata();
    let mut denied = None;
    loop {
        let _ = read_on((&**first, &mut denied), tables).await;
        // The topic does not exist yet, or the log is away: try again when topics change, or after a while.
        tokio::select! {
            _ = metadata.changed() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Reads from where reading ended before, until it fails.
async fn read_on((first, denied): (&dyn Followed, &mut Option<Instant>), tables: &Tables) -> Result<()> {
    let (log, partition) = first.topic();
    if log.partitions(&partition.topic).await?.is_none() {
        let since = denied.get_or_insert_with(Instant::now);
        if since.elapsed() >= GONE_AFTER && first.reached() > 0 {
            // One that is made anew begins anew.
            tables.iter().for_each(|table| table.clear());
            tables.iter().for_each(|table| table.go_on_at(0));
        }
        return Ok(());
    }
    *denied = None;
    let bounds = log.bounds(std::slice::from_ref(&partition)).await?[0];
    let mut next = first.reached().max(bounds.start);
    if next > bounds.end {
        // It was deleted and made anew.
        next = bounds.start;
        tables.iter().for_each(|table| table.clear());
    }
    tables.iter().for_each(|table| table.go_on_at(next));
    let mut reader = log.read(&partition, next, None);
    while let Some(Ok(batch)) = reader.next().await {
        tables.iter().for_each(|table| table.learn_all(&batch));
    }
    Ok(())
}

impl<R: Row> Followed for Table<R> {
    fn topic(&self) -> (&Arc<dyn Log>, TopicPartition) {
        (&self.log, self.partition())
    }

    fn reached(&self) -> i64 {
        *self.reached.borrow()
    }

    fn clear(&self) {
        self.lock().clear();
    }

    fn go_on_at(&self, offset: i64) {
        self.reached.send_replace(offset);
    }

    fn learn_all(&self, batch: &Batch) {
        batch.records.iter().for_each(|record| self.learn(record));
        self.reached.send_replace(batch.next);
    }

    fn end(&self) {
        self.over.cancel();
    }
}
