//! Where a group's partitions end now, for its heartbeats, which do not wait long for it.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::commits::Place;
use crate::log::{Log, TopicPartition};

/// For the log to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The ends of partitions; empty if the log did not answer.
pub(super) type Ends = Vec<(Place, i64)>;

/// Asks the log, unless it is known to be away.
pub(super) async fn observe(log: Arc<dyn Log>, asked: Vec<(Place, TopicPartition)>) -> Ends {
    let (places, partitions): (Vec<Place>, Vec<TopicPartition>) = asked.into_iter().unzip();
    let is_away = log.health().borrow().is_err();
    if is_away {
        return Ends::new();
    }
    let answer = timeout(PATIENCE, log.bounds(&partitions)).await;
    let bounds = answer.ok().and_then(Result::ok).unwrap_or_default();
    places
        .into_iter()
        .zip(bounds)
        .map(|(place, bounds)| (place, bounds.end))
        .collect()
}
