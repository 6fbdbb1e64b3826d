//! Replays whose events are not there any more: they are counted, and the replay ends.

use std::time::Duration;

use tidings::proto::tidings::v1::{
    CreateTopicRequest, DeleteTopicRequest, Delivery, Open, ReplayState, Start, StartReplayRequest, TopicSettings,
    start::At,
};
use tokio::time::timeout;

use super::{done, everything, start, until};
use crate::{
    gaps::forgetful_with,
    harness::{
        Server,
        clients::{ORDERS, Subscription, ids, open, open_with_credit, order},
        within,
    },
    resets::{ack, create, publish},
};

async fn delete(server: &Server) {
    let request = DeleteTopicRequest {
        name: ORDERS.to_owned(),
    };
    server.topics().delete_topic(request).await.expect("delete the topic");
}

/// A replay of ten events to a group that has two of them in its hands.
async fn begun() -> (Server, Subscription, String) {
    let (server, stream) = super::caught_up(10).await;
    stream.close().await;
    let mut stream = server.subscribe(open_with_credit("group", 2)).await;
    let replay = start(&server, everything()).await;
    let out = stream.deliveries(2).await;
    ack(&mut stream, &out).await;
    (server, stream, replay.id)
}

#[tokio::test]
async fn a_topic_that_is_deleted_is_counted_as_gone() {
    let (server, _stream, id) = begun().await;
    delete(&server).await;
    let over = done(&server, &id).await;
    assert_eq!((over.acked, over.gone, over.percent), (2, 8, 100.0));
}

#[tokio::test]
async fn a_topic_that_is_made_anew_has_other_events_which_are_not_replayed() {
    let (server, mut stream, id) = begun().await;
    delete(&server).await;
    create(&server, 1).await;
    publish(&server, 50..51).await;
    let over = done(&server, &id).await;
    assert_eq!((over.acked, over.gone), (2, 8));
    stream.grant(10, 0);
    let live = stream.deliveries(1).await;
    assert_eq!((ids(&live), live[0].replay_id.as_str()), (vec!["50".to_owned()], ""));
}

#[tokio::test]
async fn a_topic_that_is_taken_from_the_group_is_gone_for_it() {
    let (server, stream, id) = begun().await;
    let request = CreateTopicRequest {
        name: "other".to_owned(),
        settings: Some(TopicSettings {
            partitions: Some(1),
            ..Default::default()
        }),
    };
    server.topics().create_topic(request).await.expect("create the topic");
    stream.close().await;
    let changed = Open {
        topics: vec!["other".to_owned()],
        on_conflict: tidings::proto::tidings::v1::OnConflict::Replace.into(),
        ..open("group")
    };
    let _stream = server.subscribe(changed).await;
    let over = done(&server, &id).await;
    assert_eq!((over.acked, over.gone), (2, 8));
}

#[tokio::test]
async fn what_retention_took_is_counted_and_the_rest_is_replayed() {
    let server = forgetful_with("").await;
    let large = |n: usize| tidings::proto::io::cloudevents::v1::CloudEvent {
        data: Some(tidings::proto::io::cloudevents::v1::cloud_event::Data::BinaryData(
            vec![7; 300_000].into(),
        )),
        ..order(&n.to_string(), &n.to_string())
    };
    for _ in 0..3 {
        server.publish((0..10).map(large).collect()).await;
    }
    let mut stream = server.subscribe(open("group")).await;
    take_to_the_last(&mut stream).await;
    stream.close().await;
    // It is all there when the replay starts, or was, and not when it is carried out.
    let from_the_first = StartReplayRequest {
        start: Some(Start {
            at: Some(At::Positions(super::at(0, 0))),
        }),
        ..everything()
    };
    let replay = start(&server, from_the_first).await;
    assert_eq!(replay.partitions[0].from_offset, 0);
    let server = server.retain().await;
    let begins = async || {
        let group = crate::resets::group(&server).await;
        Some(group.partitions[0].start).filter(|start| *start > 0)
    };
    let first = crate::harness::eventually(crate::harness::SOON, "retention", begins).await;
    let mut stream = server.subscribe(open("group")).await;
    let shown = until(&server, &replay.id, "what is gone to be counted", |replay| {
        replay.gone > 0
    })
    .await;
    assert!(shown.gone >= first, "{shown:?}");
    within("the end of the replay", async {
        while super::show(&server, &replay.id).await.state() == ReplayState::Running {
            let some = timeout(Duration::from_millis(100), stream.at_least(1)).await;
            stream.ack(&some.unwrap_or_default());
        }
    })
    .await;
    let over = done(&server, &replay.id).await;
    assert_eq!(over.gone + over.acked, 30);
}

/// Acks what comes until the newest has come, which retention always keeps.
async fn take_to_the_last(stream: &mut Subscription) {
    let is_last = |delivery: &Delivery| delivery.position.as_ref().is_some_and(|at| at.offset == 29);
    loop {
        let got = stream.at_least(1).await;
        stream.ack(&got);
        if got.iter().any(is_last) {
            return;
        }
    }
}
