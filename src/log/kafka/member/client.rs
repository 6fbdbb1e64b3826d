//! A member's client: a consumer that joins its group and fetches nothing.
//!
//! Whatever blocks is done on threads for that, and so is closing it: the last who holds it lets go, and the group is left.

use std::sync::{Arc, atomic::Ordering};

use rdkafka::{
    TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    error::{KafkaError, KafkaResult},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    super::{
        Cluster, Options,
        fault::{blocking, failed},
    },
    ear::{Ear, Rebalance},
    late::with_late_timers,
};
use crate::error::Result;

pub(super) struct Client {
    /// Taken when the last handle goes.
    member: Option<Arc<Member>>,
    tasks: TaskTracker,
    /// Set when it has left the group.
    closed: CancellationToken,
    /// Set when the partitions that were assigned to it are nobody's here any more.
    pub(super) over: CancellationToken,
}

/// Every client of a group: small, and with no idea of its own when to look at topics.
const ANY: [(&str, &str); 7] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // A member whose process does not answer rebalances for so long is put out.
    ("max.poll.interval.ms", "60000"),
    ("topic.metadata.refresh.interval.ms", "60000"),
    ("socket.timeout.ms", "10000"),
    ("queued.min.messages", "1"),
    ("queued.max.messages.kbytes", "1"),
];
/// Not for the protocol of KIP-848, whose times are the broker's.
const CLASSIC: [(&str, &str); 3] = [
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("session.timeout.ms", "6000"),
    ("heartbeat.interval.ms", "500"),
];

impl Client {
    /// Connects, and joins nothing yet.
    pub(super) async fn new(cluster: &Arc<Cluster>, group_id: &str) -> Result<Arc<Self>> {
        let (clients, group_id) = (cluster.clients.clone(), group_id.to_owned());
        let is_classic = !is_kip848(&cluster.options);
        let member = blocking(move || {
            let mut settings = vec![("group.id", group_id.as_str())];
            settings.extend(ANY);
            settings.extend(CLASSIC.iter().filter(|_| is_classic));
            let consumer = with_late_timers(|| clients.create(&settings, Ear::new(clients.context())))?;
            Ok(Member { consumer })
        });
        Ok(Arc::new(Self {
            member: Some(Arc::new(member.await??)),
            tasks: cluster.tasks.clone(),
            closed: CancellationToken::new(),
            over: CancellationToken::new(),
        }))
    }

    /// Set when the group is left, after the last handle of this client has gone.
    pub(super) fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }

    /// Joins the group with these topics, or changes what it joined with. Without any it is in no group.
    pub(super) async fn subscribe(self: &Arc<Self>, topics: Vec<String>) -> Result<()> {
        let subscribed = self.ask(move |consumer| {
            if topics.is_empty() {
                consumer.unsubscribe();
                return Ok(());
            }
            let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
            consumer.subscribe(&topics)
        });
        subscribed.await?.map_err(|error| failed("subscribe", &error))
    }

    /// Does what blocks on a thread of its own, and stays open meanwhile.
    pub(super) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&StreamConsumer<Ear>) -> T + Send + 'static,
    ) -> Result<T> {
        let client = Arc::clone(self);
        blocking(move || work(client.consumer())).await
    }

    /// Serves the client, and is ready when the group changes. Cancelled, nothing is missed.
    pub(super) async fn next(&self) -> News {
        let consumer = self.consumer();
        let ear = consumer.context();
        loop {
            if let Some(rebalance) = ear.heard().pop_front() {
                return News::Rebalance(rebalance);
            }
            tokio::select! {
                () = ear.called.notified() => {}
                () = ear.stranded().comes() => return News::Stranded,
                // Nothing is fetched: what comes are errors. `recv` loses nothing when it is cancelled.
                received = consumer.recv() => if let Err(error) = received {
                    return News::Error(error, ear.last_reason());
                }
            }
        }
    }

    /// Blocks until the cluster has answered.
    pub(super) fn commit(&self, offsets: &TopicPartitionList) -> KafkaResult<()> {
        self.consumer().commit(offsets, CommitMode::Sync)
    }

    fn consumer(&self) -> &StreamConsumer<Ear> {
        let member = self
            .member
            .as_ref()
            .expect("it is taken only when nobody has it any more");
        &member.consumer
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let (member, closed) = (self.member.take(), self.closed.clone());
        // Runs in a task or on a thread of the runtime.
        self.tasks.spawn_blocking(move || {
            drop(member);
            closed.cancel();
        });
    }
}

/// Whether the user has chosen the group protocol of KIP-848.
pub(super) fn is_kip848(options: &Options) -> bool {
    options
        .property("group.protocol")
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer"))
}

/// What a client tells.
pub(super) enum News {
    Rebalance(Rebalance),
    /// With librdkafka's words on it.
    Error(KafkaError, String),
    /// It will never hear of its group again.
    Stranded,
}

struct Member {
    consumer: StreamConsumer<Ear>,
}

impl Drop for Member {
    /// Leaves the group. Blocks for about 0.1 s.
    fn drop(&mut self) {
        let ear = self.consumer.context();
        ear.is_closing.store(true, Ordering::SeqCst);
        // What nobody has answered yet would hold it up for ever.
        let unanswered = ear.unanswered().take();
        if let Some(rebalance) = unanswered {
            if let Err(error) = rebalance.give(&self.consumer) {
                tracing::debug!(%error, "librdkafka: cannot let go");
            }
            // librdkafka stops the partitions in steps, and closed in between it forgets to leave the group. It does one thing
            // after the other, and each question waits for what is before it.
            for _ in 0..STEPS {
                let _ = self.consumer.assignment();
            }
        }
    }
}

const STEPS: usize = 8;
