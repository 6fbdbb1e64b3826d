//! Events that retention has deleted, and topics that were made anew: a restore never pretends to be whole.

use tidings::proto::{
    io::cloudevents::v1::{CloudEvent, cloud_event::Data},
    tidings::v1::{
        Cleanup, DeleteTopicRequest, GetTopicRequest, OffsetRange, OnGap, Position, Positions, RestoreRequest, Start,
        start::At,
    },
};
use tonic::Code;

use super::{
    Restoring, Store, create_topic, event, ids, orders, publish_to, restore, snapshot, start_restore, try_restore,
};
use crate::{
    gaps::{forget, forgetful_with, start_of},
    harness::{
        SOON, Server,
        clients::ORDERS,
        eventually,
        status::{reason_of, refused},
    },
};

fn whole() -> RestoreRequest {
    RestoreRequest {
        on_gap: OnGap::Fail.into(),
        ..orders()
    }
}

#[tokio::test]
async fn events_that_no_snapshot_has_are_told_as_a_gap_or_fail_the_call() {
    let store = Store::new();
    let server = forgetful_with(&store.config("")).await;
    let (server, start) = forget(server).await;
    let restored = restore(&server).await;
    let [gap] = &restored.gaps[..] else {
        panic!("not one gap: {:?}", restored.gaps)
    };
    assert_eq!((gap.topic.as_str(), gap.from_offset, gap.to_offset), (ORDERS, 0, start));
    let status = refused(try_restore(&server, whole()).await, Code::OutOfRange, "POSITION_GONE");
    assert!(status.message().contains(ORDERS), "{}", status.message());
    // A snapshot does not make it whole, and says so.
    let taken = snapshot(&server).await;
    let missing = OffsetRange { start: 0, end: start };
    assert_eq!(taken.partitions[0].missing, Some(missing));
    let restored = restore(&server).await;
    assert_eq!((restored.gaps.len(), restored.source()), (1, taken.name.as_str()));
    refused(try_restore(&server, whole()).await, Code::OutOfRange, "POSITION_GONE");
}

#[tokio::test]
async fn what_a_snapshot_has_may_be_deleted_from_the_log() {
    let store = Store::new();
    let server = forgetful_with(&store.config("")).await;
    server
        .publish(vec![event(500, "created", "early"), event(501, "created", "also")])
        .await;
    for round in 0..6 {
        let large = |n: usize| CloudEvent {
            data: Some(Data::BinaryData(vec![7; 300_000].into())),
            ..event(round * 10 + n, "created", &format!("k{n}"))
        };
        server.publish((0..5).map(large).collect()).await;
        snapshot(&server).await;
    }
    let server = server.retain().await;
    eventually(SOON, "retention", async || (start_of(&server).await > 2).then_some(())).await;
    let restored = try_restore(&server, whole()).await.expect("whole");
    let expected = "also=501 early=500 k0=50 k1=51 k2=52 k3=53 k4=54";
    assert_eq!((restored.ids(), restored.gaps.len()), (ids(expected), 0));
}

#[tokio::test]
async fn since_what_retention_has_deleted_is_a_gap_too() {
    let store = Store::new();
    let server = forgetful_with(&store.config("")).await;
    let (server, start) = forget(server).await;
    let since = |offset: i64, on_gap: OnGap| {
        let position = Position {
            topic: ORDERS.to_owned(),
            partition: 0,
            offset,
        };
        let positions = vec![position];
        RestoreRequest {
            since: Some(Start {
                at: Some(At::Positions(Positions { positions })),
            }),
            on_gap: on_gap.into(),
            ..orders()
        }
    };
    let restored = try_restore(&server, since(0, OnGap::Continue)).await.expect("restore");
    assert_eq!((restored.gaps[0].from_offset, restored.gaps[0].to_offset), (0, start));
    let restored = try_restore(&server, since(10_000, OnGap::Continue))
        .await
        .expect("restore");
    assert_eq!(restored.gaps[0].from_offset, 10_000);
    assert!(!restored.states.is_empty());
    for offset in [0, 10_000] {
        refused(
            try_restore(&server, since(offset, OnGap::Fail)).await,
            Code::OutOfRange,
            "POSITION_GONE",
        );
    }
}

#[tokio::test]
async fn a_snapshot_of_a_topic_that_was_made_anew_is_not_used() {
    let store = Store::new();
    let server = store.serve().await;
    for (round, more) in [(0, 3), (1, 1), (2, 9)] {
        create_topic(&server, 1, Cleanup::Delete).await;
        let new = |n| event(round * 100 + n, "created", &format!("k{round}-{n}"));
        server.publish((0..more).map(new).collect()).await;
        let restored = restore(&server).await;
        let expected: Vec<String> = (0..more).map(|n| format!("k{round}-{n}={}", round * 100 + n)).collect();
        assert_eq!(
            (restored.ids(), restored.source()),
            (ids(&expected.join(" ")), ""),
            "round {round}"
        );
        assert_eq!(restored.last().sources[0].unusable.len(), round, "round {round}");
        snapshot(&server).await;
        let request = DeleteTopicRequest {
            name: ORDERS.to_owned(),
        };
        server.topics().delete_topic(request).await.expect("delete the topic");
        eventually(SOON, "the topic to be gone", async || {
            is_gone(&server, ORDERS).await.then_some(())
        })
        .await;
    }
}

async fn is_gone(server: &Server, topic: &str) -> bool {
    let request = GetTopicRequest { name: topic.to_owned() };
    server.topics().get_topic(request).await.is_err()
}

/// A restore of two topics whose client has not taken the first one yet; the second one is gone now.
async fn held_up(store: &Store, topics: &[&str]) -> (Server, Restoring) {
    let server = store.serve().await;
    let large = |n| CloudEvent {
        data: Some(Data::BinaryData(vec![7; 100_000].into())),
        ..event(n, "created", &n.to_string())
    };
    publish_to(&server, "restored.a", (0..20).map(large).collect()).await;
    publish_to(
        &server,
        "restored.b",
        (0..5).map(|n| event(n, "created", &format!("b{n}"))).collect(),
    )
    .await;
    let request = RestoreRequest {
        topics: topics.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    let restoring = start_restore(&server, request).await.expect("begun");
    let request = DeleteTopicRequest {
        name: "restored.b".to_owned(),
    };
    server.topics().delete_topic(request).await.expect("delete the topic");
    eventually(SOON, "the topic to be gone", async || {
        is_gone(&server, "restored.b").await.then_some(())
    })
    .await;
    (server, restoring)
}

#[tokio::test]
async fn a_topic_that_is_deleted_meanwhile_fails_the_call_where_it_is_named() {
    let store = Store::new();
    let (_server, mut restoring) = held_up(&store, &["restored.a", "restored.b"]).await;
    refused(restoring.caught_up().await, Code::NotFound, "TOPIC_NOT_FOUND");
    let store = Store::new();
    let (_server, mut restoring) = held_up(&store, &["restored.*"]).await;
    let restored = restoring.caught_up().await.expect("the other one");
    assert_eq!(restored.states.len(), 20);
    assert!(restored.caught_up.positions.iter().all(|at| at.topic == "restored.a"));
    assert_eq!(restored.last().percent, 100.0);
}

#[tokio::test]
async fn a_topic_that_is_made_anew_meanwhile_is_not_waited_for() {
    let store = Store::new();
    let (server, mut restoring) = held_up(&store, &["restored.a", "restored.b"]).await;
    publish_to(&server, "restored.b", vec![event(0, "created", "b")]).await;
    let status = restoring.caught_up().await.expect_err("it is another topic");
    // Kafka tells topics of one name apart; the embedded log has fewer events than there were.
    assert!(
        ["TOPIC_NOT_FOUND", "POSITION_GONE"].contains(&reason_of(&status).as_str()),
        "{status:?}"
    );
}
