//! Groups and readers that start where a checkpoint stands.

use tidings::proto::tidings::v1::{
    CreateTopicRequest, DeleteCheckpointRequest, Open, Position, PutCheckpointHeader, ReadRequest, Start,
    TopicSettings, start::At,
};
use tonic::Code;

use super::{Bed, at, delete, header, put};
use crate::{
    harness::{
        clients::{ORDERS, ids, open},
        status::{fields, refused, resource},
    },
    resets::{numbers, publish},
};

fn from(name: &str) -> Option<Start> {
    Some(Start {
        at: Some(At::Checkpoint(name.to_owned())),
    })
}

fn reading(name: &str) -> ReadRequest {
    ReadRequest {
        topics: vec![ORDERS.to_owned()],
        start: from(name),
        ..Default::default()
    }
}

fn opening(group: &str, name: &str) -> Open {
    Open {
        start: from(name),
        ..open(group)
    }
}

async fn stored(bed: &Bed, name: &str, offset: i64) {
    let wanted = PutCheckpointHeader {
        positions: at(offset),
        ..header(name)
    };
    put(&bed.server, wanted, "state").await;
}

async fn read(bed: &Bed, request: ReadRequest) -> Vec<String> {
    let events = bed.server.read(request).await.expect("read").rest().await;
    let id = |event: tidings::proto::tidings::v1::ReadEvent| event.event.expect("an event").id;
    events.expect("read to the end").into_iter().map(id).collect()
}

#[tokio::test]
async fn groups_and_readers_start_where_the_newest_generation_stands_or_the_one_they_name() {
    let bed = Bed::with_events(10).await;
    stored(&bed, "c", 4).await;
    stored(&bed, "c", 7).await;
    let bed = bed.restart().await;
    assert_eq!(read(&bed, reading("c")).await, numbers(7..10));
    assert_eq!(read(&bed, reading("c@1")).await, numbers(4..10));
    let mut newest = bed.server.subscribe(opening("newest", "c")).await;
    assert_eq!(newest.opened.partitions[0].committed, Some(7));
    assert_eq!(ids(&newest.deliveries(3).await), numbers(7..10));
    let mut first = bed.server.subscribe(opening("first", "c@1")).await;
    assert_eq!(ids(&first.deliveries(6).await), numbers(4..10));
    // A follower goes on from there.
    let following = ReadRequest {
        follow: true,
        ..reading("c")
    };
    let mut follower = bed.server.read(following).await.expect("read");
    assert_eq!(follower.events(3).await.len(), 3);
    publish(&bed.server, 10..11).await;
    assert_eq!(follower.events(1).await[0].event.as_ref().expect("an event").id, "10");
    // A group that exists stays where it is.
    let again = bed.server.subscribe(opening("first", "nothing")).await;
    assert!(!again.opened.group_created);
}

#[tokio::test]
async fn partitions_that_it_does_not_name_start_at_the_earliest_and_others_that_it_names_do_not_matter() {
    let bed = Bed::start().await;
    for topic in [ORDERS, "others"] {
        let request = CreateTopicRequest {
            name: topic.to_owned(),
            settings: Some(TopicSettings {
                partitions: Some(4),
                ..Default::default()
            }),
        };
        bed.server.topics().create_topic(request).await.expect("create a topic");
    }
    publish(&bed.server, 0..40).await;
    let all = bed.server.read_all(ORDERS).await;
    let ends = |partition: i32| {
        let of = |event: &&tidings::proto::tidings::v1::ReadEvent| {
            event.position.as_ref().is_some_and(|at| at.partition == partition)
        };
        all.iter().filter(of).count()
    };
    let position = |topic: &str, partition: i32, offset: usize| Position {
        topic: topic.to_owned(),
        partition,
        offset: i64::try_from(offset).expect("small"),
    };
    let wanted = PutCheckpointHeader {
        positions: vec![
            position(ORDERS, 1, ends(1)),
            position(ORDERS, 2, 1),
            position("others", 0, 0),
        ],
        ..header("c")
    };
    put(&bed.server, wanted, "").await;
    let left = ends(0) + ends(3) + ends(2) - 1;
    assert_eq!(read(&bed, reading("c")).await.len(), left);
    let mut stream = bed.server.subscribe(opening("group", "c")).await;
    assert_eq!(stream.deliveries(left).await.len(), left);
}

#[tokio::test]
async fn a_checkpoint_that_is_not_there_is_said_and_creates_nothing() {
    let bed = Bed::with_events(3).await;
    stored(&bed, "c", 1).await;
    stored(&bed, "gone", 1).await;
    let deletion = DeleteCheckpointRequest {
        name: "gone".to_owned(),
        reason: "a test".to_owned(),
        ..Default::default()
    };
    delete(&bed.server, deletion).await.expect("deleted");
    for name in ["nothing", "c@2", "gone", "gone@1"] {
        let status = refused(
            bed.server.open_refused(opening("group", name)).await,
            Code::NotFound,
            "CHECKPOINT_NOT_FOUND",
        );
        assert_eq!(resource(&status), name);
        assert!(
            status.message().contains("tidings checkpoints "),
            "{}",
            status.message()
        );
        let answer = bed.server.read(reading(name)).await;
        refused(answer.map(|_| ()), Code::NotFound, "CHECKPOINT_NOT_FOUND");
    }
    for name in ["", "a b", "../c", "c@", "c@0", "c@x"] {
        let status = bed.server.open_refused(opening("group", name)).await.expect_err(name);
        assert_eq!(
            (status.code(), fields(&status)),
            (Code::InvalidArgument, vec!["open.start.checkpoint".to_owned()])
        );
        let answer = bed.server.read(reading(name)).await;
        let status = answer.map(|_| ()).expect_err(name);
        assert_eq!(fields(&status), ["start.checkpoint"], "{name}");
    }
    let stream = bed.server.subscribe(open("group")).await;
    assert!(stream.opened.group_created);
}
