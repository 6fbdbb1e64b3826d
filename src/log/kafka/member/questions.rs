//! What a member asks the cluster: what its group has committed, and which topics there are.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rdkafka::{Offset, consumer::Consumer as _};
use tokio::time::sleep;

use super::{
    super::lists::{committed_in, list},
    Seat,
    client::Client,
    fence::Fence,
    sight::Sight,
    table::Place,
};
use crate::{
    error::Result,
    log::{Committed, TopicPartition},
};

/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Before the next try.
const PAUSE: Duration = Duration::from_millis(200);
/// How often the client looks until it sees what the catalog says.
const LOOKS: usize = 20;

/// What the group has committed in these, by the topic's name on the cluster and partition.
pub(super) struct Answer {
    pub(super) places: Vec<Place>,
    pub(super) committed: HashMap<(String, i32), Committed>,
}

/// Asks until there is an answer, or nobody waits for it any more.
pub(super) async fn committed(
    seat: Arc<Seat>,
    client: Arc<Client>,
    fence: Arc<Fence>,
    places: Vec<Place>,
) -> Option<Answer> {
    let partitions: Vec<TopicPartition> = places.iter().map(|place| place.partition.clone()).collect();
    while fence.with(|table| table.is_asked(&places)) {
        match committed_once(&seat, &client, &partitions).await {
            Ok(committed) => return Some(Answer { places, committed }),
            Err(error) => tracing::debug!(group = %seat.group, %error, "cannot ask what is committed, trying again"),
        }
        sleep(PAUSE).await;
    }
    None
}

/// Asks the group's coordinator, as a member.
pub(super) async fn committed_once(
    seat: &Seat,
    client: &Arc<Client>,
    partitions: &[TopicPartition],
) -> Result<HashMap<(String, i32), Committed>> {
    let asked = list(&seat.cluster.names, partitions, Offset::Invalid)?;
    let answer = client
        .ask(move |consumer| consumer.committed_offsets(asked, TIMEOUT))
        .await?;
    let answer = answer.map_err(|error| seat.failed("ask what is committed", &error))?;
    Ok(committed_in(&answer))
}

/// Makes the client look at the cluster's topics; when those of its group are others, it tells the group. Only an answer
/// about all topics makes librdkafka do so.
pub(super) async fn look(seat: Arc<Seat>, client: Arc<Client>) {
    for _ in 0..LOOKS {
        let asked = client.ask(|consumer| consumer.fetch_metadata(None, TIMEOUT)).await;
        if let Ok(Ok(metadata)) = asked
            && Sight::of(&seat).agrees(&seat, &metadata)
        {
            return;
        }
        sleep(PAUSE).await;
    }
}
