//! Snapshots of replicas that share a Kafka and a store.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use tidings::proto::tidings::v1::{Cleanup, CreateSnapshotRequest, Snapshot, SnapshotState};
use tonic::Code;

use crate::{
    harness::{SOON, Server, clients::ORDERS, eventually, kafka::Broker, status::refused},
    state::{Store, create_topic, event, list, of_orders, publish_large, restore, show, snapshot, try_snapshot},
};

/// Of brokers that compact as soon as they can.
const EAGER: [&str; 3] = [
    "log.cleaner.backoff.ms=100",
    "log.cleaner.min.cleanable.ratio=0.01",
    "log.roll.ms=300",
];

fn request(id: &str) -> CreateSnapshotRequest {
    CreateSnapshotRequest {
        request_id: id.to_owned(),
        ..of_orders()
    }
}

#[tokio::test]
async fn what_one_replica_takes_all_restore_from() {
    let store = Store::new();
    let one = store.serve().await;
    let other = one.replica().await;
    create_topic(&one, 3, Cleanup::Delete).await;
    one.publish((0..30).map(|n| event(n, "created", &format!("k{}", n % 10))).collect())
        .await;
    let taken = snapshot(&one).await;
    assert_eq!(show(&other, &taken.name).await.expect("there"), taken);
    other.publish(vec![event(30, "deleted", "k3")]).await;
    let (here, there) = (restore(&one).await, restore(&other).await);
    assert_eq!((here.ids().len(), here.source()), (9, taken.name.as_str()));
    assert_eq!(there.ids(), here.ids());
    assert_eq!(snapshot(&other).await.base, taken.name);
}

#[tokio::test]
async fn of_replicas_that_are_asked_at_once_one_takes_the_snapshot() {
    let store = Store::new();
    let one = Server::start_with(&store.config("memory = \"4MiB\"")).await;
    let other = one.replica().await;
    create_topic(&one, 1, Cleanup::Delete).await;
    publish_large(&one, 15_000, 1_000).await;
    // The same call to both, as one who does not know whether the first got through.
    let same = join_all([&one, &other].map(|server| try_snapshot(server, request("same")))).await;
    let same: Vec<Snapshot> = same.into_iter().map(|taken| taken.expect("taken")).collect();
    assert_eq!(same[0], same[1]);
    // Two calls: one at least takes one, and who is refused is told which.
    let two = join_all([(&one, "a"), (&other, "b")].map(|(server, id)| try_snapshot(server, request(id)))).await;
    assert!(two.iter().any(Result::is_ok));
    for result in two {
        if result.is_err() {
            refused(result, Code::FailedPrecondition, "SNAPSHOT_ACTIVE");
        }
    }
    assert_eq!(restore(&other).await.ids().len(), 15_000);
}

#[tokio::test]
async fn a_replica_sees_what_another_takes_and_takes_over_when_it_is_dead() {
    let store = Store::new();
    let mut one = Server::start_with(&store.config("memory = \"4MiB\"")).await;
    let other = one.replica().await;
    create_topic(&one, 1, Cleanup::Delete).await;
    publish_large(&one, 25_000, 1_000).await;
    let mut client = crate::state::client(&one);
    let taking = tokio::spawn(async move { client.create_snapshot(request("first")).await });
    let active = eventually(SOON, "a snapshot that is being taken", async || {
        list(&other).await.pop()
    })
    .await;
    assert_eq!(active.state(), SnapshotState::Creating);
    one.kill().await;
    assert!(taking.await.expect("no panic").is_err());
    refused(
        try_snapshot(&other, request("second")).await,
        Code::FailedPrecondition,
        "SNAPSHOT_ACTIVE",
    );
    let taken = eventually(2 * SOON, "a snapshot", async || {
        try_snapshot(&other, request("third")).await.ok()
    })
    .await;
    assert_eq!((taken.keys, list(&other).await.len()), (25_000, 1));
    assert!(!store.of(&active).exists(), "what was left is removed");
}

#[tokio::test]
async fn of_replicas_with_a_schedule_one_takes_each_snapshot() {
    let store = Store::new();
    let config = store.config("keep = 0\n[[snapshots.schedule]]\ntopic = \"**.resource\"\ninterval = \"2s\"");
    let one = Server::start_with(&config).await;
    let _other = one.replica().await;
    create_topic(&one, 1, Cleanup::Delete).await;
    for round in 0..3 {
        one.publish(vec![event(round, "created", "a")]).await;
        eventually(SOON, "a snapshot of it", async || {
            (restore(&one).await.last().read_events == 0).then_some(())
        })
        .await;
    }
    // Of one state there is one snapshot.
    let listed = list(&one).await;
    let mut positions = Vec::new();
    for snapshot in &listed {
        positions.push(show(&one, &snapshot.name).await.expect("there").partitions[0].offset);
    }
    let mut once = positions.clone();
    once.dedup();
    assert_eq!(positions, once, "{listed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_compaction_has_left_of_a_topic_is_all_of_its_state() {
    let (broker, store) = (Broker::start(&EAGER).await, Store::new());
    let server = Server::start_at_brokers(broker.address(), &store.config("")).await;
    create_topic(&server, 1, Cleanup::Compact).await;
    let round = |first: usize| (first..first + 10).map(|n| event(n, "patched", &format!("k{}", n % 10)));
    for number in 0..20 {
        server.publish(round(number * 10).collect()).await;
    }
    server.publish(vec![event(200, "deleted", "k9")]).await;
    // Kafka compacts all but what it writes to, and begins a new file with a record that comes later.
    let last = AtomicUsize::new(200);
    eventually(2 * SOON, "compaction", async || {
        let next = last.fetch_add(1, Ordering::Relaxed) + 1;
        server.publish(vec![event(next, "patched", "k0")]).await;
        (server.read_all(ORDERS).await.len() < 50).then_some(())
    })
    .await;
    let newest = |n: usize| match n {
        0 => last.load(Ordering::Relaxed),
        n => 190 + n,
    };
    let expected: BTreeMap<String, String> = (0..9).map(|n| (format!("k{n}"), newest(n).to_string())).collect();
    let restored = restore(&server).await;
    assert_eq!(restored.ids(), expected);
    assert_eq!(restored.last().percent, 100.0);
    assert_eq!(snapshot(&server).await.keys, 9);
    let from_snapshot = restore(&server).await;
    assert_eq!((from_snapshot.ids(), from_snapshot.last().read_events), (expected, 0));
}
