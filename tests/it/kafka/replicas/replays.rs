//! Replays to a group on two replicas, one of which is killed in the midst of it.

use std::collections::HashSet;

use tidings::proto::tidings::v1::{Delivery, GroupPartition, ReplayState, StartReplayRequest, StopReplayRequest};
use tokio::time::{Duration, Instant, timeout};

use super::CONFIG;
use crate::{
    harness::{
        SOON, Server,
        clients::{Subscription, open, open_with_credit},
        eventually,
    },
    replays::{done, everything, show, start, try_start, until},
    resets::{ack, committed, create, group, publish},
};

const EVENTS: usize = 120;
const PARTITIONS: i32 = 8;

/// Two replicas of a group that has acked everything, each with four of its partitions.
async fn pair() -> [(Server, Subscription); 2] {
    let first = Server::start_with(CONFIG).await;
    create(&first, PARTITIONS).await;
    publish(&first, 0..EVENTS).await;
    let mut stream = first.subscribe(open("group")).await;
    let all = stream.deliveries(EVENTS).await;
    assert_eq!(ack(&mut stream, &all).await, []);
    stream.close().await;
    let second = first.replica().await;
    let one = first.subscribe(open_with_credit("group", 10)).await;
    let other = second.subscribe(open_with_credit("group", 10)).await;
    let pair = [(first, one), (second, other)];
    let shared = async || {
        for (server, stream) in &pair {
            let rows = group(server).await.partitions;
            let is_own = |row: &&GroupPartition| row.owner_replica_id == stream.opened.replica_id;
            if rows.iter().filter(is_own).count() != 4 {
                return None;
            }
        }
        Some(())
    };
    eventually(SOON, "each replica to have its share", shared).await;
    pair
}

fn ids_of(deliveries: &[Delivery], seen: &mut HashSet<String>) {
    for delivery in deliveries {
        seen.insert(delivery.event.as_ref().expect("an event").id.clone());
    }
}

async fn take(stream: &mut Subscription) -> Vec<Delivery> {
    let some = timeout(Duration::from_millis(200), stream.at_least(1)).await;
    some.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_replica_replays_its_partitions_and_one_that_is_killed_leaves_nothing_out() {
    let [(first, mut one), (mut second, mut other)] = pair().await;
    let replay = start(&second, everything()).await;
    assert_eq!(replay.partitions.len(), 8);
    let mut seen = HashSet::new();
    for stream in [&mut one, &mut other] {
        let got = stream.deliveries(10).await;
        assert!(got.iter().all(|delivery| delivery.replay_id == replay.id));
        ids_of(&got[..5], &mut seen);
        ack(stream, &got[..5]).await;
        if seen.len() == 5 {
            ids_of(&got[5..], &mut seen);
            ack(stream, &got[5..]).await;
        }
    }
    // Any replica answers for both.
    until(&first, &replay.id, "both to have told", |replay| replay.acked == 15).await;
    second.kill().await;
    let started = Instant::now();
    while show(&first, &replay.id).await.state() == ReplayState::Running {
        assert!(started.elapsed() < 3 * SOON, "{:?}", show(&first, &replay.id).await);
        one.grant(10, 0);
        let got = take(&mut one).await;
        assert!(got.iter().all(|delivery| delivery.replay_id == replay.id));
        ids_of(&got, &mut seen);
        one.ack(&got);
    }
    let over = done(&first, &replay.id).await;
    assert_eq!(seen.len(), EVENTS, "nothing is left out");
    assert!(over.acked >= EVENTS as i64 && over.gone == 0, "{over:?}");
    assert_eq!(committed(&first).await, EVENTS as i64);
    drop(other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_start_one_at_once_one_holds_and_any_replica_stops_it() {
    let [(first, mut one), (second, mut other)] = pair().await;
    let (this, that) = tokio::join!(try_start(&first, everything()), try_start(&second, everything()));
    let (held, refused) = match (this, that) {
        (Ok(held), Err(refused)) | (Err(refused), Ok(held)) => (held, refused),
        both => panic!("one of them holds: {both:?}"),
    };
    assert_eq!(crate::harness::status::resource(&refused), held.id);
    for stream in [&mut one, &mut other] {
        assert!(
            stream
                .deliveries(10)
                .await
                .iter()
                .all(|delivery| delivery.replay_id == held.id)
        );
    }
    let request = StopReplayRequest {
        replay_id: held.id.clone(),
        reason: "enough".to_owned(),
        request_id: String::new(),
    };
    second.replays().stop_replay(request).await.expect("stop it");
    // Each has heard of it by the time that another one runs.
    let next = start(&first, everything()).await;
    for stream in [&mut one, &mut other] {
        stream.grant(1, 0);
        let got = stream.deliveries(1).await;
        assert!([&held.id, &next.id].contains(&&got[0].replay_id));
    }
    assert_eq!(show(&second, &held.id).await.state(), ReplayState::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_is_shared_by_the_replicas() {
    let [(first, mut one), (_second, mut other)] = pair().await;
    one.grant(100, 0);
    other.grant(100, 0);
    let request = StartReplayRequest {
        max_events_per_second: 40.0,
        ..everything()
    };
    let replay = start(&first, request).await;
    let began = Instant::now();
    let mut got = 0;
    while got < EVENTS {
        for stream in [&mut one, &mut other] {
            let some = take(stream).await;
            got += some.len();
            stream.ack(&some);
        }
    }
    // Four at once, two of each replica, then one each 25 ms.
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(2_500), "{EVENTS} events in {took:?}");
    done(&first, &replay.id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_move_are_replayed_on_where_they_stand() {
    let first = Server::start_with(CONFIG).await;
    create(&first, PARTITIONS).await;
    publish(&first, 0..EVENTS).await;
    let mut one = first.subscribe(open("group")).await;
    let all = one.deliveries(EVENTS).await;
    assert_eq!(ack(&mut one, &all).await, []);
    one.close().await;
    let mut one = first.subscribe(open_with_credit("group", 40)).await;
    let replay = start(&first, everything()).await;
    let got = one.deliveries(40).await;
    assert_eq!(ack(&mut one, &got).await, []);
    let second = first.replica().await;
    let mut other = second.subscribe(open_with_credit("group", 0)).await;
    let shared = async || {
        let rows = group(&first).await.partitions;
        let is_moved = |row: &&GroupPartition| row.owner_replica_id == other.opened.replica_id;
        (rows.iter().filter(is_moved).count() == 4).then_some(())
    };
    eventually(SOON, "the other replica to have its share", shared).await;
    let mut seen = HashSet::new();
    ids_of(&got, &mut seen);
    let began = Instant::now();
    while show(&second, &replay.id).await.state() == ReplayState::Running {
        assert!(began.elapsed() < 3 * SOON, "{:?}", show(&second, &replay.id).await);
        for stream in [&mut one, &mut other] {
            stream.grant(10, 0);
            let got = take(stream).await;
            ids_of(&got, &mut seen);
            stream.ack(&got);
        }
    }
    let over = done(&first, &replay.id).await;
    assert_eq!(seen.len(), EVENTS);
    assert_eq!(
        (over.sent, over.acked),
        (EVENTS as i64, EVENTS as i64),
        "nothing was repeated"
    );
}
