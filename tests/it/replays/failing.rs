//! Replayed events that fail: tried again as live ones are, then counted, and never made dead letters of.

use tidings::{
    log::{HeadersBuilder, Log, NewRecord},
    name::Topic,
    proto::tidings::v1::{
        Action, DeadLetterFilter, Delivery, Nack, Open, Reason, Retry, StartReplayRequest, Undecodable,
        subscribe_request::Frame as Sent,
    },
};

use super::{catch_up, done, everything, replay_ids, start};
use crate::{
    dead_letters::letters::{GROUP, discard},
    harness::{
        Server,
        clients::{ORDERS, ids, open, order},
    },
    resets::{ack, create, publish, with_events},
};

fn nack(delivery: &Delivery, action: Action) -> Sent {
    Sent::Nack(Nack {
        delivery_ids: vec![delivery.id],
        action: action.into(),
        delay: (action == Action::Retry).then(prost_types::Duration::default),
        reason: "a test".to_owned(),
        ..Default::default()
    })
}

fn twice(group: &str) -> Open {
    Open {
        retry: Some(Retry {
            max_attempts: Some(2),
            ..Default::default()
        }),
        ..open(group)
    }
}

#[tokio::test]
async fn a_failure_is_tried_again_with_its_mark_and_one_that_fails_for_good_is_no_dead_letter() {
    let server = with_events(4).await;
    let mut stream = server.subscribe(twice(GROUP)).await;
    let got = stream.deliveries(4).await;
    ack(&mut stream, &got).await;
    let request = StartReplayRequest {
        group: GROUP.to_owned(),
        ..everything()
    };
    let replay = start(&server, request).await;
    let again = stream.deliveries(4).await;
    stream.send(nack(&again[0], Action::Retry));
    stream.send(nack(&again[1], Action::Retry));
    stream.send(nack(&again[2], Action::DeadLetter));
    let retried = stream.deliveries(2).await;
    assert_eq!(replay_ids(&retried), [replay.id.as_str(); 2]);
    assert!(
        retried
            .iter()
            .all(|delivery| (delivery.attempt, delivery.failures) == (2, 1))
    );
    stream.send(nack(&retried[0], Action::Retry));
    ack(&mut stream, &[again[3].clone(), retried[1].clone()]).await;
    let over = done(&server, &replay.id).await;
    assert_eq!((over.sent, over.acked, over.failed), (6, 2, 2));
    assert!(server.letters(DeadLetterFilter::default()).await.is_empty());
}

#[tokio::test]
async fn a_stream_that_breaks_has_its_replayed_events_go_to_another() {
    let server = with_events(6).await;
    let mut one = catch_up(&server, 6).await;
    let replay = start(&server, everything()).await;
    let out = one.deliveries(6).await;
    ack(&mut one, &out[..2]).await;
    drop(one);
    let mut other = server.subscribe(open("group")).await;
    let rest = other.deliveries(4).await;
    assert!(
        rest.iter()
            .all(|delivery| delivery.attempt == 2 && delivery.replay_id == replay.id)
    );
    ack(&mut other, &rest).await;
    assert_eq!(done(&server, &replay.id).await.acked, 6);
}

#[tokio::test]
async fn a_lease_that_is_over_gives_a_replayed_event_to_another_stream() {
    let server = with_events(3).await;
    catch_up(&server, 3).await.close().await;
    let short = Open {
        lease: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..open("group")
    };
    let replay = start(&server, everything()).await;
    let mut one = server.subscribe(short).await;
    let out = one.deliveries(3).await;
    let mut other = server.subscribe(open("group")).await;
    let again = other.deliveries(3).await;
    assert!(
        again
            .iter()
            .all(|delivery| (delivery.failures, &delivery.replay_id) == (1, &replay.id))
    );
    // Too late.
    assert_eq!(ack(&mut one, &out).await, [Reason::Expired; 3]);
    ack(&mut other, &again).await;
    let over = done(&server, &replay.id).await;
    assert_eq!((over.sent, over.acked), (6, 3));
}

#[tokio::test]
async fn events_of_a_quarantined_key_are_passed_over() {
    let server = Server::start_with("[delivery]\nafter_dead_letter = 'quarantine'\n").await;
    create(&server, 1).await;
    let events = ["a1", "b1", "a2"].map(|id| order(id, &id[..1]));
    server.publish(events.to_vec()).await;
    let mut stream = server.subscribe(open(GROUP)).await;
    let got = stream.deliveries(2).await;
    assert_eq!(ids(&got), ["a1", "b1"]);
    stream.send(nack(&got[0], Action::DeadLetter));
    ack(&mut stream, &got[1..]).await;
    let all = async || (server.states().await.len() == 2).then_some(());
    crate::harness::eventually(crate::harness::SOON, "both dead letters", all).await;
    let request = StartReplayRequest {
        group: GROUP.to_owned(),
        ..everything()
    };
    let replay = start(&server, request.clone()).await;
    let again = stream.deliveries(1).await;
    assert_eq!(ids(&again), ["b1"]);
    ack(&mut stream, &again).await;
    let over = done(&server, &replay.id).await;
    assert_eq!((over.acked, over.passed_over, over.failed), (1, 2, 0));
    // Once its dead letters are settled the key comes as others do.
    let parked: Vec<String> = server.states().await.into_iter().map(|(id, _)| id).collect();
    server.discard(discard(&parked)).await.expect("discard");
    server.publish(vec![order("a3", "a")]).await;
    let live = stream.deliveries(1).await;
    ack(&mut stream, &live).await;
    let replay = start(&server, request).await;
    let mut came = Vec::new();
    while came.len() < 4 {
        let got = stream.at_least(1).await;
        stream.ack(&got);
        came.extend(ids(&got));
    }
    let of_a: Vec<_> = came.iter().filter(|id| id.starts_with('a')).collect();
    assert_eq!(of_a, ["a1", "a2", "a3"]);
    let over = done(&server, &replay.id).await;
    assert_eq!((over.acked, over.passed_over), (4, 0));
}

#[tokio::test]
async fn records_that_are_no_events_come_with_their_fault_or_fail_where_the_group_wants_none() {
    let server = with_events(1).await;
    let mut headers = HeadersBuilder::default();
    headers.add("ce_id", b"");
    let records = vec![NewRecord {
        topic: Topic::new(ORDERS).expect("a name"),
        partition: Some(0),
        key: None,
        value: Some("no event".into()),
        headers: headers.build(),
    }];
    let server = server
        .with_log(async |log: std::sync::Arc<dyn Log>| {
            let receipt = log.append(records).await.expect("hand over");
            assert!(receipt.await.iter().all(Result::is_ok));
        })
        .await;
    publish(&server, 1..2).await;
    let mut stream = catch_up(&server, 3).await;
    let replay = start(&server, everything()).await;
    let again = stream.deliveries(3).await;
    let faults: Vec<bool> = again.iter().map(|delivery| delivery.fault.is_some()).collect();
    assert_eq!(faults, [false, true, false]);
    ack(&mut stream, &again).await;
    assert_eq!(done(&server, &replay.id).await.acked, 3);
    let wanting = Open {
        undecodable: Undecodable::DeadLetter.into(),
        ..open(GROUP)
    };
    let mut stream = server.subscribe(wanting).await;
    let got = stream.deliveries(2).await;
    ack(&mut stream, &got).await;
    let one = async || (server.states().await.len() == 1).then_some(());
    crate::harness::eventually(crate::harness::SOON, "the dead letter", one).await;
    let request = StartReplayRequest {
        group: GROUP.to_owned(),
        ..everything()
    };
    let replay = start(&server, request).await;
    let again = stream.deliveries(2).await;
    ack(&mut stream, &again).await;
    let over = done(&server, &replay.id).await;
    assert_eq!((over.acked, over.failed), (2, 1));
    assert_eq!(server.states().await.len(), 1, "and no second dead letter");
}

#[tokio::test]
async fn an_event_that_fits_into_no_message_of_a_client_fails_and_its_stream_goes_on() {
    let server = with_events(1).await;
    let large = tidings::proto::io::cloudevents::v1::CloudEvent {
        data: Some(tidings::proto::io::cloudevents::v1::cloud_event::Data::BinaryData(
            vec![7; 200_000].into(),
        )),
        ..order("large", "large")
    };
    server.publish(vec![large]).await;
    let stream = catch_up(&server, 2).await;
    stream.close().await;
    let small = Open {
        max_frame_bytes: 65_536,
        ..open("group")
    };
    let mut stream = server.subscribe(small).await;
    let replay = start(&server, everything()).await;
    let again = stream.deliveries(1).await;
    ack(&mut stream, &again).await;
    let over = done(&server, &replay.id).await;
    assert_eq!((over.acked, over.failed), (1, 1));
    publish(&server, 5..6).await;
    assert_eq!(ids(&stream.deliveries(1).await), ["5"]);
}
