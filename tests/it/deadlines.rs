//! Deadlines and request ids: what every call has beside its message.

use prost::Message;
use tidings::proto::tidings::v1::{
    CreateTopicRequest, GetInfoRequest, GetTopicRequest, ListGroupsRequest, Open, PublishStreamRequest, ReadRequest,
    SubscribeRequest, subscribe_request::Frame as Sent,
};
use tonic::{Code, Status};

use crate::harness::{
    Server,
    clients::{ORDERS, open, order, request},
    status::reason,
    wire::{Connection, Ended},
};

const PUBLISH: &str = "/tidings.v1.PublisherService/Publish";
const SUBSCRIBE: &str = "/tidings.v1.SubscriberService/Subscribe";
const READ: &str = "/tidings.v1.SubscriberService/Read";
const INFO: &str = "/tidings.v1.SystemService/GetInfo";

fn exceeded(status: &Status) {
    assert_eq!(
        reason(status),
        (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()),
        "{status:?}"
    );
}

async fn hurried(connection: &Connection, path: &str, message: &impl Message) -> Ended {
    connection.unary(path, &[("grpc-timeout", "20m")], message).await
}

#[tokio::test]
async fn a_publish_that_has_no_time_ends_with_deadline_exceeded_and_says_what_it_knows() {
    let server = Server::start().await;
    let connection = Connection::open(&server).await;
    server.publish(vec![order("1", "a")]).await;
    // The log is quick: once in a while it answers before anyone looks at the clock.
    let mut status = Status::ok("");
    for _ in 0..50 {
        let ended = hurried(&connection, PUBLISH, &request([order("2", "a"), order("3", "a")])).await;
        status = ended.status;
        if status.code() != Code::Ok {
            break;
        }
    }
    exceeded(&status);
    let failure = publish_failure(&status);
    // The first may have become durable just before.
    let (told, last) = (
        failure.runs.iter().map(|run| run.count).sum::<u32>(),
        failure.runs.last().expect("a run"),
    );
    assert_eq!((failure.runs[0].first, told), (0, 2));
    assert_eq!(last.state(), tidings::proto::tidings::v1::OutcomeState::Unknown);
}

pub(crate) fn publish_failure(status: &Status) -> tidings::proto::tidings::v1::PublishFailure {
    let details = tonic_types::pb::Status::decode(status.details()).expect("details");
    let failure = details
        .details
        .iter()
        .find(|any| any.type_url.ends_with("tidings.v1.PublishFailure"));
    Message::decode(&*failure.expect("a PublishFailure").value).expect("a PublishFailure")
}

#[tokio::test]
async fn unary_calls_end_with_an_answer_or_with_deadline_exceeded_never_with_cancelled() {
    let server = Server::start().await;
    server.publish(vec![order("1", "a")]).await;
    let connection = Connection::open(&server).await;
    let topic = GetTopicRequest {
        name: ORDERS.to_owned(),
    };
    let create = |name: String| CreateTopicRequest { name, settings: None };
    for round in 0..5 {
        let name = format!("new-{round}");
        for ended in [
            hurried(&connection, "/tidings.v1.TopicService/GetTopic", &topic).await,
            hurried(&connection, "/tidings.v1.TopicService/CreateTopic", &create(name)).await,
            hurried(
                &connection,
                "/tidings.v1.OffsetService/ListGroups",
                &ListGroupsRequest::default(),
            )
            .await,
            hurried(&connection, INFO, &GetInfoRequest {}).await,
        ] {
            if ended.status.code() != Code::Ok {
                exceeded(&ended.status);
            }
        }
    }
}

#[tokio::test]
async fn streams_end_at_their_deadline_with_a_reason() {
    let server = Server::start().await;
    server.publish(vec![order("1", "a")]).await;
    let connection = Connection::open(&server).await;
    let deadline = [("grpc-timeout", "100m")];
    let mut subscribing = connection.call(SUBSCRIBE, &deadline).await;
    subscribing.send(&SubscribeRequest {
        frame: Some(Sent::Open(open("group"))),
    });
    exceeded(&subscribing.end().await.status);
    let silent = connection.call(SUBSCRIBE, &deadline).await;
    exceeded(&silent.end().await.status);
    let following = ReadRequest {
        topics: vec![ORDERS.to_owned()],
        follow: true,
        ..Default::default()
    };
    exceeded(&connection.unary(READ, &deadline, &following).await.status);
    let mut publishing = connection
        .call("/tidings.v1.PublisherService/PublishStream", &deadline)
        .await;
    publishing.send(&PublishStreamRequest {
        sequence: 1,
        publish: Some(request([order("2", "a")])),
        timeout: None,
    });
    exceeded(&publishing.end().await.status);
    assert_eq!(server.read_all(ORDERS).await.len(), 2);
}

#[tokio::test]
async fn a_unary_call_whose_request_does_not_come_ends_at_its_deadline_with_a_reason() {
    let server = Server::start().await;
    let connection = Connection::open(&server).await;
    let headers = [("grpc-timeout", "100m"), ("x-request-id", "7f3a")];
    let ended = connection.call(PUBLISH, &headers).await.end().await;
    exceeded(&ended.status);
    assert_eq!(ended.headers["x-request-id"], "7f3a");
}

#[tokio::test]
async fn a_deadline_that_cannot_be_read_is_none() {
    let server = Server::start().await;
    let connection = Connection::open(&server).await;
    for text in ["soon", "1", "-1S", "123456789S"] {
        let ended = connection
            .unary(INFO, &[("grpc-timeout", text)], &GetInfoRequest {})
            .await;
        assert_eq!(ended.status.code(), Code::Ok, "{text}");
    }
}

#[tokio::test]
async fn the_request_id_is_echoed_on_answers_and_on_errors() {
    let server = Server::start().await;
    let connection = Connection::open(&server).await;
    let id = [("x-request-id", "7f3a")];
    let nobody = SubscribeRequest {
        frame: Some(Sent::Open(Open::default())),
    };
    for ended in [
        connection.unary(INFO, &id, &GetInfoRequest {}).await,
        connection.unary(PUBLISH, &id, &request([])).await,
        connection.unary(SUBSCRIBE, &id, &nobody).await,
        connection
            .unary("/tidings.v1.Nothing/Nothing", &id, &GetInfoRequest {})
            .await,
    ] {
        let echoed: Vec<_> = ended.headers.get_all("x-request-id").iter().collect();
        assert_eq!(echoed, ["7f3a"], "{:?}", ended.status);
    }
}
