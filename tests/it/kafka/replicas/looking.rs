//! Looking at groups through a replica that does not serve them.

use std::time::Duration;

use futures_util::StreamExt as _;
use tidings::{
    log::{Log as _, LogTime, TopicPartition},
    name::Topic,
    proto::tidings::v1::{GetGroupRequest, Group, ListGroupsRequest, Open, State},
};

use super::{CONFIG, SESSION};
use crate::harness::{
    SOON, Server, backend,
    clients::{Subscription, open, order},
    eventually,
    kafka::Broker,
};

/// A replica that gives no sign of life is not believed for longer.
const BELIEVED: Duration = Duration::from_secs(15);

async fn group(server: &Server) -> Group {
    let request = GetGroupRequest {
        group: "group".to_owned(),
    };
    let got = server.groups().get_group(request).await.expect("the group");
    got.into_inner().group.expect("a group")
}

async fn listed(server: &Server) -> Group {
    let listed = server.groups().list_groups(ListGroupsRequest::default()).await;
    listed.expect("the groups").into_inner().groups.remove(0)
}

async fn stream(server: &Server, client_id: &str) -> Subscription {
    let open = Open {
        client_id: client_id.to_owned(),
        ..open("group")
    };
    server.subscribe(open).await
}

fn millis(time: Option<prost_types::Timestamp>) -> i64 {
    let time = time.expect("a time");
    time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000
}

fn outstanding(group: &Group) -> i64 {
    group.partitions.iter().map(|row| row.outstanding).sum()
}

/// Clients and replicas of the streams.
fn streams(group: &Group) -> Vec<(&str, &str)> {
    let streams = group.open_streams.iter();
    let mut streams: Vec<_> = streams
        .map(|stream| (stream.client_id.as_str(), stream.replica_id.as_str()))
        .collect();
    streams.sort_unstable();
    streams
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_replica_answers_for_all_and_those_that_stop_or_die_are_forgotten() {
    let drain = "[server]\ndrain_timeout = \"500ms\"\n[topics]\ndefault_partitions = 4\n";
    let mut one = Server::start_with(&format!("{drain}{CONFIG}")).await;
    let (mut two, idle) = (one.replica().await, one.replica().await);
    one.publish((0..40).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let (mut first, mut second) = (stream(&one, "first").await, stream(&two, "second").await);
    let ids = (first.opened.replica_id.clone(), second.opened.replica_id.clone());
    let both = [("first", ids.0.as_str()), ("second", ids.1.as_str())];
    first.at_least(1).await;
    second.at_least(1).await;
    eventually(SOON, "all of it through the third", || async {
        let seen = group(&idle).await;
        let owners = |id: &str| seen.partitions.iter().filter(|row| row.owner_replica_id == id).count();
        let is_told = outstanding(&seen) == 40 && seen.partitions.iter().all(|row| row.oldest.is_some());
        let is_all = streams(&seen) == both && owners(&ids.0) == 2 && owners(&ids.1) == 2;
        (is_all && is_told && (seen.members, seen.streams) == (2, 2)).then_some(())
    })
    .await;
    for server in [&one, &two, &idle] {
        let listed = listed(server).await;
        let seen = (listed.state(), listed.members, listed.streams, listed.partitions.len());
        assert_eq!(seen, (State::Active, 2, 2, 0));
    }
    assert!(two.stop().await.success());
    eventually(SESSION + SOON, "what the first has alone", || async {
        let seen = group(&idle).await;
        let has_all = seen.partitions.iter().all(|row| row.owner_replica_id == ids.0);
        (streams(&seen) == both[..1] && has_all && seen.members == 1).then_some(())
    })
    .await;
    one.kill().await;
    eventually(BELIEVED + SOON, "a group without streams", || async {
        let seen = group(&idle).await;
        let is_empty = seen.partitions.iter().all(|row| row.owner_replica_id.is_empty());
        (is_empty && (seen.state(), seen.members, seen.streams) == (State::Empty, 0, 0)).then_some(())
    })
    .await;
}

/// What was kept of the group is older than what it had committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_says_since_when_it_is_so_and_knows_soon_what_a_replica_that_died_had_committed() {
    let mut one = Server::start_with(CONFIG).await;
    let two = one.replica().await;
    one.publish((0..10).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let mut stream = stream(&one, "").await;
    let got = stream.deliveries(10).await;
    stream.ack(&got);
    eventually(SOON, "the commit", || async {
        (group(&two).await.lag_events == 0).then_some(())
    })
    .await;
    one.kill().await;
    let before = LogTime::now();
    let caught_up = eventually(BELIEVED + SOON, "a group that nobody serves", || async {
        let seen = listed(&two).await;
        (seen.state() == State::Empty && seen.lag_events == 0).then_some(seen)
    })
    .await;
    assert!(millis(caught_up.observe_time) >= before.0, "asked since: {caught_up:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_groups_writes_nothing_and_one_with_idle_groups_only_that_it_lives() {
    let server = Server::start().await;
    let _idle = server.replica().await;
    server.publish(vec![order("1", "a")]).await;
    let stream = stream(&server, "").await;
    let replica_id = &stream.opened.replica_id;
    let log = backend::open_kafka(Broker::shared().await.address(), server.prefix()).await;
    let control = TopicPartition {
        topic: Topic::new("tidings.control").expect("valid"),
        partition: 0,
    };
    let is_there = || async { log.partitions(&control.topic).await.expect("an answer") };
    eventually(SOON, "the topic", is_there).await;
    let (mut reader, mut keys) = (log.read(&control, 0, None), Vec::<String>::new());
    let sign = format!("seen/{replica_id}");
    // At most the first of them has news of the group beside it.
    while keys.iter().filter(|key| **key == sign).count() < 4 {
        let batch = reader.next().await.expect("more").expect("a batch");
        let all = batch.records.iter().filter_map(|record| record.key.clone());
        keys.extend(all.map(|key| String::from_utf8(key.to_vec()).expect("text")));
        // Where the group began is kept too.
        keys.retain(|key| !key.starts_with("stands/group/"));
    }
    assert!(keys.iter().all(|key| key.starts_with(&sign)), "{keys:?}");
    assert!(keys.iter().filter(|key| **key != sign).count() <= 2, "{keys:?}");
    log.close().await;
}
