//! Topics by pattern: what matches now and later, in groups and for readers.

#![expect(clippy::print_stderr, reason = "what was measured, for those who look")]

mod groups;
mod readers;

use std::time::{Duration, Instant};

use tidings::proto::{
    io::cloudevents::v1::CloudEvent,
    tidings::v1::{
        CreateTopicRequest, DeleteTopicRequest, Delivery, LostReason, OnConflict, Open, PublishRequest, ReadEvent,
        ReadRequest, Start, TopicSettings, read_response::Frame as ReadFrame, start::At, subscribe_response::Frame,
    },
};
use tonic::Code;

use crate::{
    LOG,
    harness::{
        Backend, Server,
        clients::{Subscription, ids, open, order},
        status::{fields, refused},
    },
};

/// How long a topic that matches may take from its creation to the delivery of its first event: 5 s as promised, and what a
/// machine needs that is busy with other tests. Where it is only found by asking again after a while, it takes longer.
pub(crate) const JOINS_WITHIN: Duration = Duration::from_secs(15);

pub(crate) fn matching(group: &str, topics: &[&str]) -> Open {
    Open {
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        ..open(group)
    }
}

pub(crate) fn reading(topics: &[&str]) -> ReadRequest {
    ReadRequest {
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        ..Default::default()
    }
}

pub(crate) async fn create(server: &Server, topic: &str, partitions: i32) {
    let request = CreateTopicRequest {
        name: topic.to_owned(),
        settings: Some(TopicSettings {
            partitions: Some(partitions),
            ..Default::default()
        }),
    };
    server.topics().create_topic(request).await.expect("create the topic");
}

pub(crate) async fn delete(server: &Server, topic: &str) {
    let name = topic.to_owned();
    let request = DeleteTopicRequest { name };
    server.topics().delete_topic(request).await.expect("delete the topic");
}

pub(crate) async fn publish(server: &Server, topic: &str, events: &[&str]) {
    let request = PublishRequest {
        events: events.iter().map(|id| event(id)).collect(),
        topic: topic.to_owned(),
        ..Default::default()
    };
    server.try_publish(request).await.expect("publish");
}

/// An event with a key of its own.
fn event(id: &str) -> CloudEvent {
    order(id, id)
}

fn topic_of(delivery: &Delivery) -> &str {
    &delivery.position.as_ref().expect("a position").topic
}

pub(crate) fn read_ids(events: &[ReadEvent]) -> Vec<String> {
    let id = |read: &ReadEvent| read.event.as_ref().expect("an event").id.clone();
    let mut ids: Vec<_> = events.iter().map(id).collect();
    ids.sort();
    ids
}

pub(crate) fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[tokio::test]
async fn patterns_that_cannot_be_used_are_named_with_their_rule() {
    let server = Server::start().await;
    for (bad, rule) in [
        ("a*", "whole segments"),
        ("***", "whole segments"),
        ("re:(", "regular expression"),
    ] {
        let refusal = refused(
            server.open_refused(matching("group", &["a.*", bad])).await,
            Code::InvalidArgument,
            "TOPIC_INVALID",
        );
        assert_eq!(fields(&refusal), ["open.topics[1]"]);
        assert!(refusal.message().contains(rule), "{}", refusal.message());
        let read = server.read(reading(&[bad, "a b"])).await.map(|_| ());
        let refusal = refused(read, Code::InvalidArgument, "TOPIC_INVALID");
        assert_eq!(fields(&refusal), ["topics[0]", "topics[1]"]);
    }
}

#[tokio::test]
async fn the_command_line_takes_patterns() {
    let server = Server::start().await;
    for topic in ["shop.a", "shop.b"] {
        create(&server, topic, 1).await;
        publish(&server, topic, &[topic]).await;
    }
    let subscribe = ["subscribe", "--group", "g", "re:shop[.].", "--max", "2"];
    for command in [&["read", "shop.*"][..], &subscribe] {
        let output = server.run(command.iter().copied()).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success() && text.contains("shop.a") && text.contains("shop.b"),
            "{text}"
        );
    }
}
