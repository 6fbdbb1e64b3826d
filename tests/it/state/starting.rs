//! Starting at a snapshot by its name: reads, groups that are created, and resets.

use tidings::proto::tidings::v1::{
    Cleanup, DeleteTopicRequest, GetInfoRequest, Open, ReadRequest, RestoreRequest, Start, start::At, target::To,
};
use tonic::Code;

use super::{Store, create_topic, event, orders, publish_to, snapshot};
use crate::{
    LOG,
    harness::{
        Server,
        clients::{ORDERS, ids, open, order},
        status::{fields, refused},
    },
    resets::{apply, applying, committed, plan, to, try_plan},
};

/// Two events before a snapshot and two behind it.
async fn with_snapshot(store: &Store) -> (Server, String) {
    let server = store.serve().await;
    create_topic(&server, 1, Cleanup::Delete).await;
    server
        .publish(vec![event(1, "created", "a"), event(2, "created", "b")])
        .await;
    let name = snapshot(&server).await.name;
    server
        .publish(vec![event(3, "created", "c"), event(4, "created", "d")])
        .await;
    (server, name)
}

fn at(name: &str) -> Option<Start> {
    Some(Start {
        at: Some(At::Snapshot(name.to_owned())),
    })
}

#[tokio::test]
async fn a_reader_starts_where_a_snapshot_stands() {
    let store = Store::new();
    let (server, name) = with_snapshot(&store).await;
    for name in [name.as_str(), ORDERS] {
        let request = ReadRequest {
            topics: vec![ORDERS.to_owned()],
            start: at(name),
            ..Default::default()
        };
        let events = server
            .read(request)
            .await
            .expect("read")
            .rest()
            .await
            .expect("read to the end");
        let ids: Vec<String> = events
            .into_iter()
            .map(|read| read.event.expect("an event").id)
            .collect();
        assert_eq!(ids, ["3", "4"]);
    }
}

#[tokio::test]
async fn a_group_is_created_where_a_snapshot_stands() {
    let store = Store::new();
    let (server, name) = with_snapshot(&store).await;
    let mut stream = server
        .subscribe(Open {
            start: at(&name),
            ..open("group")
        })
        .await;
    assert_eq!(ids(&stream.deliveries(2).await), ["3", "4"]);
}

#[tokio::test]
async fn a_group_is_reset_to_where_a_snapshot_stands() {
    let store = Store::new();
    let (server, name) = with_snapshot(&store).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(4).await;
    crate::resets::ack(&mut stream, &got).await;
    let made = plan(&server, to(To::Snapshot(name.clone()))).await;
    assert_eq!((made.replayed, made.moves[0].to_offset), (2, 2));
    assert_eq!(made.target.clone().expect("set").to, Some(To::Snapshot(name)));
    apply(&server, applying(&made)).await;
    assert_eq!(committed(&server).await, 2);
    assert_eq!(ids(&stream.deliveries(2).await), ["3", "4"]);
}

#[tokio::test]
async fn a_snapshot_that_is_none_of_the_topics_meant_is_refused() {
    let store = Store::new();
    let (server, name) = with_snapshot(&store).await;
    publish_to(&server, "other", vec![order("1", "x")]).await;
    let read = |name: &str| ReadRequest {
        topics: vec!["other".to_owned()],
        start: at(name),
        ..Default::default()
    };
    let status = refused(
        server.read(read(&name)).await.map(|_| ()),
        Code::InvalidArgument,
        "REQUEST_INVALID",
    );
    assert_eq!(fields(&status), ["start.snapshot"]);
    let none = format!("other@{}", "0".repeat(32));
    refused(
        server.read(read(&none)).await.map(|_| ()),
        Code::NotFound,
        "SNAPSHOT_NOT_FOUND",
    );
    let status = refused(
        server.read(read("a/b")).await.map(|_| ()),
        Code::InvalidArgument,
        "REQUEST_INVALID",
    );
    assert_eq!(fields(&status), ["start.snapshot"]);
    let _stream = server.subscribe(open("group")).await;
    let planned = try_plan(&server, to(To::Snapshot("a/b".to_owned()))).await;
    assert_eq!(
        fields(&refused(planned, Code::InvalidArgument, "REQUEST_INVALID")),
        ["target.snapshot"]
    );
    let planned = try_plan(&server, to(To::Snapshot(none))).await;
    refused(planned, Code::NotFound, "SNAPSHOT_NOT_FOUND");
    let restore = RestoreRequest {
        since: at("other"),
        ..orders()
    };
    refused(
        super::try_restore(&server, restore).await,
        Code::NotFound,
        "SNAPSHOT_NOT_FOUND",
    );
}

#[tokio::test]
async fn a_server_says_what_it_can_do_with_an_object_store_and_without() {
    let store = Store::new();
    // By default the embedded log has one.
    let is_embedded = LOG.name() == "embedded";
    for (server, more) in [(store.serve().await, true), (Server::start().await, is_embedded)] {
        let info = server.system().get_info(GetInfoRequest {}).await;
        let features = info.expect("info").into_inner().features;
        let has = |name: &str| features.iter().any(|feature| feature == name);
        assert!(has("resets") && has("restore"), "{features:?}");
        assert_eq!((has("snapshots"), has("checkpoints")), (more, more), "{features:?}");
        create_topic(&server, 1, Cleanup::Delete).await;
        let stream = server.subscribe(open("group")).await;
        assert_eq!(stream.opened.features, features);
    }
}

#[tokio::test]
async fn a_snapshot_of_a_topic_that_was_made_anew_is_no_start() {
    let store = Store::new();
    let (server, name) = with_snapshot(&store).await;
    let request = DeleteTopicRequest {
        name: ORDERS.to_owned(),
    };
    server.topics().delete_topic(request).await.expect("delete the topic");
    create_topic(&server, 1, Cleanup::Delete).await;
    let anew = (0..5).map(|n| event(n, "created", &n.to_string())).collect();
    server.publish(anew).await;
    for name in [name.as_str(), ORDERS] {
        let request = ReadRequest {
            topics: vec![ORDERS.to_owned()],
            start: at(name),
            ..Default::default()
        };
        refused(
            server.read(request).await.map(|_| ()),
            Code::OutOfRange,
            "POSITION_GONE",
        );
    }
}
