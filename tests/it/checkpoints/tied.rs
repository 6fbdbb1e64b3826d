//! Checkpoints that are tied to a group: what they cover counts as acked once they are stored, and nothing else does.

use std::collections::HashSet;

use tidings::proto::tidings::v1::{
    Credit, CreditMode, Deliveries, Open, PutCheckpointHeader, Reason, subscribe_response::Frame,
};
use tokio::{sync::mpsc, task::JoinSet};
use tonic::Code;

use super::{Bed, at, generations, header, put, text, try_put};
use crate::{
    harness::{
        clients::{ids, open, order},
        status::{refused, resource},
        within,
    },
    resets::{ack, committed, create, numbers, publish, reset, reset_applied, to},
};

/// Of the group as it was created.
pub(crate) fn tied(offset: i64) -> PutCheckpointHeader {
    PutCheckpointHeader {
        positions: at(offset),
        group: "group".to_owned(),
        group_epoch: Some(0),
        ..header("c")
    }
}

#[tokio::test]
async fn what_it_covers_is_committed_and_settled_and_the_rest_goes_on() {
    let bed = Bed::with_events(10).await;
    let mut stream = bed.server.subscribe(open("group")).await;
    assert_eq!(stream.opened.group_epoch, 0);
    let got = stream.deliveries(10).await;
    let stored = put(&bed.server, tied(6), "state").await;
    assert_eq!((stored.group.as_str(), stored.group_epoch), ("group", 0));
    assert_eq!(committed(&bed.server).await, 6, "it is committed when it is answered");
    assert_eq!(ack(&mut stream, &got[..6]).await, [Reason::Settled; 6]);
    assert_eq!(ack(&mut stream, &got[8..9]).await, []);
    assert_eq!(committed(&bed.server).await, 6);
    let bed = bed.restart().await;
    let mut stream = bed.server.subscribe(open("group")).await;
    assert_eq!(ids(&stream.deliveries(3).await), ["6", "7", "9"]);
}

#[tokio::test]
async fn credit_of_what_is_settled_comes_back_and_what_nobody_was_sent_is_not_sent() {
    let bed = Bed::with_events(10).await;
    let few = Open {
        credit: Some(Credit { events: 3, bytes: 0 }),
        credit_mode: CreditMode::OnSettle.into(),
        ..open("group")
    };
    let mut stream = bed.server.subscribe(few).await;
    assert_eq!(ids(&stream.deliveries(3).await), numbers(0..3));
    put(&bed.server, tied(5), "").await;
    let next = stream.deliveries(3).await;
    assert_eq!(ids(&next), numbers(5..8));
    assert_eq!(ack(&mut stream, &next).await, []);
    assert_eq!(committed(&bed.server).await, 8);
}

#[tokio::test]
async fn keys_go_on_in_order_behind_what_it_covers() {
    let bed = Bed::start().await;
    create(&bed.server, 1).await;
    let events = (0..6).map(|n| order(&n.to_string(), "one key"));
    bed.server.publish(events.collect()).await;
    let mut stream = bed.server.subscribe(open("group")).await;
    assert_eq!(ids(&stream.deliveries(1).await), ["0"]);
    put(&bed.server, tied(3), "").await;
    for expected in ["3", "4", "5"] {
        let got = stream.deliveries(1).await;
        assert_eq!(ids(&got), [expected]);
        stream.ack(&got);
    }
    stream.close().await;
    assert_eq!(committed(&bed.server).await, 6);
}

#[tokio::test]
async fn a_group_is_never_put_back() {
    let bed = Bed::with_events(10).await;
    let mut stream = bed.server.subscribe(open("group")).await;
    let got = stream.deliveries(10).await;
    ack(&mut stream, &got[..8]).await;
    assert_eq!(put(&bed.server, tied(4), "").await.generation, 1);
    assert_eq!(committed(&bed.server).await, 8);
    assert_eq!(ack(&mut stream, &got[8..]).await, []);
    // Nor does the checkpoint fall back behind itself: what is between would be in no state.
    let status = refused(
        try_put(&bed.server, tied(3), "").await,
        Code::Aborted,
        "CHECKPOINT_CONFLICT",
    );
    assert_eq!(resource(&status), "c@1");
    assert_eq!(put(&bed.server, tied(4), "").await.generation, 2);
}

#[tokio::test]
async fn it_may_be_ahead_of_what_the_group_was_sent() {
    let bed = Bed::with_events(2_000).await;
    let waiting = Open {
        credit: Some(Credit { events: 0, bytes: 0 }),
        ..open("group")
    };
    let mut stream = bed.server.subscribe(waiting).await;
    put(&bed.server, tied(1_997), "").await;
    assert_eq!(committed(&bed.server).await, 1_997);
    stream.grant(100, 0);
    assert_eq!(ids(&stream.deliveries(3).await), numbers(1_997..2_000));
    publish(&bed.server, 2_000..2_001).await;
    assert_eq!(ids(&stream.deliveries(1).await), ["2000"]);
}

#[tokio::test]
async fn a_group_without_streams_is_committed_too() {
    let bed = Bed::with_events(10).await;
    bed.server.subscribe(open("group")).await.close().await;
    let bed = bed.restart().await;
    put(&bed.server, tied(7), "state").await;
    assert_eq!(committed(&bed.server).await, 7);
    let mut stream = bed.server.subscribe(open("group")).await;
    assert_eq!(ids(&stream.deliveries(3).await), numbers(7..10));
}

#[tokio::test]
async fn after_a_reset_what_comes_from_before_it_is_neither_stored_nor_committed() {
    let bed = Bed::with_events(10).await;
    let mut stream = bed.server.subscribe(open("group")).await;
    stream.deliveries(10).await;
    let earliest = tidings::proto::tidings::v1::target::To::Earliest(());
    reset(&bed.server, to(earliest)).await;
    let status = refused(
        try_put(&bed.server, tied(6), "state").await,
        Code::Aborted,
        "EPOCH_STALE",
    );
    assert_eq!(resource(&status), "group");
    assert!(generations(&bed.server, "").await.is_empty());
    assert_eq!(committed(&bed.server).await, 0);
    let epoch = reset_applied(&mut stream).await.group_epoch;
    assert_eq!(epoch, 1);
    let again = stream.deliveries(10).await;
    let since = PutCheckpointHeader {
        group_epoch: Some(epoch),
        ..tied(6)
    };
    put(&bed.server, since, "state").await;
    assert_eq!(committed(&bed.server).await, 6);
    assert_eq!(ack(&mut stream, &again[6..]).await, []);
    assert_eq!(committed(&bed.server).await, 10);
    let newcomer = bed.server.subscribe(open("group")).await;
    assert_eq!(newcomer.opened.group_epoch, 1);
}

#[tokio::test]
async fn what_is_stored_and_cannot_be_committed_any_more_says_both() {
    let bed = Bed::with_events(10).await;
    let _stream = bed.server.subscribe(open("group")).await;
    let repeatable = || PutCheckpointHeader {
        request_id: "r".to_owned(),
        ..tied(6)
    };
    put(&bed.server, repeatable(), "state").await;
    let earliest = tidings::proto::tidings::v1::target::To::Earliest(());
    reset(&bed.server, to(earliest)).await;
    // As if the reset had come between storing and committing.
    let status = refused(
        try_put(&bed.server, repeatable(), "state").await,
        Code::Aborted,
        "EPOCH_STALE",
    );
    assert_eq!(resource(&status), "c@1");
    assert!(status.message().contains("is stored"), "{}", status.message());
    assert_eq!(
        (text(&bed.server, "c").await.as_str(), committed(&bed.server).await),
        ("state", 0)
    );
}

#[tokio::test]
async fn each_event_is_delivered_or_covered_while_streams_ack_and_checkpoints_come() {
    const EVENTS: usize = 2_000;
    let bed = Bed::with_events(EVENTS).await;
    let mut consumers = JoinSet::new();
    let (seen, mut done) = mpsc::channel::<i64>(100_000);
    for _ in 0..8 {
        let (mut stream, seen) = (bed.server.subscribe(open("group")).await, seen.clone());
        consumers.spawn(async move {
            while let Ok(Some(frame)) = stream.next().await {
                if let Frame::Deliveries(Deliveries { deliveries }) = frame {
                    stream.ack(&deliveries);
                    for delivery in deliveries {
                        let _ = seen.send(delivery.position.expect("a position").offset).await;
                    }
                }
            }
        });
    }
    drop(seen);
    let mut covered = 0;
    for offset in [150, 400, 401, 900, 1_500] {
        put(&bed.server, tied(offset), "").await;
        assert!(committed(&bed.server).await >= offset);
        covered = offset;
    }
    let everything = async {
        while committed(&bed.server).await < EVENTS as i64 {
            tokio::task::yield_now().await;
        }
    };
    within("everything to be settled", everything).await;
    consumers.abort_all();
    let mut delivered = HashSet::new();
    let mut last = -1;
    while let Some(offset) = done.recv().await {
        delivered.insert(offset);
        last = last.max(offset);
    }
    let lost: Vec<i64> = (covered..EVENTS as i64)
        .filter(|offset| !delivered.contains(offset))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(last, EVENTS as i64 - 1);
}
