//! Dead letters that cannot be written: the event stays in flight until they can.

use std::time::Duration;

use tidings::proto::tidings::v1::{
    Action, DeadLetterState, Delivery, GetGroupRequest, Nack, Open, subscribe_request::Frame as Sent,
};

use super::{
    brokers,
    faults::{ACLS, allow_only},
};
use crate::{
    dead_letters::letters::GROUP,
    harness::{
        SOON, Server,
        clients::{ids, open, order},
        eventually,
        kafka::Broker,
    },
};

async fn committed(server: &Server) -> i64 {
    let group = GROUP.to_owned();
    let group = server.groups().get_group(GetGroupRequest { group }).await;
    let group = group.expect("the group").into_inner().group.expect("a group");
    group.partitions.iter().filter_map(|row| row.committed).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_dead_letter_cannot_be_written_its_offset_stays_its_key_waits_and_others_go_on() {
    let broker = Broker::shared().await;
    let server = Server::start_on(broker, "[topics]\nauto_create = true\ndefault_partitions = 1\n").await;
    let topic = format!("{}tidings.dead-letters.{GROUP}", server.prefix());
    brokers::create(&topic, broker).await;
    brokers::limit(&topic, 100, broker).await;
    server
        .publish(vec![order("a1", "a"), order("a2", "a"), order("b1", "b")])
        .await;
    let mut stream = server.subscribe(watched()).await;
    let got = stream.deliveries(2).await;
    assert_eq!(ids(&got), ["a1", "b1"]);
    stream.send(to_dead_letters(&got[0]));
    stream.ack(&got[1..]);
    server.logged("cannot write a dead letter, trying again").await;
    let oldest = stream.heartbeat().await.oldest.expect("the event that is stuck");
    assert_eq!(oldest.position.expect("a position").offset, 0);
    assert_eq!((server.states().await, committed(&server).await), (vec![], 0));
    brokers::limit(&topic, 1_000_000, broker).await;
    let next = stream.deliveries(1).await;
    assert_eq!(ids(&next), ["a2"], "the key goes on once the letter is there");
    let states: Vec<DeadLetterState> = server.states().await.into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, [DeadLetterState::Parked]);
    stream.ack(&next);
    let moved = async || (committed(&server).await == 3).then_some(());
    eventually(SOON, "the offset behind all of them", moved).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_acls_deny_the_dead_letter_topic_the_event_stays_and_is_a_dead_letter_once_they_allow_it() {
    let broker = Broker::start(&ACLS).await;
    let server = Server::start_on(&broker, "[topics]\nauto_create = true\ndefault_partitions = 1\n").await;
    let topic = format!("{}tidings.dead-letters.{GROUP}", server.prefix());
    brokers::create(&topic, &broker).await;
    allow_only(&broker, ("--topic", &topic), &["Describe", "Read"]).await;
    server
        .publish(vec![order("a1", "a"), order("a2", "a"), order("b1", "b")])
        .await;
    let mut stream = server.subscribe(watched()).await;
    let got = stream.deliveries(2).await;
    stream.send(to_dead_letters(&got[0]));
    stream.ack(&got[1..]);
    let told = server.logged("cannot write a dead letter, trying again").await;
    let error = told["error"].as_str().expect("the error").to_owned();
    assert!(
        error.contains("dead-letters") && error.contains("uthorization"),
        "{error}"
    );
    // It is tried again and again, and denied each time.
    for _ in 0..3 {
        let oldest = stream.heartbeat().await.oldest.expect("the event that is stuck");
        assert_eq!(oldest.position.expect("a position").offset, 0);
    }
    assert_eq!((server.states().await, committed(&server).await), (vec![], 0));
    // Nor is anything lost by a restart: it comes again, and is given up again.
    drop(stream);
    let server = server.restart().await;
    let mut stream = server.subscribe(watched()).await;
    let again = stream.deliveries(1).await;
    assert_eq!(ids(&again), ["a1"]);
    stream.send(to_dead_letters(&again[0]));
    server.logged("cannot write a dead letter, trying again").await;
    allow_only(&broker, ("--topic", &topic), &["Write"]).await;
    let next = stream.deliveries(1).await;
    assert_eq!(ids(&next), ["a2"], "the key goes on once the letter is there");
    let states: Vec<DeadLetterState> = server.states().await.into_iter().map(|(_, state)| state).collect();
    assert_eq!(states, [DeadLetterState::Parked]);
    stream.ack(&next);
    let moved = async || (committed(&server).await == 3).then_some(());
    eventually(SOON, "the offset behind all of them", moved).await;
}

/// Has a heartbeat each second.
fn watched() -> Open {
    Open {
        heartbeat_interval: prost_types::Duration::try_from(Duration::from_secs(1)).ok(),
        ..open(GROUP)
    }
}

fn to_dead_letters(delivery: &Delivery) -> Sent {
    Sent::Nack(Nack {
        delivery_ids: vec![delivery.id],
        action: Action::DeadLetter.into(),
        ..Default::default()
    })
}
