//! What callers may: what no policy allows is denied before anything is looked at, and what is denied is written down.

mod changes;
pub(crate) mod foreign;
pub(crate) mod groups;

use serde_json::Value;
use tidings::proto::tidings::v1::{
    CreateTopicRequest, DeleteTopicRequest, GetTopicRequest, ListGroupsRequest, ListTopicsRequest, Position,
    PublishRequest, ReadRequest, RestoreRequest, offset_service_client::OffsetServiceClient,
    publisher_service_client::PublisherServiceClient, state_service_client::StateServiceClient,
    subscriber_service_client::SubscriberServiceClient, topic_service_client::TopicServiceClient,
};
use tonic::{Code, Status};

use crate::{
    auth::{Shown, Token, token_of},
    harness::{
        Server,
        clients::{ORDERS, order, request},
        status::refused,
        within,
    },
};

/// Who may everything, and who may only what a policy says.
pub(crate) fn with_admin(policies: &str) -> String {
    format!("{}{}{ADMIN}{policies}", token_of("admin", "root"), token_of("a", "a"))
}

const ADMIN: &str = "[[auth.policies]]\nprincipals = [\"token:admin\"]\n\
                     verbs = [\"publish\", \"subscribe\", \"read\", \"reset\", \"dead-letter\", \"topics\", \"state\", \"command\", \"admin\"]\n\
                     topics = [\"**\"]\ngroups = [\"**\"]\ncheckpoints = [\"**\"]\n";

/// A policy of the token `a`.
pub(crate) fn policy(verbs: &str, rest: &str) -> String {
    format!("[[auth.policies]]\nprincipals = [\"token:a\"]\nverbs = [{verbs}]\n{rest}\n")
}

pub(crate) fn shown(server: &Server, token: &str) -> Shown {
    Token::new(token).on(server.channel())
}

pub(crate) async fn publish(channel: Shown, topic: &str, id: &str) -> Result<Vec<Position>, Status> {
    let request = PublishRequest {
        topic: topic.to_owned(),
        ..request([order(id, "1")])
    };
    let mut client = PublisherServiceClient::new(channel);
    let answer = within("a publish", client.publish(request)).await?.into_inner();
    Ok(answer
        .results
        .into_iter()
        .map(|result| result.position.expect("a position"))
        .collect())
}

/// The ids of what topics have.
pub(crate) async fn read(channel: Shown, topics: &[&str]) -> Result<Vec<String>, Status> {
    use tidings::proto::tidings::v1::read_response::Frame;
    let request = ReadRequest {
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        ..Default::default()
    };
    let mut client = SubscriberServiceClient::new(channel);
    let mut stream = within("a read", client.read(request)).await?.into_inner();
    let mut ids = Vec::new();
    while let Some(message) = within("a frame", stream.message()).await? {
        if let Some(Frame::ReadEvents(read)) = message.frame {
            ids.extend(read.events.into_iter().map(|event| event.event.expect("an event").id));
        }
    }
    ids.sort();
    Ok(ids)
}

pub(crate) fn denied<T>(result: Result<T, Status>) -> String {
    refused(result, Code::PermissionDenied, "PERMISSION_DENIED")
        .message()
        .to_owned()
}

#[tokio::test]
async fn without_a_policy_whoever_is_known_may_nothing() {
    let server = Server::start_with(&token_of("a", "a")).await;
    let channel = shown(&server, "a");
    crate::auth::info(channel.clone()).await.expect("known");
    denied(publish(channel.clone(), "", "1").await);
    denied(read(channel.clone(), &["**"]).await);
    let create = CreateTopicRequest {
        name: "t".to_owned(),
        ..Default::default()
    };
    denied(TopicServiceClient::new(channel.clone()).create_topic(create).await);
    let listed = TopicServiceClient::new(channel.clone())
        .list_topics(ListTopicsRequest::default())
        .await;
    assert!(listed.expect("an empty list").into_inner().topics.is_empty());
    let listed = OffsetServiceClient::new(channel)
        .list_groups(ListGroupsRequest::default())
        .await;
    assert!(listed.expect("an empty list").into_inner().groups.is_empty());
}

#[tokio::test]
async fn a_verb_is_for_the_topics_of_its_policy_and_no_others() {
    let policies = [
        policy("\"publish\"", "topics = [\"io.shop.*.resource\"]"),
        policy("\"read\", \"state\"", "topics = [\"mine\"]"),
    ];
    let server = Server::start_with(&with_admin(&policies.concat())).await;
    let (admin, channel) = (shown(&server, "root"), shown(&server, "a"));
    for topic in ["mine", "others", "io.shop.users.resource"] {
        publish(admin.clone(), topic, topic).await.expect("published");
    }
    publish(channel.clone(), "", "1").await.expect("by its type");
    for topic in ["mine", "others", "none"] {
        let told = denied(publish(channel.clone(), topic, "2").await);
        assert_eq!(told, format!("the right to publish is missing for topic {topic}"));
    }
    assert_eq!(read(channel.clone(), &["mine"]).await.expect("read"), ["mine"]);
    for topic in [ORDERS, "others", "none", "tidings.audit", "tidings.none"] {
        let told = denied(read(channel.clone(), &["mine", topic]).await);
        assert_eq!(told, format!("the right to read is missing for topic {topic}"));
    }
    // Patterns mean what may be read.
    for pattern in ["**", "re:.*"] {
        assert_eq!(read(channel.clone(), &[pattern]).await.expect("read"), ["mine"]);
    }
    let restore = |topic: &str| RestoreRequest {
        topics: vec![topic.to_owned()],
        ..Default::default()
    };
    let mut state = StateServiceClient::new(channel.clone());
    state.restore(restore("mine")).await.expect("restored");
    denied(state.restore(restore("others")).await);
    assert!(read(admin, &["**"]).await.expect("read").len() > 3);
}

#[tokio::test]
async fn what_exists_and_what_does_not_are_denied_alike() {
    let server = Server::start_with(&with_admin(&policy("\"topics\", \"read\"", "topics = [\"mine.**\"]"))).await;
    publish(shown(&server, "root"), "others", "1").await.expect("published");
    let mut topics = TopicServiceClient::new(shown(&server, "a"));
    let mut get = async |name: &str| topics.get_topic(GetTopicRequest { name: name.to_owned() }).await;
    let (there, not_there) = (denied(get("others").await), denied(get("otherx").await));
    assert_eq!(there.replace("others", "otherx"), not_there);
    refused(get("mine.x").await, Code::NotFound, "TOPIC_NOT_FOUND");
    let mut topics = TopicServiceClient::new(shown(&server, "a"));
    for name in ["others", "otherx", "tidings.groups"] {
        denied(topics.delete_topic(DeleteTopicRequest { name: name.to_owned() }).await);
    }
    let listed = topics
        .list_topics(ListTopicsRequest {
            internal: true,
            ..Default::default()
        })
        .await
        .expect("a list");
    assert!(listed.into_inner().topics.is_empty());
}

#[tokio::test]
async fn the_buss_own_topics_need_admin() {
    let audit = policy("\"admin\", \"read\"", "topics = [\"tidings.audit\", \"x\"]");
    let server = Server::start_with(&with_admin(&audit)).await;
    denied(read(shown(&server, "a"), &["tidings.groups"]).await);
    denied(publish(shown(&server, "a"), "x", "1").await);
    // What was denied just now is there to be read.
    let told = audited(&server, "tidings.access.denied", 2).await;
    let text = |event: &Value, name: &str| event[name].as_str().expect("text").to_owned();
    let by: Vec<String> = told.iter().map(|event| text(event, "by")).collect();
    assert_eq!(by, ["token:a", "token:a"]);
    // Which verb on what.
    let why = text(&told[0], "reason");
    assert!(why.contains("read") && why.contains("topic tidings.groups"), "{why}");
    read(shown(&server, "a"), &["tidings.audit"]).await.expect("allowed");
}

/// The first acts of this type that the audit log has: who, what, and why.
pub(crate) async fn audited(server: &Server, ty: &str, count: usize) -> Vec<Value> {
    use tidings::proto::{
        io::cloudevents::v1::cloud_event::cloud_event_attribute_value::Attr, tidings::v1::read_response::Frame,
    };
    let request = ReadRequest {
        topics: vec!["tidings.audit".to_owned()],
        ..Default::default()
    };
    crate::harness::eventually(crate::harness::SOON, "acts in the audit log", async || {
        let mut client = SubscriberServiceClient::new(shown(server, "root"));
        let mut stream = client.read(request.clone()).await.ok()?.into_inner();
        let mut found = Vec::new();
        while let Some(message) = stream.message().await.ok()? {
            let Some(Frame::ReadEvents(read)) = message.frame else {
                continue;
            };
            for event in read
                .events
                .into_iter()
                .filter_map(|read| read.event)
                .filter(|event| event.r#type == ty)
            {
                let text = |name: &str| match event.attributes.get(name).and_then(|value| value.attr.clone()) {
                    Some(Attr::CeString(text)) => text,
                    _ => String::new(),
                };
                found.push(serde_json::json!({
                    "by": text("principal"), "subject": text("subject"), "reason": text("reason"),
                }));
            }
        }
        (found.len() >= count).then_some(found)
    })
    .await
}

#[tokio::test]
async fn denied_attempts_do_not_fill_the_audit_log() {
    let server = Server::start_with(&with_admin("")).await;
    for _ in 0..100 {
        denied(publish(shown(&server, "a"), "x", "1").await);
        refused(
            publish(shown(&server, "nobody"), "x", "1").await,
            Code::Unauthenticated,
            "TOKEN_INVALID",
        );
    }
    let told = audited(&server, "tidings.access.denied", 20).await;
    assert_eq!(told.len(), 20);
    assert_eq!(told.iter().filter(|event| event["by"] == "unknown").count(), 10);
    assert!(
        told.iter()
            .all(|event| event["subject"] == "/tidings.v1.PublisherService/Publish")
    );
}

#[tokio::test]
async fn changes_of_topics_are_written_down() {
    let server = Server::start_with(&with_admin("")).await;
    let mut topics = TopicServiceClient::new(shown(&server, "root"));
    let create = CreateTopicRequest {
        name: "t".to_owned(),
        ..Default::default()
    };
    topics.create_topic(create).await.expect("created");
    topics
        .delete_topic(DeleteTopicRequest { name: "t".to_owned() })
        .await
        .expect("deleted");
    for ty in ["tidings.topics.created", "tidings.topics.deleted"] {
        let told = audited(&server, ty, 1).await;
        assert_eq!(
            (told[0]["by"].as_str(), told[0]["subject"].as_str()),
            (Some("token:admin"), Some("t"))
        );
    }
}
