//! A member's client: a consumer that joins its group and fetches nothing.
//!
//! Whatever blocks is done on threads for that, and so is closing it: the last who holds it lets go, and the group is left.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rdkafka::{
    TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    error::{KafkaError, KafkaResult},
};
use tokio::time::timeout;
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
            Ok(Member { consumer, is_classic })
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
        self.tasks.spawn(async move {
            if let Some(member) = member {
                leave(member).await;
            }
            closed.cancel();
        });
    }
}

/// Takes about 0.1 s, and longer where it has no partitions.
async fn leave(member: Arc<Member>) {
    let asked = Arc::clone(&member);
    if let Ok(Some(told)) = blocking(move || asked.ask_to_leave()).await {
        let patience = if told == 0 { FIRST } else { ANOTHER };
        let _ = timeout(patience, member.told_again(told)).await;
    }
    let _ = blocking(move || drop(member)).await;
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
    /// Of the protocol before KIP-848.
    is_classic: bool,
}

impl Member {
    /// librdkafka that is closed forgets to leave where it has no partitions, or is just being told which, and the group would
    /// wait for its session to end. So it is asked to leave before. In a group that may be about to tell it what it has, it puts
    /// that off: then this says how often it has been told already, and it must not be closed yet.
    fn ask_to_leave(&self) -> Option<u64> {
        self.answer_the_last();
        let is_empty = |list: KafkaResult<TopicPartitionList>| list.is_ok_and(|list| list.count() == 0);
        let told = self.told();
        let may_forget = self.is_classic
            && self.consumer.context().is_reachable()
            && !is_empty(self.consumer.subscription())
            && is_empty(self.consumer.assignment());
        self.consumer.unsubscribe();
        may_forget.then_some(told)
    }

    /// How often the group has told it what it has.
    fn told(&self) -> u64 {
        self.consumer.context().told.load(Ordering::SeqCst)
    }

    /// Serves what the group asks until it has told it more often.
    async fn told_again(&self, before: u64) {
        let called = &self.consumer.context().called;
        while self.told() == before {
            tokio::select! {
                () = called.notified() => {}
                _ = self.consumer.recv() => {}
            }
        }
    }

    /// What nobody has answered yet would hold up its end for ever.
    fn answer_the_last(&self) {
        let ear = self.consumer.context();
        ear.is_closing.store(true, Ordering::SeqCst);
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

impl Drop for Member {
    /// Leaves the group, if it has not been asked to before. Blocks for about 0.1 s.
    fn drop(&mut self) {
        self.answer_the_last();
    }
}

const STEPS: usize = 8;
/// What a group may take to tell a new member what it has: the others join anew within a heartbeat.
const FIRST: Duration = Duration::from_secs(1);
/// For a member that was told before: it may be about to be told anew, or never.
const ANOTHER: Duration = Duration::from_millis(250);
