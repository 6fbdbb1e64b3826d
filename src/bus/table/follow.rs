//! Following a table's topic: what all replicas write is learned in its order.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::{RETRY, Row, Table};

/// A topic that was there counts as deleted once the log has denied it for so long: a broker that has just started denies what
/// others have. Until then what is known of it stays.
const GONE_AFTER: Duration = Duration::from_secs(5);

/// Learns what all replicas write, until `stop`.
pub(super) async fn follow<R: Row>(table: Arc<Table<R>>, stop: CancellationToken) {
    let mut metadata = table.log.metadata();
    let mut denied = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = read_on(&table, &mut denied) => {}
        }
        // The topic does not exist yet, or the log is away: try again when topics change, or after a while.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = metadata.changed() => {}
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Reads from where reading ended before, until it fails.
async fn read_on<R: Row>(table: &Table<R>, denied: &mut Option<Instant>) {
    match table.log.partitions(&table.topic).await {
        Ok(Some(_)) => *denied = None,
        Ok(None) => {
            let since = denied.get_or_insert_with(Instant::now);
            if since.elapsed() >= GONE_AFTER && *table.reached.borrow() > 0 {
                // One that is made anew begins anew.
                table.lock().clear();
                table.reached.send_replace(0);
            }
            return;
        }
        Err(_) => return,
    }
    let Ok(bounds) = table.log.bounds(&[table.partition()]).await else {
        return;
    };
    let mut next = (*table.reached.borrow()).max(bounds[0].start);
    if next > bounds[0].end {
        // It was deleted and made anew.
        next = bounds[0].start;
        table.lock().clear();
    }
    table.reached.send_replace(next);
    let mut reader = table.log.read(&table.partition(), next, None);
    while let Some(Ok(batch)) = reader.next().await {
        table.learn_all(&batch);
    }
}
