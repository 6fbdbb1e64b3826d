//! A group's membership: this process joins as one member, which fetches nothing, and commits for it.
//!
//! ```text
//! Kafka ◀▶ client ─▶ life ─▶ changes (assigned, revoked, lost)
//!    ▲                │
//!    └─ client ◀─ fence (table of partitions and epochs) ◀─ commit
//! ```
//!
//! The broker takes a commit of any partition from any current member, so the fence must see to it that only owners commit.
//! A life ends when the membership is lost; the next has a client of its own, and what the earlier one still has on its way
//! can only be refused.

mod client;
mod commit;
mod ear;
mod fence;
mod late;
mod leaving;
mod life;
mod proof;
mod questions;
mod refusal;
mod sight;
mod table;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use rdkafka::{TopicPartitionList, error::KafkaError, topic_partition_list::TopicPartitionListElem};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub(super) use self::leaving::Leaving;
use self::{
    client::Client,
    commit::Joined,
    fence::Fence,
    life::{End, Life},
};
use super::{Cluster, fault};
use crate::{
    error::{Error, Result},
    log::{Change, Membership, TopicPartition},
    name::{Group, Topic},
};

/// Changes that nobody has read yet. Each revocation waits for its reader, so they are few.
const CHANGES: usize = 64;
/// For a cluster that is away.
const PATIENCE: Duration = Duration::from_secs(1);
/// After a client could not be made.
const RETRY: Duration = Duration::from_secs(1);

/// Joins a group. `GROUP_IN_USE` if consumers other than the bus's use its id.
pub(super) async fn join(cluster: &Arc<Cluster>, group: &Group, topics: &[Topic]) -> Result<Membership> {
    cluster.check_open()?;
    let cannot = |_| fault::unavailable(format!("join group {group}: Kafka cannot be reached"));
    timeout(PATIENCE, cluster.health.reachable()).await.map_err(cannot)?;
    let seat = Arc::new(Seat::new(cluster, group, topics));
    cluster.leaving.done(&seat.group_id).await;
    refusal::check(&seat).await?;
    let client = Client::new(cluster, &seat.group_id).await?;

    let (changes, told) = mpsc::channel(CHANGES);
    let fence = Arc::new(Fence::default());
    let (gone, left) = (CancellationToken::new(), CancellationToken::new());
    let presence = Arc::new(Presence {
        seat: Arc::clone(&seat),
        left: left.clone(),
        naps: AtomicU64::new(cluster.pulse.naps()),
        _gone: gone.clone().drop_guard(),
    });
    let member = Joined::new(Arc::clone(&seat), Arc::clone(&fence), Arc::clone(&presence));
    cluster
        .tasks
        .spawn(live(seat, (client, fence), changes, (gone, left.drop_guard())));
    Ok(Membership {
        changes: stream::unfold((told, presence), next).boxed(),
        member: Arc::new(member),
    })
}

/// What happened, and how often the process had napped when it was told.
type Told = (Change, u64);

type Listening = (mpsc::Receiver<Told>, Arc<Presence>);

async fn next((mut told, presence): Listening) -> Option<(Change, Listening)> {
    let (change, naps) = told.recv().await?;
    presence.naps.store(naps, Ordering::SeqCst);
    Some((change, (told, presence)))
}

/// Lives one life after the other, until nobody wants the membership any more.
async fn live(
    seat: Arc<Seat>,
    (mut client, fence): (Arc<Client>, Arc<Fence>),
    changes: mpsc::Sender<Told>,
    (gone, _left): (CancellationToken, DropGuard),
) {
    let stop = seat.cluster.stop.clone();
    let gone = || async {
        tokio::select! {
            () = gone.cancelled() => {}
            () = stop.cancelled() => {}
        }
    };
    loop {
        let closed = client.closed();
        let end = Life::new(&seat, client, &fence, changes.clone()).run(gone()).await;
        if let End::Failed(error) = end {
            // Full: nobody reads, and the end of the stream says enough.
            let _ = changes.try_send((Change::Failed(error), seat.cluster.pulse.naps()));
        } else if let End::Lost = end {
            let again = tokio::select! {
                again = rejoin(&seat) => Some(again),
                () = gone() => None,
            };
            if let Some(again) = again {
                client = again;
                continue;
            }
        }
        drop(changes);
        return closed.cancelled().await;
    }
}

/// Another client, once the cluster can be reached.
async fn rejoin(seat: &Seat) -> Arc<Client> {
    loop {
        seat.cluster.health.reachable().await;
        match Client::new(&seat.cluster, &seat.group_id).await {
            Ok(client) => return client,
            Err(error) => tracing::warn!(group = %seat.group, %error, "cannot join the group again, trying again"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Which group is joined, for which topics.
struct Seat {
    cluster: Arc<Cluster>,
    group: Group,
    group_id: String,
    /// Those that the member wants now; its lives follow them.
    topics: watch::Sender<Arc<[Topic]>>,
}

impl Seat {
    fn new(cluster: &Arc<Cluster>, group: &Group, topics: &[Topic]) -> Self {
        Self {
            cluster: Arc::clone(cluster),
            group: group.clone(),
            group_id: cluster.names.group_id(group),
            topics: watch::Sender::new(topics.into()),
        }
    }

    fn topics(&self) -> Arc<[Topic]> {
        Arc::clone(&self.topics.borrow())
    }

    fn names_on_cluster(&self) -> Vec<String> {
        let on_cluster = |topic| self.cluster.names.on_cluster(topic);
        self.topics().iter().map(on_cluster).collect()
    }

    /// Tells a partition that exists from one of an earlier topic of the same name.
    fn birth(&self, partition: &TopicPartition) -> Option<u64> {
        let known = self.cluster.catalog.known(&partition.topic)?;
        (partition.partition < known.partitions).then_some(known.birth)
    }

    /// Those of our topics, in order.
    fn partitions(&self, listed: &TopicPartitionList) -> Vec<TopicPartition> {
        let elements = listed.elements();
        let of_ours = |element: &TopicPartitionListElem<'_>| {
            Some(TopicPartition {
                topic: self.cluster.names.topic(element.topic())?,
                partition: element.partition(),
            })
        };
        let mut partitions: Vec<_> = elements.iter().filter_map(of_ours).collect();
        partitions.sort();
        partitions
    }

    fn failed(&self, doing: &str, error: &KafkaError) -> Error {
        fault::failed(&format!("group {}: {doing}", self.group), error)
    }
}

/// Held by all handles of a membership; when the last is dropped, the group is left.
struct Presence {
    seat: Arc<Seat>,
    /// Set when the group is left.
    left: CancellationToken,
    /// Of the process, as far as whoever listens has heard of what they did to the group.
    naps: AtomicU64,
    _gone: DropGuard,
}

impl Presence {
    /// The process has not napped since.
    fn is_awake(&self) -> bool {
        self.naps.load(Ordering::SeqCst) == self.seat.cluster.pulse.naps()
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.seat.cluster.leaving.begin(&self.seat.group_id, self.left.clone());
    }
}
