//! Housekeeping: retention and compaction, every so often, as long as the log is open.

use std::{
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    closed, compaction, fault,
    table::Shared,
    writer::{self, Item, Writer},
};
use crate::{
    error::{Error, Reason, Result},
    log::Cleanup,
};

/// Between rounds of retention.
const PAUSE: Duration = Duration::from_secs(5);
/// Rounds of retention to one of compaction, which reads and writes far more.
const COMPACT_EVERY: u64 = 6;

/// Ends when the log is closed.
pub(crate) async fn keep(shared: Arc<Shared>, queue: Sender<Item>) {
    let mut rounds = tokio::time::interval(PAUSE);
    let mut health = shared.health.subscribe();
    rounds.tick().await;
    for round in 1_u64.. {
        // Both arms are cancel-safe.
        tokio::select! {
            _ = rounds.tick() => {}
            _ = health.wait_for(|health| *health == closed()) => return,
        }
        let retained = on_writer(&queue, |writer| writer.retain(writer::now())).await;
        if let Err(error) = retained.and_then(|result| result) {
            tracing::warn!(%error, "retention could not be applied: {error}");
        }
        if round.is_multiple_of(COMPACT_EVERY)
            && let Err(error) = compact(&shared, &queue).await
        {
            tracing::warn!(%error, "topics could not be compacted: {error}");
        }
    }
}

pub(crate) async fn compact(shared: &Arc<Shared>, queue: &Sender<Item>) -> Result<u64> {
    let entries: Vec<_> = shared.read_table(|table| table.values().cloned().collect());
    let mut freed = 0;
    for entry in entries {
        if entry.info.settings.cleanup != Cleanup::Compact {
            continue;
        }
        for partition in &entry.partitions {
            if *shared.health.borrow() == closed() {
                return Err(fault::closed());
            }
            let (shared, partition) = (shared.clone(), partition.clone());
            let work = move || compaction::compact(&shared, &partition);
            let compacted = tokio::task::spawn_blocking(work).await;
            let aborted = |_| Err(Error::new(Reason::Internal, "compaction was aborted"));
            if let Some(compacted) = compacted.unwrap_or_else(aborted)? {
                freed += on_writer(queue, |writer| writer.replace(compacted)).await??;
            }
        }
    }
    Ok(freed)
}

/// Runs on the writer's thread, between two group commits.
pub(crate) async fn on_writer<T: Send + 'static>(
    queue: &Sender<Item>,
    task: impl FnOnce(&mut Writer) -> T + Send + 'static,
) -> Result<T> {
    let (answer, answered) = oneshot::channel();
    let task = Item::Task(Box::new(move |writer| {
        let _ = answer.send(task(writer));
    }));
    queue.send(task).map_err(|_| fault::closed())?;
    answered.await.map_err(|_| fault::closed())
}
