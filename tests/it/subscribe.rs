//! Subscribing in groups: delivery, acks, order, streams that come and go.

use tidings::proto::tidings::v1::{Ack, Nack, subscribe_request::Frame as Sent, subscribe_response::Frame};

use crate::harness::{
    Server,
    clients::{open, order},
};

#[tokio::test]
async fn a_subscriber_that_comes_back_resumes_after_its_last_ack() {
    let server = Server::start().await;
    server
        .publish((0..10).map(|n| order(&n.to_string(), "a")).collect())
        .await;
    let mut first = server.subscribe(open("group")).await;
    assert!(first.opened.group_created);
    for n in 0..4 {
        let got = first.deliveries(1).await;
        assert_eq!(got[0].event.as_ref().expect("an event").id, n.to_string());
        first.ack(&got);
    }
    first.close().await;
    let mut second = server.subscribe(open("group")).await;
    assert!(!second.opened.group_created);
    let got = second.deliveries(1).await;
    assert_eq!(got[0].event.as_ref().expect("an event").id, "4");
}

#[tokio::test]
async fn a_nacked_event_comes_again_after_its_delay_and_only_its_key_waits() {
    let server = Server::start().await;
    server
        .publish(vec![order("1", "a"), order("2", "a"), order("3", "b")])
        .await;
    let mut stream = server.subscribe(open("group")).await;
    let mut got = stream.deliveries(2).await;
    got.sort_by_key(|delivery| delivery.event.as_ref().map(|event| event.id.clone()));
    let ids: Vec<_> = got
        .iter()
        .map(|delivery| delivery.event.clone().expect("an event").id)
        .collect();
    assert_eq!(ids, ["1", "3"]);
    stream.send(Sent::Nack(Nack {
        delivery_ids: vec![got[0].id],
        delay: Some(prost_types::Duration {
            seconds: 0,
            nanos: 50_000_000,
        }),
        ..Default::default()
    }));
    stream.ack(&got[1..]);
    let again = stream.deliveries(1).await;
    assert_eq!(again[0].event.as_ref().expect("an event").id, "1");
    assert_eq!((again[0].attempt, again[0].failures), (2, 1));
    stream.ack(&again);
    let next = stream.deliveries(1).await;
    assert_eq!(next[0].event.as_ref().expect("an event").id, "2");
}

#[tokio::test]
async fn an_ack_with_a_sequence_is_answered_once_it_is_committed() {
    let server = Server::start().await;
    server.publish(vec![order("1", "a")]).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(1).await;
    stream.send(Sent::Ack(Ack {
        delivery_ids: vec![got[0].id],
        sequence: 7,
        ..Default::default()
    }));
    loop {
        if let Some(Frame::AckResult(result)) = stream.next().await.expect("open") {
            assert_eq!((result.sequence, result.committed, result.faults.len()), (7, true, 0));
            break;
        }
    }
}

#[tokio::test]
async fn streams_of_a_group_share_the_events_and_what_one_leaves_the_other_gets() {
    let server = Server::start().await;
    let (mut a, mut b) = (
        server.subscribe(open("group")).await,
        server.subscribe(open("group")).await,
    );
    server
        .publish((0..10).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let (from_a, from_b) = (a.deliveries(5).await, b.deliveries(5).await);
    assert!(from_a.iter().chain(&from_b).all(|delivery| delivery.attempt == 1));
    b.ack(&from_b);
    drop(a);
    let again = b.deliveries(5).await;
    assert!(again.iter().all(|delivery| delivery.attempt == 2));
}
