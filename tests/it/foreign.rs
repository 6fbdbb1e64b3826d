//! Records that others wrote: whatever lies on a topic, the stream goes on, the rest arrives, nothing is dropped silently.

use bytes::Bytes;
use tidings::{
    log::{Headers, HeadersBuilder, NewRecord},
    name::Topic,
    proto::{
        io::cloudevents::v1::{CloudEvent, cloud_event::Data},
        tidings::v1::{CreateTopicRequest, DecodeFault, Filter, ReadRequest, TopicSettings, filter::Dialect},
    },
};

use crate::harness::{
    Server,
    clients::{ORDERS, open, order},
};

/// A record, and what becomes of it: the field at fault, if one is, and the event's id and data.
struct Case {
    what: &'static str,
    headers: Headers,
    value: Option<&'static [u8]>,
    fault: Option<&'static str>,
    id: &'static str,
    data: Option<Data>,
}

fn headers(pairs: &[(&str, Option<&[u8]>)]) -> Headers {
    let mut builder = HeadersBuilder::default();
    for (name, value) in pairs {
        builder.add_parts(&[name], *value);
    }
    builder.build()
}

/// Binary mode, with these headers behind the required ones.
fn binary(more: &[(&str, Option<&[u8]>)]) -> Headers {
    let required: [(&str, Option<&[u8]>); 4] = [
        ("ce_specversion", Some(b"1.0")),
        ("ce_id", Some(b"mine")),
        ("ce_source", Some(b"/else")),
        ("ce_type", Some(b"Thing")),
    ];
    headers(&[&required, more].concat())
}

fn structured() -> Headers {
    headers(&[("content-type", Some(b"application/cloudevents+json; charset=UTF-8"))])
}

fn raw(bytes: &'static [u8]) -> Option<Data> {
    Some(Data::BinaryData(Bytes::from_static(bytes)))
}

fn cases() -> Vec<Case> {
    let text = |text: &str| Some(Data::TextData(text.to_owned()));
    let case = |what, headers, value, fault, id, data| Case {
        what,
        headers,
        value,
        fault,
        id,
        data,
    };
    vec![
        case("no headers", Headers::default(), Some(b"\x00\xff"), None, "0:1", raw(b"\x00\xff")),
        case("no headers and no value", Headers::default(), None, None, "0:2", None),
        case("a null value", binary(&[]), None, None, "mine", None),
        case("an empty value", binary(&[]), Some(b""), None, "mine", raw(b"")),
        case("a null header value", binary(&[("ce_subject", None), ("else", None)]), None, None, "mine", None),
        case("a required header that is null", headers(&[("ce_id", None), ("ce_type", Some(b"t"))]), Some(b"v"), Some("ce_specversion"), "0:6", raw(b"v")),
        case("a header twice: the last counts", binary(&[("ce_id", Some(b"second"))]), None, None, "second", None),
        case("a header that is not UTF-8", binary(&[("ce_text", Some(b"\xff"))]), Some(b"v"), Some("ce_text"), "0:8", raw(b"v")),
        case("a name against the rules", binary(&[("ce_Bad_Name", Some(b"x"))]), Some(b"v"), Some("ce_bad_name"), "0:9", raw(b"v")),
        case("a time that is none", binary(&[("ce_time", Some(b"now"))]), Some(b"v"), Some("ce_time"), "0:10", raw(b"v")),
        case(
            "structured",
            structured(),
            Some(br#"{"specversion":"1.0","id":"js","source":"/else","type":"Thing","datacontenttype":"text/plain","data":"hello"}"#),
            None,
            "js",
            text("hello"),
        ),
        case("structured that does not parse", structured(), Some(b"{\"specversion\":"), Some(""), "0:12", raw(b"{\"specversion\":")),
        case("structured without a value", structured(), None, Some("value"), "0:13", None),
        case(
            "an event format that is not known",
            headers(&[("content-type", Some(b"application/cloudevents+avro"))]),
            Some(b"v"),
            Some("content-type"),
            "0:14",
            raw(b"v"),
        ),
    ]
}

/// A server whose topic has an event, the records of all cases, and an event behind them.
async fn with_foreign_records() -> Server {
    let server = Server::start().await;
    let request = CreateTopicRequest {
        name: ORDERS.to_owned(),
        settings: Some(TopicSettings {
            partitions: Some(1),
            ..Default::default()
        }),
    };
    server.topics().create_topic(request).await.expect("create the topic");
    server.publish(vec![order("before", "a")]).await;
    let record = |case: Case| NewRecord {
        topic: Topic::new(ORDERS).expect("a topic"),
        partition: Some(0),
        key: None,
        value: case.value.map(Bytes::from_static),
        headers: case.headers,
    };
    let records = cases().into_iter().map(record).collect();
    let server = server
        .with_log(async |log| {
            let receipt = log.append(records).await.expect("hand over");
            assert!(receipt.await.iter().all(Result::is_ok));
        })
        .await;
    server.publish(vec![order("after", "b")]).await;
    server
}

fn check(case: &Case, event: Option<CloudEvent>, fault: Option<DecodeFault>) {
    let event = event.expect("an event");
    let field = fault.as_ref().map(|fault| fault.field.as_str());
    match case.fault {
        // What a parser says of broken JSON is its own affair.
        Some("") => assert!(
            fault.as_ref().is_some_and(|fault| !fault.rule.is_empty()),
            "{}",
            case.what
        ),
        expected => assert_eq!(field, expected, "{}: {fault:?}", case.what),
    }
    assert_eq!((event.id.as_str(), &event.data), (case.id, &case.data), "{}", case.what);
    assert!(
        !event.source.is_empty() && !event.r#type.is_empty() && event.spec_version == "1.0",
        "{}",
        case.what
    );
    if case.id.starts_with("0:") {
        assert_eq!(
            (event.source, event.r#type),
            (format!("topic:{ORDERS}"), ORDERS.to_owned())
        );
    }
}

#[tokio::test]
async fn a_reader_gets_every_record_whatever_it_is() {
    let server = with_foreign_records().await;
    let there = server.read_all(ORDERS).await;
    assert_eq!(there.len(), cases().len() + 2);
    for (case, read) in cases().iter().zip(&there[1..]) {
        check(case, read.event.clone(), read.fault.clone());
    }
    assert_eq!(
        there.last().expect("the last").event.as_ref().expect("an event").id,
        "after"
    );
}

#[tokio::test]
async fn no_filter_hides_a_record_that_is_no_event() {
    let server = with_foreign_records().await;
    let request = ReadRequest {
        topics: vec![ORDERS.to_owned()],
        filter: Some(Filter {
            dialect: Some(Dialect::Cesql("false".to_owned())),
        }),
        ..Default::default()
    };
    let there = server
        .read(request)
        .await
        .expect("read")
        .rest()
        .await
        .expect("to its end");
    let all = cases();
    let at_fault: Vec<_> = all.iter().filter(|case| case.fault.is_some()).collect();
    assert_eq!(there.len(), at_fault.len());
    for (case, read) in at_fault.into_iter().zip(there) {
        check(case, read.event, read.fault);
    }
}

#[tokio::test]
async fn a_group_gets_every_record_whatever_it_is_and_its_offset_passes_them() {
    let server = with_foreign_records().await;
    let mut stream = server.subscribe(open("group")).await;
    let mut got = stream.deliveries(cases().len() + 2).await;
    got.sort_by_key(|delivery| delivery.position.as_ref().expect("set").offset);
    for (case, delivery) in cases().iter().zip(&got[1..]) {
        check(case, delivery.event.clone(), delivery.fault.clone());
    }
    stream.ack(&got);
    stream.close().await;
    let again = server.subscribe(open("group")).await;
    assert_eq!(again.opened.partitions[0].committed, Some(16));
}

#[tokio::test]
async fn the_command_line_prints_every_record_whatever_it_is() {
    let server = with_foreign_records().await;
    let read = server.run(["read", ORDERS, "--output", "json"]).await;
    assert!(read.status.success(), "{read:?}");
    assert_eq!(String::from_utf8_lossy(&read.stdout).lines().count(), cases().len() + 2);
}
