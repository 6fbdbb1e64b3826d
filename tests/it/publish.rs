//! Publishing: what OK means, where events go, under which key, in which order.

use tidings::proto::tidings::v1::{CreateTopicRequest, PublishRequest, ReadEvent, TopicSettings};
use tonic::Code;

use crate::harness::{
    Server,
    clients::{ORDERS, order, request, text},
    status::{fields, refused},
};

const ROUTES: &str = r#"
    [[routes]]
    type = "PortalThing"
    topic = "portal"
    key = "host"
"#;

fn id(read: &ReadEvent) -> &str {
    &read.event.as_ref().expect("an event").id
}

#[tokio::test]
async fn what_was_answered_ok_is_there_after_kill_9_at_the_positions_told() {
    let mut server = Server::start().await;
    let events = (0..50).map(|n| order(&n.to_string(), &format!("subject-{}", n % 7)));
    let told = server.try_publish(request(events)).await.expect("publish");
    server.kill().await;
    let server = server.restart().await;
    let mut there: Vec<_> = server.read_all(ORDERS).await;
    assert_eq!(there.len(), 50);
    there.sort_by_key(|read| id(read).parse::<usize>().expect("a number"));
    let positions: Vec<_> = there
        .into_iter()
        .map(|read| read.position.expect("a position"))
        .collect();
    assert_eq!(positions, told);
}

#[tokio::test]
async fn events_of_a_key_lie_in_the_order_of_the_request_and_of_the_requests() {
    let server = Server::start().await;
    for round in 0..5 {
        let events = (0..40).map(|n| order(&format!("{round}-{n:02}"), &format!("key-{}", n % 3)));
        server.publish(events.collect()).await;
    }
    let there = server.read_all(ORDERS).await;
    for key in ["key-0", "key-1", "key-2"] {
        let of_key = there.iter().filter(|read| read.key.as_deref() == Some(key.as_bytes()));
        let (ids, partitions): (Vec<_>, Vec<_>) = of_key
            .map(|read| {
                (
                    id(read).to_owned(),
                    read.position.as_ref().expect("a position").partition,
                )
            })
            .unzip();
        assert!(ids.is_sorted() && ids.len() >= 65, "{key}: {ids:?}");
        assert!(partitions.iter().all(|partition| *partition == partitions[0]));
    }
}

#[tokio::test]
async fn the_topic_is_the_requests_else_the_routes_else_the_types() {
    let server = Server::start_with(ROUTES).await;
    let mut routed = order("1", "a");
    routed.r#type = "PortalThing".to_owned();
    let by_type = server.try_publish(request([order("2", "a")])).await.expect("publish");
    let by_route = server.try_publish(request([routed.clone()])).await.expect("publish");
    let by_request = server
        .try_publish(PublishRequest {
            topic: "elsewhere".to_owned(),
            ..request([routed, order("3", "a")])
        })
        .await
        .expect("publish");
    assert_eq!(by_type[0].topic, ORDERS);
    assert_eq!(by_route[0].topic, "portal");
    assert!(by_request.iter().all(|position| position.topic == "elsewhere"));
}

#[tokio::test]
async fn one_request_may_go_to_several_topics() {
    let server = Server::start().await;
    let mut user = order("2", "a");
    user.r#type = "io.shop.users.created".to_owned();
    let told = server
        .try_publish(request([order("1", "a"), user, order("3", "a")]))
        .await
        .expect("publish");
    let topics: Vec<_> = told.iter().map(|position| position.topic.as_str()).collect();
    assert_eq!(topics, [ORDERS, "io.shop.users.resource", ORDERS]);
    assert_eq!(told[0].offset + 1, told[2].offset);
}

#[tokio::test]
async fn the_key_is_the_requests_else_the_routes_else_partitionkey_else_subject_else_none() {
    let server = Server::start_with(ROUTES).await;
    let routed = |attributes: &[&str]| {
        let mut event = order("1", "a");
        event.r#type = "PortalThing".to_owned();
        event.attributes = attributes
            .iter()
            .map(|name| ((*name).to_owned(), text(&format!("by-{name}"))))
            .collect();
        event
    };
    for (attributes, requested, key) in [
        (
            &["host", "partitionkey", "subject"][..],
            Some("by-request"),
            Some("by-request"),
        ),
        (&["host", "partitionkey", "subject"], None, Some("by-host")),
        (&["partitionkey", "subject"], None, Some("by-partitionkey")),
        (&["subject"], None, Some("by-subject")),
        (&[], None, None),
    ] {
        let told = server
            .try_publish(PublishRequest {
                key: requested.map(|key| key.as_bytes().to_vec().into()),
                ..request([routed(attributes)])
            })
            .await
            .expect("publish");
        let there = server.read_all("portal").await;
        let last = there.iter().find(|read| read.position.as_ref() == Some(&told[0]));
        let found = last.expect("it is there").key.as_deref();
        assert_eq!(found, key.map(str::as_bytes), "{attributes:?}, {requested:?}");
    }
}

#[tokio::test]
async fn an_empty_key_in_the_request_is_a_key() {
    let server = Server::start().await;
    let with_key = PublishRequest {
        key: Some(Vec::new().into()),
        ..request((0..20).map(|n| order(&n.to_string(), &n.to_string())))
    };
    let told = server.try_publish(with_key).await.expect("publish");
    assert!(told.iter().all(|position| position.partition == told[0].partition));
    assert_eq!(server.read_all(ORDERS).await[0].key.as_deref(), Some(&b""[..]));
}

#[tokio::test]
async fn an_unknown_topic_is_created_with_the_default_partitions() {
    let server = Server::start_with("[topics]\ndefault_partitions = 7\n").await;
    server.publish(vec![order("1", "a")]).await;
    let found = server
        .topics()
        .get_topic(tidings::proto::tidings::v1::GetTopicRequest {
            name: ORDERS.to_owned(),
        })
        .await;
    let topic = found.expect("there").into_inner().topic.expect("a topic");
    assert_eq!(topic.settings.expect("settings").partitions, Some(7));
}

#[tokio::test]
async fn without_auto_create_an_unknown_topic_is_not_found_and_the_text_names_the_command() {
    let server = Server::start_with("[topics]\nauto_create = false\n").await;
    let refusal = refused(
        server.try_publish(request([order("1", "a")])).await,
        Code::NotFound,
        "TOPIC_NOT_FOUND",
    );
    assert!(
        refusal.message().contains(&format!("tidings topics create {ORDERS}")),
        "{}",
        refusal.message()
    );
    let created = server.run(["topics", "create", ORDERS, "--partitions", "2"]).await;
    assert!(created.status.success(), "{created:?}");
    server.publish(vec![order("1", "a")]).await;
}

#[tokio::test]
async fn one_event_of_many_that_has_no_topic_keeps_all_from_being_written() {
    let server = Server::start_with("[topics]\nauto_create = false\n").await;
    create(&server, ORDERS).await;
    let mut lost = order("2", "a");
    lost.r#type = "io.shop.users.created".to_owned();
    let result = server.try_publish(request([order("1", "a"), lost])).await;
    refused(result, Code::NotFound, "TOPIC_NOT_FOUND");
    assert!(server.read_all(ORDERS).await.is_empty());
}

#[tokio::test]
async fn the_topics_of_the_bus_are_not_for_publishing() {
    let server = Server::start().await;
    for name in ["tidings.groups", "tidings.anything", "__consumer_offsets"] {
        let with_topic = PublishRequest {
            topic: name.to_owned(),
            ..request([order("1", "a")])
        };
        let refusal = refused(
            server.try_publish(with_topic).await,
            Code::InvalidArgument,
            "TOPIC_INVALID",
        );
        assert_eq!(fields(&refusal), ["topic"]);
    }
    let mut event = order("1", "a");
    event.r#type = "tidings.groups.created".to_owned();
    let refusal = refused(
        server.try_publish(request([event])).await,
        Code::InvalidArgument,
        "EVENT_INVALID",
    );
    assert_eq!(fields(&refusal), ["events[0].type"]);
}

#[tokio::test]
async fn callers_at_the_same_time_all_get_their_own_positions() {
    let server = Server::start().await;
    create(&server, ORDERS).await;
    let calls = (0..64).map(|n| {
        let mut publisher = server.publisher();
        let events = request([order(&n.to_string(), &n.to_string())]);
        tokio::spawn(async move { publisher.publish(events).await.expect("publish").into_inner() })
    });
    let mut places = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        let answer = call.await.expect("a call");
        let position = answer.results[0].position.clone().expect("a position");
        places.push((position.partition, position.offset));
    }
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), 64);
}

async fn create(server: &Server, name: &str) {
    let settings = TopicSettings {
        partitions: Some(2),
        ..Default::default()
    };
    let request = CreateTopicRequest {
        name: name.to_owned(),
        settings: Some(settings),
    };
    server.topics().create_topic(request).await.expect("create the topic");
}
