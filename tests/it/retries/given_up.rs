//! Events that are given up: they become dead letters before their offset moves, and come again when they are redriven.

use std::sync::Arc;

use tidings::log::{HeadersBuilder, Log, NewRecord};
use tidings::name::Topic;
use tidings::proto::io::cloudevents::v1::{CloudEvent, cloud_event::Data};
use tidings::proto::tidings::v1::{
    DeadLetterFilter, DeadLetterReason, DeadLetterState, GetDeadLetterRequest, Undecodable,
};

use super::*;
use crate::{
    dead_letters::letters::{GROUP, discard, redrive},
    harness::{SOON, eventually, within},
};

use DeadLetterState::{Discarded, Parked, Redriven};

const QUARANTINE: &str = "[delivery]\nafter_dead_letter = 'quarantine'\n";

fn billing(retry: Retry) -> Open {
    Open {
        retry: Some(retry),
        client_id: "billing-1".to_owned(),
        ..open(GROUP)
    }
}

/// Waits for so many dead letters in these states, newest first.
async fn letters(server: &Server, states: &[DeadLetterState]) -> Vec<String> {
    let are_there = async || {
        let found = server.states().await;
        let is_so = found.iter().map(|(_, state)| *state).eq(states.iter().copied());
        is_so.then(|| found.into_iter().map(|(id, _)| id).collect())
    };
    eventually(SOON, "the dead letters", are_there).await
}

async fn position(server: &Server) -> i64 {
    let group = GROUP.to_owned();
    let group = server.groups().get_group(GetGroupRequest { group }).await;
    let group = group.expect("the group").into_inner().group.expect("a group");
    group.partitions.iter().filter_map(|row| row.committed).sum()
}

#[tokio::test]
async fn an_event_that_fails_as_often_as_the_policy_lets_it_is_given_up_and_its_key_goes_on() {
    let server = with_one_partition("").await;
    let twice = Retry {
        max_attempts: Some(2),
        ..every(0.05)
    };
    let mut stream = server.subscribe(billing(twice)).await;
    server.publish(vec![order("a1", "a"), order("a2", "a")]).await;
    for attempt in 1..=2 {
        let got = stream.deliveries(1).await;
        assert_eq!((ids(&got), got[0].attempt), (vec!["a1".to_owned()], attempt));
        stream.send(nack(&got[0], None));
    }
    let next = stream.deliveries(1).await;
    assert_eq!(ids(&next), ["a2"]);
    commit(&mut stream, &next).await;
    assert_eq!(position(&server).await, 2);
    let id = letters(&server, &[Parked]).await.remove(0);
    let request = GetDeadLetterRequest {
        group: GROUP.to_owned(),
        id,
        include_event: true,
    };
    let shown = within("a dead letter", server.dead_letters().get_dead_letter(request)).await;
    let shown = shown.expect("shown").into_inner().dead_letter.expect("a dead letter");
    assert_eq!(
        (shown.reason(), shown.attempts, shown.failures),
        (DeadLetterReason::Attempts, 2, 2)
    );
    assert_eq!(
        (shown.client_id.as_str(), shown.key.as_deref()),
        ("billing-1", Some(&b"a"[..]))
    );
    let at = shown.position.expect("a position");
    assert_eq!((at.topic.as_str(), at.partition, at.offset), (ORDERS, 0, 0));
    assert!(shown.first_failure_time.is_some() && shown.last_failure_time.is_some());
    assert_eq!(shown.event, Some(order("a1", "a")));
}

#[tokio::test]
async fn a_dead_letter_that_is_redriven_comes_as_it_was_to_its_group_and_to_no_other_and_once() {
    let server = with_one_partition("").await;
    let mut stream = server.subscribe(billing(every(0.05))).await;
    let mut other = server.subscribe(open("other")).await;
    server.publish(vec![order("a1", "a"), order("b1", "b")]).await;
    let first = stream.deliveries(2).await;
    let copies = other.deliveries(2).await;
    other.ack(&copies);
    stream.send(to_dead_letters(&first[0], "no such customer"));
    commit(&mut stream, &first[1..]).await;
    let parked = letters(&server, &[Parked]).await;
    let shown = server.letters(DeadLetterFilter::default()).await.remove(0);
    assert_eq!(
        (shown.reason(), shown.detail.as_str()),
        (DeadLetterReason::Nacked, "no such customer")
    );
    let answer = server.redrive(redrive(&parked)).await.expect("redriven");
    assert_eq!(answer.count, 1);
    let again = stream.deliveries(1).await;
    assert_eq!((again[0].attempt, again[0].failures), (1, 0));
    assert_eq!(
        (&again[0].redrive_id, &again[0].position),
        (&answer.redrive_id, &first[0].position)
    );
    assert_eq!((&again[0].event, &again[0].key), (&first[0].event, &first[0].key));
    assert_eq!(server.redrive(redrive(&parked)).await.expect("answered").count, 0);
    commit(&mut stream, &again).await;
    letters(&server, &[Redriven]).await;
    server.publish(vec![order("c1", "c")]).await;
    assert_eq!(ids(&stream.deliveries(1).await), ["c1"], "nothing came twice");
    assert_eq!(ids(&other.deliveries(1).await), ["c1"], "nothing came to another group");
}

#[tokio::test]
async fn a_redrive_waits_for_a_stream_and_outlives_kill_9_until_it_is_acked() {
    let mut server = with_one_partition("").await;
    let mut stream = server.subscribe(billing(every(0.05))).await;
    server.publish(vec![order("a1", "a")]).await;
    let first = stream.deliveries(1).await;
    stream.send(to_dead_letters(&first[0], ""));
    let parked = letters(&server, &[Parked]).await;
    stream.close().await;
    server.redrive(redrive(&parked)).await.expect("redriven");
    let mut stream = server.subscribe(open(GROUP)).await;
    assert_eq!(ids(&stream.deliveries(1).await), ["a1"]);
    server.kill().await;
    let server = server.restart().await;
    let mut stream = server.subscribe(open(GROUP)).await;
    let again = stream.deliveries(1).await;
    assert_eq!(ids(&again), ["a1"]);
    commit(&mut stream, &again).await;
    letters(&server, &[Redriven]).await;
    assert_eq!(position(&server).await, 1);
}

#[tokio::test]
async fn in_quarantine_later_events_of_the_key_wait_behind_and_are_redriven_in_order() {
    let mut server = with_one_partition(QUARANTINE).await;
    let mut stream = server.subscribe(billing(every(0.05))).await;
    server
        .publish(vec![order("a1", "a"), order("a2", "a"), order("b1", "b")])
        .await;
    let first = stream.deliveries(2).await;
    assert_eq!(ids(&first), ["a1", "b1"]);
    stream.send(to_dead_letters(&first[0], ""));
    stream.ack(&first[1..]);
    letters(&server, &[Parked, Parked]).await;
    server.kill().await;
    let server = server.restart().await;
    let mut stream = server.subscribe(open(GROUP)).await;
    server.publish(vec![order("a3", "a"), order("b2", "b")]).await;
    let more = stream.at_least(1).await;
    let others: Vec<String> = ids(&more).into_iter().filter(|id| id.starts_with('a')).collect();
    assert!(
        others.is_empty(),
        "the key is quarantined after a restart too: {others:?}"
    );
    stream.ack(&more);
    let parked = letters(&server, &[Parked; 3]).await;
    let all = server.letters(DeadLetterFilter::default()).await;
    let head = all.last().expect("three");
    assert!(head.quarantine && all[..2].iter().all(|letter| letter.behind == head.id));
    assert_eq!(server.redrive(redrive(&parked[2..])).await.expect("redriven").count, 3);
    let mut came = Vec::new();
    while came.len() < 3 {
        let got = stream.at_least(1).await;
        came.extend(ids(&got).into_iter().filter(|id| id.starts_with('a')));
        stream.ack(&got);
    }
    assert_eq!(came, ["a1", "a2", "a3"]);
    letters(&server, &[Redriven; 3]).await;
    server.publish(vec![order("a4", "a")]).await;
    assert_eq!(ids(&stream.deliveries(1).await), ["a4"], "the key is free");
}

#[tokio::test]
async fn discarding_the_head_lets_what_waits_behind_it_go() {
    let server = with_one_partition(QUARANTINE).await;
    let mut stream = server.subscribe(billing(every(0.05))).await;
    server.publish(vec![order("a1", "a"), order("a2", "a")]).await;
    let first = stream.deliveries(1).await;
    stream.send(to_dead_letters(&first[0], ""));
    let parked = letters(&server, &[Parked, Parked]).await;
    server.discard(discard(&parked[1..])).await.expect("discarded");
    let freed = stream.deliveries(1).await;
    assert_eq!(ids(&freed), ["a2"]);
    commit(&mut stream, &freed).await;
    letters(&server, &[Redriven, Discarded]).await;
}

#[tokio::test]
async fn a_redriven_event_that_fails_again_is_a_dead_letter_again() {
    let server = with_one_partition("").await;
    let mut stream = server.subscribe(billing(every(0.05))).await;
    server.publish(vec![order("a1", "a")]).await;
    let first = stream.deliveries(1).await;
    stream.send(to_dead_letters(&first[0], ""));
    let parked = letters(&server, &[Parked]).await;
    server.redrive(redrive(&parked)).await.expect("redriven");
    let again = stream.deliveries(1).await;
    stream.send(to_dead_letters(&again[0], "still not"));
    letters(&server, &[Parked, Redriven]).await;
    let newest = server.letters(DeadLetterFilter::default()).await.remove(0);
    assert_eq!(
        (newest.parent.as_str(), newest.detail.as_str()),
        (parked[0].as_str(), "still not")
    );
    let moved = async || (position(&server).await == 1).then_some(());
    eventually(SOON, "the offset behind it", moved).await;
}

#[tokio::test]
async fn what_is_no_event_is_given_up_at_once_where_the_group_says_so() {
    let server = with_one_partition("").await;
    let open = Open {
        undecodable: Undecodable::DeadLetter.into(),
        ..billing(every(0.05))
    };
    server.publish(vec![order("a1", "a")]).await;
    let server = server.with_log(append_unreadable).await;
    let mut stream = server.subscribe(open).await;
    assert_eq!(stream.opened.undecodable(), Undecodable::DeadLetter);
    let got = stream.deliveries(1).await;
    commit(&mut stream, &got).await;
    letters(&server, &[Parked]).await;
    let shown = server.letters(DeadLetterFilter::default()).await.remove(0);
    assert_eq!((shown.reason(), shown.attempts), (DeadLetterReason::Undecodable, 0));
    assert!(!shown.detail.is_empty());
    let moved = async || (position(&server).await == 2).then_some(());
    eventually(SOON, "the offset behind it", moved).await;
}

#[tokio::test]
async fn an_event_that_fits_into_no_message_is_given_up_where_the_group_says_so() {
    let server = with_one_partition("").await;
    let large = CloudEvent {
        data: Some(Data::TextData("x".repeat(200 * 1024))),
        ..order("a1", "a")
    };
    server.publish(vec![large, order("a2", "a")]).await;
    let small_frames = Open {
        max_frame_bytes: 128 * 1024,
        ..billing(every(0.05))
    };
    let refusal = server.open_refused(small_frames.clone()).await;
    refused(refusal, Code::InvalidArgument, "EVENT_TOO_LARGE");
    let mut stream = server
        .subscribe(Open {
            undecodable: Undecodable::DeadLetter.into(),
            on_conflict: OnConflict::Replace.into(),
            ..small_frames
        })
        .await;
    assert_eq!(ids(&stream.deliveries(1).await), ["a2"]);
    letters(&server, &[Parked]).await;
    let shown = server.letters(DeadLetterFilter::default()).await.remove(0);
    assert_eq!(shown.reason(), DeadLetterReason::TooLarge);
    assert!(shown.detail.contains("max_frame_bytes"), "{}", shown.detail);
}

/// A record that claims to be an event and is none.
async fn append_unreadable(log: Arc<dyn Log>) {
    let mut headers = HeadersBuilder::default();
    headers.add("ce_specversion", b"1.0");
    headers.add("ce_id", b"");
    let record = NewRecord {
        topic: Topic::new(ORDERS).expect("valid"),
        partition: Some(0),
        key: None,
        value: Some("no event".into()),
        headers: headers.build(),
    };
    let outcomes = log.append(vec![record]).await.expect("handed over").await;
    assert!(outcomes.iter().all(Result::is_ok));
}
