//! Bad input to Publish: each fault is named, and nothing is written.

use bytes::Bytes;
use prost::Message as _;
use tidings::proto::{
    io::cloudevents::v1::{
        CloudEvent,
        cloud_event::{CloudEventAttributeValue, Data, cloud_event_attribute_value::Attr},
    },
    tidings::v1::PublishRequest,
};
use tonic::Code;

use crate::harness::{
    Server,
    clients::{ORDERS, order, request, text},
    status::{fields, reason, refused},
};

const PUBLISH: &str = "/tidings.v1.PublisherService/Publish";

type Change = fn(&mut CloudEvent);

fn attribute(event: &mut CloudEvent, name: &str, attr: Option<Attr>) {
    let value = CloudEventAttributeValue { attr };
    event.attributes.insert(name.to_owned(), value);
}

#[tokio::test]
async fn each_fault_of_an_event_is_named_by_its_place() {
    let server = Server::start().await;
    let cases: [(&str, Change); 20] = [
        ("id", |event| event.id.clear()),
        ("source", |event| event.source.clear()),
        ("source", |event| event.source = "ht tp://%%zz".to_owned()),
        ("type", |event| event.r#type.clear()),
        ("type", |event| event.r#type = "nothing".to_owned()),
        ("spec_version", |event| event.spec_version = "0.3".to_owned()),
        ("spec_version", |event| event.spec_version.clear()),
        ("id", |event| event.id = "a\u{7}b".to_owned()),
        ("attributes.time", |event| {
            attribute(event, "time", Some(Attr::CeString("yesterday".into())))
        }),
        ("attributes.time", |event| {
            attribute(event, "time", Some(Attr::CeBoolean(true)))
        }),
        ("attributes.subject", |event| {
            attribute(event, "subject", Some(Attr::CeString(String::new())))
        }),
        ("attributes.subject", |event| {
            attribute(event, "subject", Some(Attr::CeInteger(1)))
        }),
        ("attributes.datacontenttype", |event| {
            attribute(event, "datacontenttype", Some(Attr::CeString("not a type".into())))
        }),
        ("attributes.data", |event| {
            attribute(event, "data", Some(Attr::CeString("x".into())))
        }),
        ("attributes.Bad_Name", |event| {
            attribute(event, "Bad_Name", Some(Attr::CeString("x".into())))
        }),
        ("attributes.id", |event| {
            attribute(event, "id", Some(Attr::CeString("x".into())))
        }),
        ("attributes.specversion", |event| {
            attribute(event, "specversion", Some(Attr::CeString("1.0".into())))
        }),
        ("attributes.unset", |event| attribute(event, "unset", None)),
        ("attributes.text", |event| {
            attribute(event, "text", Some(Attr::CeString("a\u{ffff}".into())))
        }),
        ("data", |event| {
            event.data = Some(Data::ProtoData(prost_types::Any::default()))
        }),
    ];
    for (index, (field, change)) in cases.into_iter().enumerate() {
        let mut events: Vec<_> = (0..5).map(|n| order(&n.to_string(), "a")).collect();
        change(&mut events[3]);
        let result = server.try_publish(request(events)).await;
        let refusal = refused(result, Code::InvalidArgument, "EVENT_INVALID");
        assert_eq!(
            fields(&refusal),
            [format!("events[3].{field}")],
            "case {index}: {refusal:?}"
        );
    }
    let written = server.run(["topics", "list", "--output", "json"]).await;
    assert_eq!(
        String::from_utf8_lossy(&written.stdout),
        "",
        "nothing is written, no topic created"
    );
}

#[tokio::test]
async fn names_and_texts_that_are_too_long_are_refused() {
    let server = Server::start().await;
    let mut named = order("1", "a");
    attribute(&mut named, &"n".repeat(256), Some(Attr::CeString("x".into())));
    let result = server.try_publish(request([named])).await;
    refused(result, Code::InvalidArgument, "EVENT_INVALID");
    // Texts have no limit of their own, but count in the event's.
    let mut long = [order("1", "a"), order("2", "a"), order("3", "a")];
    long[0].id = "i".repeat(2 * 1024 * 1024);
    long[1].source = format!("/{}", "s".repeat(2 * 1024 * 1024));
    attribute(
        &mut long[2],
        "subject",
        Some(Attr::CeString("s".repeat(2 * 1024 * 1024))),
    );
    for event in long {
        let result = server.try_publish(request([event])).await;
        refused(result, Code::InvalidArgument, "EVENT_TOO_LARGE");
    }
}

#[tokio::test]
async fn all_faults_of_a_request_are_told_together() {
    let server = Server::start().await;
    let (mut first, mut second) = (order("1", "a"), order("2", "a"));
    first.id.clear();
    first.spec_version = "2.0".to_owned();
    attribute(&mut second, "time", Some(Attr::CeString("now".into())));
    let result = server.try_publish(request([first, order("3", "a"), second])).await;
    let refusal = refused(result, Code::InvalidArgument, "EVENT_INVALID");
    let mut named = fields(&refusal);
    named.sort_unstable();
    assert_eq!(
        named,
        ["events[0].id", "events[0].spec_version", "events[2].attributes.time"]
    );
}

#[tokio::test]
async fn the_details_of_5000_bad_events_stay_under_4_kib_and_say_how_many_there_are() {
    use tonic_types::StatusExt as _;
    let server = Server::start().await;
    let bad = |n: usize| CloudEvent {
        id: String::new(),
        attributes: [("x".repeat(200), text(&"y".repeat(100)))].into(),
        ..order(&n.to_string(), "a")
    };
    let result = server.try_publish(request((0..5_000).map(bad))).await;
    let refusal = refused(result, Code::InvalidArgument, "EVENT_INVALID");
    assert!(refusal.details().len() < 4_096 && refusal.message().len() <= 1_100);
    let info = refusal.get_details_error_info().expect("an ErrorInfo");
    let count: usize = info.metadata["faultCount"].parse().expect("a number");
    assert!(count >= 5_000, "{count}");
    assert_eq!(fields(&refusal)[0].split('.').next(), Some("events[0]"));
}

#[tokio::test]
async fn an_empty_request_is_refused() {
    let server = Server::start().await;
    let refusal = refused(
        server.try_publish(PublishRequest::default()).await,
        Code::InvalidArgument,
        "REQUEST_INVALID",
    );
    assert_eq!(fields(&refusal), ["events"]);
}

#[tokio::test]
async fn atomic_is_not_supported_yet_and_said_so() {
    let server = Server::start().await;
    let atomic = PublishRequest {
        atomic: true,
        ..request([order("1", "a")])
    };
    let refusal = refused(server.try_publish(atomic).await, Code::Unimplemented, "NOT_SUPPORTED");
    assert!(refusal.message().contains("atomic"), "{}", refusal.message());
}

#[tokio::test]
async fn topic_names_that_kafka_would_refuse_are_refused() {
    let server = Server::start().await;
    for name in [".", "..", "a/b", "a b", "ä", &"t".repeat(250)] {
        let with_topic = PublishRequest {
            topic: name.to_owned(),
            ..request([order("1", "a")])
        };
        let refusal = refused(
            server.try_publish(with_topic).await,
            Code::InvalidArgument,
            "TOPIC_INVALID",
        );
        assert_eq!(fields(&refusal), ["topic"], "{name}");
    }
    let longest = PublishRequest {
        topic: server.longest_topic(),
        ..request([order("1", "a")])
    };
    server.try_publish(longest).await.expect("as long as Kafka allows");
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_refused_with_its_attribute() {
    let server = Server::start().await;
    let mut bytes = request([order("@@@@@@", "a")]).encode_to_vec();
    let at = bytes.windows(6).position(|six| six == b"@@@@@@").expect("the id");
    bytes[at] = 0xff;
    let refusal = refused(
        server.raw_unary(PUBLISH, bytes.into()).await,
        Code::InvalidArgument,
        "EVENT_INVALID",
    );
    assert_eq!(fields(&refusal), ["events[0].id"]);
    server.publish(vec![order("1", "a")]).await;
    assert_eq!(server.read_all(ORDERS).await.len(), 1);
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused_with_a_reason() {
    let server = Server::start().await;
    for garbage in [&b"\xff\xff\xff\xff"[..], b"\x0a\x7f", b"\x0a\x02\x0a\xff"] {
        let result = server.raw_unary(PUBLISH, Bytes::from_static(garbage)).await;
        refused(result, Code::InvalidArgument, "REQUEST_INVALID");
    }
}

#[tokio::test]
async fn calls_that_do_not_exist_are_unimplemented_with_a_reason() {
    let server = Server::start().await;
    for path in ["/tidings.v1.PublisherService/Nothing", "/tidings.v1.NoService/Publish"] {
        let refusal = server.raw_unary(path, Bytes::new()).await.expect_err("refused");
        assert_eq!(
            reason(&refusal),
            (Code::Unimplemented, "NOT_SUPPORTED".to_owned()),
            "{path}"
        );
    }
}
