//! Acks: what they settle, what becomes of wrong ones, when they are committed, and how streams end.

mod twice;

use std::collections::HashSet;

use tidings::proto::tidings::v1::{
    Ack, AckResult, Close, CreateTopicRequest, Delivery, DeliveryRange, GetGroupRequest, Nack, Reason, TopicSettings,
    subscribe_request::Frame as Sent,
};

use crate::harness::{
    SOON, Server,
    clients::{ORDERS, Subscription, ids, open, order},
    eventually,
};

/// A server with so many events, each with a key of its own, in one partition.
async fn with_events(count: usize) -> Server {
    let server = Server::start().await;
    let settings = TopicSettings {
        partitions: Some(1),
        ..Default::default()
    };
    let request = CreateTopicRequest {
        name: ORDERS.to_owned(),
        settings: Some(settings),
    };
    server.topics().create_topic(request).await.expect("create the topic");
    server
        .publish((0..count).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    server
}

async fn committed(server: &Server) -> i64 {
    let request = GetGroupRequest {
        group: "group".to_owned(),
    };
    let group = server
        .groups()
        .get_group(request)
        .await
        .expect("the group")
        .into_inner()
        .group;
    group
        .expect("a group")
        .partitions
        .iter()
        .filter_map(|row| row.committed)
        .sum()
}

async fn ack(stream: &mut Subscription, ids: &[u64]) -> AckResult {
    stream.send(Sent::Ack(Ack {
        delivery_ids: ids.to_vec(),
        sequence: 1,
        ..Default::default()
    }));
    stream.ack_result().await
}

fn faults(result: &AckResult) -> Vec<(u64, u64, Reason)> {
    let fault = |fault: &tidings::proto::tidings::v1::AckFault| {
        let ids = fault.ids.expect("ids");
        (ids.first, ids.last, fault.reason())
    };
    result.faults.iter().map(fault).collect()
}

#[tokio::test]
async fn ids_are_below_2_to_the_53_and_new_with_each_sending() {
    let server = with_events(20).await;
    let mut stream = server.subscribe(open("group")).await;
    let mut seen = HashSet::new();
    for attempt in 1..=3 {
        let got = stream.deliveries(20).await;
        assert!(
            got.iter()
                .all(|delivery| delivery.attempt == attempt && delivery.id < 1 << 53)
        );
        assert!(got.iter().all(|delivery| seen.insert(delivery.id)), "an id came twice");
        nack_now(&stream, &got);
    }
}

#[tokio::test]
async fn wrong_ids_are_answered_and_the_stream_goes_on() {
    let server = with_events(4).await;
    let (mut stream, mut other) = (
        server.subscribe(open("group")).await,
        server.subscribe(open("other")).await,
    );
    let (own, foreign) = (stream.deliveries(4).await, other.deliveries(4).await);
    let result = ack(&mut stream, &[own[0].id]).await;
    assert_eq!((result.sequence, result.committed, faults(&result).len()), (1, true, 0));
    for (id, reason) in [
        (own[0].id, Reason::Settled),
        (foreign[1].id, Reason::Unknown),
        (own[3].id + 1, Reason::Unknown),
        (0, Reason::Unknown),
        (u64::MAX, Reason::Unknown),
    ] {
        let result = ack(&mut stream, &[id]).await;
        assert_eq!(faults(&result), [(id, id, reason)]);
    }
    let mixed = ack(&mut stream, &[own[0].id, own[1].id, 5]).await;
    let reasons: HashSet<_> = faults(&mixed).into_iter().map(|(.., reason)| reason).collect();
    assert_eq!(reasons, HashSet::from([Reason::Settled, Reason::Unknown]));
    stream.ack(&own[2..]);
    stream.close().await;
    assert_eq!(
        committed(&server).await,
        4,
        "the wrong acks took nothing from the others"
    );
}

#[tokio::test]
async fn wrong_ids_are_answered_without_a_sequence_too_and_right_ones_are_not() {
    let server = with_events(2).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(2).await;
    stream.ack(&got[..1]);
    stream.ack(&got[..1]);
    let result = stream.ack_result().await;
    assert_eq!(
        (result.sequence, faults(&result)),
        (0, vec![(got[0].id, got[0].id, Reason::Settled)])
    );
}

#[tokio::test]
async fn a_range_settles_what_is_outstanding_in_it() {
    let server = with_events(10).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(10).await;
    ack(&mut stream, &[got[4].id]).await;
    let range = |first: u64, last: u64| {
        Sent::Ack(Ack {
            ranges: vec![DeliveryRange { first, last }],
            sequence: 9,
            ..Default::default()
        })
    };
    stream.send(range(got[0].id, got[9].id));
    let result = stream.ack_result().await;
    assert_eq!((result.committed, faults(&result).len()), (true, 0));
    assert_eq!(committed(&server).await, 10);
    for (first, last) in [(got[9].id + 10, got[9].id + 20), (got[3].id, got[1].id), (0, 0)] {
        stream.send(range(first, last));
        assert_eq!(faults(&stream.ack_result().await), [(first, last, Reason::Unknown)]);
    }
}

#[tokio::test]
async fn an_ack_out_of_order_is_committed_and_moves_the_offset_only_when_everything_before_is_settled() {
    let server = with_events(5).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(5).await;
    let early = ack(&mut stream, &[got[1].id, got[2].id, got[4].id]).await;
    assert_eq!((early.committed, committed(&server).await), (true, 0));
    assert!(ack(&mut stream, &[got[0].id]).await.committed);
    assert_eq!(committed(&server).await, 3);
    assert!(ack(&mut stream, &[got[3].id]).await.committed);
    assert_eq!(committed(&server).await, 5);
}

#[tokio::test]
async fn a_nack_with_a_sequence_is_answered() {
    let server = with_events(1).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(1).await;
    stream.send(Sent::Nack(Nack {
        ranges: vec![DeliveryRange {
            first: got[0].id,
            last: got[0].id,
        }],
        sequence: 4,
        ..Default::default()
    }));
    let result = stream.ack_result().await;
    assert_eq!((result.sequence, result.faults.len()), (4, 0));
    // The policy's delay, a second, and it comes again.
    assert_eq!(stream.deliveries(1).await[0].failures, 1);
}

#[tokio::test]
async fn acks_are_committed_after_a_while_without_being_asked_for() {
    let server = with_events(3).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(3).await;
    stream.ack(&got);
    let group = &server;
    eventually(SOON, "the commit", || async move {
        (committed(group).await == 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn after_close_nothing_comes_and_acks_count_until_the_stream_ends_ok() {
    let server = with_events(10).await;
    let mut stream = server
        .subscribe(tidings::proto::tidings::v1::Open {
            credit: Some(tidings::proto::tidings::v1::Credit { events: 5, bytes: 0 }),
            ..open("group")
        })
        .await;
    let got = stream.deliveries(5).await;
    stream.send(Sent::Close(Close {}));
    stream.grant(100, 0);
    assert!(ack(&mut stream, &[got[0].id]).await.committed);
    stream.ack(&got[1..4]);
    stream.half_close();
    loop {
        match stream.next().await {
            Ok(Some(tidings::proto::tidings::v1::subscribe_response::Frame::Deliveries(more))) => panic!("{more:?}"),
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(status) => panic!("{status:?}"),
        }
    }
    assert_eq!(committed(&server).await, 4);
    let again = server.subscribe(open("group")).await.deliveries(6).await;
    assert_eq!(ids(&again)[0], "4");
    assert_eq!(
        again.iter().map(|delivery| delivery.attempt).collect::<Vec<_>>()[1..],
        [1; 5]
    );
}

#[tokio::test]
async fn half_closing_gives_what_is_not_acked_to_the_other_streams_with_the_next_attempt() {
    let server = with_events(10).await;
    let mut leaving = server.subscribe(open("group")).await;
    let got = leaving.deliveries(10).await;
    let mut staying = server.subscribe(open("group")).await;
    leaving.ack(&got[..3]);
    leaving.half_close();
    leaving.end().await.expect("OK");
    assert_eq!(committed(&server).await, 3);
    let rest = staying.deliveries(7).await;
    assert!(
        rest.iter()
            .all(|delivery| (delivery.attempt, delivery.failures) == (2, 0))
    );
    assert_eq!(ids(&rest), (3..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_cancelled_stream_gives_what_it_had_to_the_others() {
    let server = with_events(10).await;
    let mut cancelled = server.subscribe(open("group")).await;
    cancelled.deliveries(10).await;
    let mut other = server.subscribe(open("group")).await;
    drop(cancelled);
    assert!(other.deliveries(10).await.iter().all(|delivery| delivery.attempt == 2));
}

#[tokio::test]
async fn what_was_acked_and_committed_does_not_come_again_after_kill_9() {
    let mut server = with_events(100).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(100).await;
    let acked: Vec<u64> = got[..60].iter().map(|delivery| delivery.id).collect();
    assert!(ack(&mut stream, &acked).await.committed);
    server.kill().await;
    let server = server.restart().await;
    let mut stream = server.subscribe(open("group")).await;
    assert!(!stream.opened.group_created);
    assert_eq!(ids(&stream.deliveries(40).await), ids(&got[60..]));
}

fn nack_now(stream: &Subscription, deliveries: &[Delivery]) {
    stream.send(Sent::Nack(Nack {
        delivery_ids: deliveries.iter().map(|delivery| delivery.id).collect(),
        delay: Some(prost_types::Duration { seconds: 0, nanos: 0 }),
        ..Default::default()
    }));
}
