//! Replicas that share a group: killed, stopped, frozen, and left without their broker, all under load.

#![expect(clippy::print_stderr, reason = "what was measured, for those who look")]

mod checker;
mod checkpoints;
mod commands;
mod consumer;
mod creation;
mod deleting;
mod load;
mod looking;
mod replays;
mod resets;
mod severed;
mod witness;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use tokio::{task::JoinHandle, time::timeout};

use self::{
    checker::{Checker, Counts},
    consumer::{Acks, Consumer, consume},
    load::{KEYS, Publisher},
    witness::Witness,
};
use crate::harness::{SOON, Server, clients::Subscription, eventually, kafka::Broker};

const SESSION: Duration = Duration::from_secs(2);
/// Beside the session: a second as promised, and what a machine needs that is busy with other tests.
const LEEWAY: Duration = Duration::from_secs(3);
const KILLS: usize = 20;
/// How long the broker is away.
const LONG: Duration = Duration::from_secs(30);
/// What a crash may repeat at most: the acks of a second, and of a commit that was on its way, which takes a while.
const REPEATED: usize = 1_500;
const REPEATED_FOR: Duration = Duration::from_secs(3);

const CONFIG: &str = "
    [log.kafka.properties]
    'session.timeout.ms' = 2000
    'heartbeat.interval.ms' = 300
";

/// Replicas that consume, beside one that only publishes.
struct Fleet {
    publishing: Server,
    consuming: Vec<(Server, JoinHandle<()>)>,
    checker: Arc<Checker>,
    publisher: Publisher,
    acks: Acks,
    /// The consumers that there have been.
    added: usize,
}

impl Fleet {
    async fn start(publishing: Server, replicas: usize) -> Self {
        Self::start_acking(Acks::InOrder, publishing, replicas).await
    }

    async fn start_acking(acks: Acks, publishing: Server, replicas: usize) -> Self {
        let checker = Arc::<Checker>::default();
        let publisher = Publisher::start(&publishing, &checker);
        let mut fleet = Self {
            publishing,
            consuming: Vec::new(),
            checker,
            publisher,
            acks,
            added: 0,
        };
        for _ in 0..replicas {
            fleet.add().await;
        }
        let all_keys = async || (fleet.checker.published_so_far().len() as u64 == KEYS).then_some(());
        eventually(SOON, "events of every key", all_keys).await;
        fleet.progress(SOON).await;
        fleet
    }

    async fn add(&mut self) {
        let server = self.publishing.replica().await;
        let consumer = Consumer::new(self.added, Arc::clone(&self.checker), self.acks);
        let consumer = consume(&server, consumer);
        self.consuming.push((server, consumer));
        self.added += 1;
    }

    /// Waits until the replica that was added last has its share.
    async fn shares(&self) {
        let has_some = async || self.checker.is_served(self.added - 1).then_some(());
        eventually(SOON, "a delivery to the new replica", has_some).await;
    }

    /// Kills a replica, and says how long the others took to take over.
    async fn kill(&mut self, index: usize) -> Duration {
        let (mut server, consumer) = self.consuming.remove(index);
        server.kill().await;
        let took = self.progress(SESSION + LEEWAY).await;
        consumer.await.expect("the consumer ended well");
        self.checker.assert_no_fault();
        took
    }

    /// Waits until what is published from now on is delivered, of each key, and says how long that took.
    async fn progress(&self, within: Duration) -> Duration {
        let (published, started) = (self.checker.published_so_far(), Instant::now());
        let is_beyond = async || self.checker.is_beyond(&published).then_some(());
        eventually(within, "deliveries of every key", is_beyond).await;
        started.elapsed()
    }

    /// Everything that was published has been delivered, and nothing was wrong on the way.
    async fn finish(self) -> Counts {
        self.publisher.stop().await;
        let is_complete = async || self.checker.is_complete().then_some(());
        // Its own deadline would not say how much is missing.
        let complete = timeout(SOON, eventually(2 * SOON, "everything that was published", is_complete)).await;
        let counts = self.checker.counts();
        eprintln!("{counts}");
        assert!(complete.is_ok() && counts.lost == 0, "{counts}");
        self.checker.assert_no_fault();
        counts
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_killed_replicas_lose_nothing_and_the_others_take_over_in_time() {
    let mut fleet = Fleet::start(Server::start_with(CONFIG).await, 3).await;
    let mut longest = Duration::ZERO;
    for kill in 0..KILLS {
        longest = longest.max(fleet.kill(kill % 3).await);
        fleet.add().await;
    }
    eprintln!("{KILLS} kills, the others took over within {longest:?}");
    fleet.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_of_one_of_two_replicas_repeat_no_more_than_was_not_committed_yet_of_acks_out_of_order() {
    let server = Server::start_with(CONFIG).await;
    let mut fleet = Fleet::start_acking(Acks::OutOfOrder, server, 2).await;
    let mut longest = Duration::ZERO;
    for kill in 0..KILLS {
        fleet.shares().await;
        fleet.progress(SOON).await;
        longest = longest.max(fleet.kill(kill % 2).await);
        fleet.add().await;
    }
    eprintln!("{KILLS} kills, the other took over within {longest:?}");
    let counts = fleet.finish().await;
    assert_eq!(counts.out_of_order, 0);
    assert!(
        counts.most_of_one <= REPEATED && counts.oldest_ack <= REPEATED_FOR,
        "{counts}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_stopped_hands_over_at_once_and_nothing_comes_again() {
    let mut fleet = Fleet::start(Server::start_with(CONFIG).await, 2).await;
    for _ in 0..3 {
        let again = fleet.checker.again();
        let (mut server, consumer) = fleet.consuming.remove(0);
        assert!(server.stop().await.success());
        let took = fleet.progress(SESSION).await;
        consumer.await.expect("the consumer ended well");
        assert_eq!(
            fleet.checker.again(),
            again,
            "what was acked was committed before the hand-over"
        );
        eprintln!("handed over within {took:?}");
        fleet.add().await;
        fleet.progress(SOON).await;
    }
    fleet.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_frozen_past_its_session_moves_nothing_when_it_returns() {
    let mut fleet = Fleet::start(Server::start_with(CONFIG).await, 1).await;
    let frozen = fleet.publishing.replica().await;
    let mut stream = frozen.subscribe(load::group_with_credit(20)).await;
    let mut consumer = Consumer::new(usize::MAX, Arc::clone(&fleet.checker), Acks::InOrder);
    // All that the credit is for: nothing else is on its way when it is frozen.
    let held = stream.deliveries(20).await;
    consumer.saw(&held);
    frozen.signal(Signal::SIGSTOP);
    let took = fleet.progress(SESSION + LEEWAY).await;
    eprintln!("took over within {took:?}");
    frozen.signal(Signal::SIGCONT);
    stream.grant(1_000_000, 0);
    consumer.ack(&held, &stream);
    let stale = follow_until_stale(&mut stream, &mut consumer, &fleet.checker).await;
    assert!(stale, "late acks are answered STALE");
    // From here on it takes part again.
    let joined = fleet.publishing.replica().await;
    let returned = tokio::spawn(async move {
        while let Ok(Some(frame)) = stream.next().await {
            consumer.frame(frame, &stream);
        }
    });
    fleet.consuming.push((frozen, returned));
    fleet.consuming.push((joined, tokio::spawn(async {})));
    fleet.progress(SOON).await;
    fleet.finish().await;
}

/// Everything else that comes is handled as ever.
async fn follow_until_stale(stream: &mut Subscription, consumer: &mut Consumer, checker: &Checker) -> bool {
    while checker.stale_acks() == 0 {
        match stream.next().await {
            Ok(Some(frame)) => consumer.frame(frame, stream),
            end => panic!("the stream ended: {end:?}"),
        }
    }
    checker.stale_acks() > 0
}

/// Two that consume under load, five of three other groups, and three readers, on three replicas.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_outlive_half_a_minute_without_a_broker() {
    let mut broker = Broker::start(&[]).await;
    let fleet = Fleet::start(Server::start_on(&broker, CONFIG).await, 2).await;
    fleet.shares().await;
    let servers = [&fleet.publishing, &fleet.consuming[0].0, &fleet.consuming[1].0];
    witness::publish(servers[0]).await;
    let mut of_groups = Vec::new();
    for (group, server) in [("audit", 0), ("audit", 1), ("mail", 1), ("mail", 2), ("search", 2)] {
        of_groups.push(Witness::of_group(group, servers[server]).await);
    }
    let readers = join_all(servers.map(Witness::of_reader)).await;
    broker.stop().await;
    let have_heard = async || {
        assert!(
            of_groups.iter().chain(&readers).all(Witness::is_open),
            "no stream has ended"
        );
        // A heartbeat comes each second, to those who did not ask for it each ten.
        let is_told = of_groups.iter().all(|witness| witness.outages() >= 30)
            && readers.iter().all(|reader| reader.outages() >= 2)
            && (0..fleet.added).all(|consumer| fleet.checker.outages(consumer) >= 2);
        is_told.then_some(())
    };
    eventually(2 * LONG, "heartbeats without a broker on all streams", have_heard).await;
    let witnesses: Vec<&Witness> = of_groups.iter().chain(&readers).collect();
    let before: Vec<usize> = witnesses.iter().map(|witness| witness.events()).collect();
    broker.start_again().await;
    fleet.progress(SOON).await;
    let go_on = async || {
        // A replica that is back last has its partitions later than the others.
        witness::publish(servers[0]).await;
        let mut all = witnesses.iter().zip(&before);
        all.all(|(witness, before)| witness.events() > *before).then_some(())
    };
    eventually(SOON, "events on all streams", go_on).await;
    assert!(
        witnesses.iter().all(|witness| witness.is_open())
            && fleet.consuming.iter().all(|(_, consumer)| !consumer.is_finished()),
        "no stream has ended"
    );
    fleet.finish().await;
}

/// A membership that is given up while it comes to be must still be left in words: the session of these is three times what the
/// others are given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_stops_just_as_it_comes_holds_nobody_up() {
    let mut fleet = Fleet::start(Server::start_with("").await, 1).await;
    let mut longest = Duration::ZERO;
    for step in 0..24 {
        fleet.add().await;
        // The clock by which each stops a little later than the one before it.
        for _ in 0..step {
            fleet.progress(SOON).await;
        }
        let (mut server, consumer) = fleet.consuming.remove(1);
        let started = Instant::now();
        // Also one that is just opening its stream.
        let stopped = timeout(SESSION + LEEWAY, server.stop()).await;
        let status = stopped.expect("it stops without waiting for what will not come");
        assert!(status.success(), "{status}");
        longest = longest.max(started.elapsed() + fleet.progress(SESSION).await);
        consumer.await.expect("the consumer ended well");
    }
    eprintln!("stopped and taken over within {longest:?}");
    fleet.finish().await;
}
