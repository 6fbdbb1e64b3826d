//! Tied checkpoints when something dies or changes between two of their steps.

use tidings::{
    log::{Commit, TopicPartition},
    name::{Group, Topic},
    proto::tidings::v1::{DeleteGroupRequest, DeleteTopicRequest, OnGap, Open, PutCheckpointHeader},
};

use tonic::Code;

use super::{Bed, put, tied::tied};
use crate::{
    gaps::{forget, forgetful_with},
    harness::{
        clients::{ORDERS, ids, open},
        status::refused,
        within,
    },
    resets::{committed, create, numbers, publish},
};

#[tokio::test]
async fn what_was_stored_and_not_committed_is_committed_when_it_is_asked_for_again() {
    let bed = Bed::with_events(10).await;
    bed.server.subscribe(open("group")).await.close().await;
    let repeatable = || PutCheckpointHeader {
        request_id: "r".to_owned(),
        ..tied(6)
    };
    let stored = put(&bed.server, repeatable(), "state").await;
    // As if it had died in between: its commit has never been.
    let server = bed.server.with_log(async |log| {
        let partition = TopicPartition {
            topic: Topic::new(ORDERS).expect("a name"),
            partition: 0,
        };
        let commit = Commit {
            partition,
            offset: 2,
            note: String::new(),
        };
        let group = Group::new("group").expect("a name");
        log.commit(&group, vec![commit]).await.expect("commit");
    });
    let bed = Bed {
        server: server.await,
        store: bed.store,
    };
    assert_eq!(committed(&bed.server).await, 2);
    assert_eq!(put(&bed.server, repeatable(), "state").await, stored);
    assert_eq!(committed(&bed.server).await, 6);
    let mut stream = bed.server.subscribe(open("group")).await;
    assert_eq!(ids(&stream.deliveries(4).await), numbers(6..10));
}

#[tokio::test]
async fn a_group_that_failed_at_a_gap_goes_on_behind_what_is_covered() {
    let bed = Bed::start().await;
    let store = bed.config();
    let server = forgetful_with(&store).await;
    let failing = || Open {
        on_gap: OnGap::Fail.into(),
        ..open("group")
    };
    let before = Open {
        credit: None,
        ..failing()
    };
    server.subscribe(before).await.close().await;
    let (server, start) = forget(server).await;
    let mut stream = server.subscribe(failing()).await;
    refused(stream.end().await, Code::OutOfRange, "POSITION_GONE");
    put(&server, tied(start + 3), "state").await;
    assert_eq!(committed(&server).await, start + 3);
    let mut stream = server.subscribe(failing()).await;
    let first = &stream.at_least(1).await[0];
    assert_eq!(first.position.as_ref().expect("a position").offset, start + 3);
}

#[tokio::test]
async fn what_was_covered_hides_nothing_of_a_topic_made_anew() {
    let bed = Bed::with_events(10).await;
    let stream = bed.server.subscribe(open("group")).await;
    put(&bed.server, tied(8), "").await;
    drop(stream);
    let request = DeleteTopicRequest {
        name: ORDERS.to_owned(),
    };
    bed.server
        .topics()
        .delete_topic(request)
        .await
        .expect("delete the topic");
    create(&bed.server, 1).await;
    publish(&bed.server, 0..10).await;
    let mut stream = bed.server.subscribe(open("group")).await;
    assert_eq!(ids(&stream.deliveries(10).await), numbers(0..10));
    // Less than was covered of the topic before.
    let other = PutCheckpointHeader {
        name: "other".to_owned(),
        ..tied(3)
    };
    put(&bed.server, other, "").await;
    drop(stream);
    let mut stream = bed.server.subscribe(open("group")).await;
    assert_eq!(ids(&stream.deliveries(7).await), numbers(3..10));
}

#[tokio::test]
async fn what_was_covered_of_a_deleted_group_is_nothing_to_the_next_of_its_name() {
    let bed = Bed::with_events(10).await;
    bed.server.subscribe(open("group")).await.close().await;
    put(&bed.server, tied(8), "").await;
    let request = DeleteGroupRequest {
        group: "group".to_owned(),
        reason: "a test".to_owned(),
        force: true,
        ..Default::default()
    };
    within("a deletion", bed.server.groups().delete_group(request))
        .await
        .expect("deleted");
    let mut stream = bed.server.subscribe(open("group")).await;
    assert!(stream.opened.group_created);
    assert_eq!(ids(&stream.deliveries(10).await), numbers(0..10));
}
