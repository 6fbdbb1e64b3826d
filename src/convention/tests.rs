use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::{
    event::{
        Draft,
        tests::{any_event, draft, string, with},
    },
    log::{HeadersBuilder, LogTime},
    name::Topic,
    proto::event::{from_proto, to_proto},
};

fn at() -> TopicPartition {
    TopicPartition {
        topic: Topic::new("io.shop.orders.resource").expect("valid"),
        partition: 3,
    }
}

fn record(headers: &[(&str, Option<&[u8]>)], value: Option<&[u8]>) -> Record {
    let mut builder = HeadersBuilder::default();
    for (name, value) in headers {
        builder.add_parts(&[name], *value);
    }
    logged(Encoded {
        value: value.map(Bytes::copy_from_slice),
        headers: builder.build(),
    })
}

fn logged(encoded: Encoded) -> Record {
    Record {
        offset: 42,
        time: LogTime(0),
        key: None,
        value: encoded.value,
        headers: encoded.headers,
    }
}

/// A binary mode record with these headers besides the required ones.
fn with_headers(more: &[(&str, Option<&[u8]>)]) -> Record {
    let mut headers: Vec<(&str, Option<&[u8]>)> = vec![
        ("ce_specversion", Some(b"1.0")),
        ("ce_id", Some(b"1")),
        ("ce_source", Some(b"/shop")),
        ("ce_type", Some(b"io.shop.orders.created")),
    ];
    headers.extend(more);
    record(&headers, None)
}

fn read_event(record: &Record) -> Event {
    let decoded = decode(&at(), record);
    assert_eq!(decoded.fault, None);
    decoded.event
}

fn read_fault(record: &Record) -> Fault {
    let decoded = decode(&at(), record);
    assert_eq!(decoded.event.id, "3:42");
    assert_eq!(decoded.event.source, "topic:io.shop.orders.resource");
    assert_eq!(decoded.event.ty, "io.shop.orders.resource");
    assert_eq!(decoded.event.attributes, []);
    assert_eq!(decoded.event.data.bytes(), record.value.as_ref());
    assert!(!matches!(decoded.event.data, Data::Text(_)));
    decoded.fault.expect("should have a fault")
}

fn written(encoded: &Encoded) -> Vec<(String, String)> {
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).expect("headers are text");
    encoded
        .headers
        .iter()
        .map(|(name, value)| (text(name), text(value.expect("not null"))))
        .collect()
}

#[test]
fn an_event_is_written_in_binary_mode() {
    let event = Draft {
        data: Data::Text("{}".into()),
        ..with(&[
            ("datacontenttype", string("application/json")),
            ("subject", string("ä")),
            ("time", string("2018-04-05T17:31:00+02:00")),
            ("sampledrate", Value::Integer(7)),
            ("count", Value::Integer(5)),
            ("flag", Value::Boolean(true)),
            ("severitynumber", string("5")),
        ])
    };
    let encoded = encode(&event.check().expect("valid"));
    assert_eq!(encoded.value.as_deref(), Some(&b"{}"[..]));
    let expected = [
        ("ce_specversion", "1.0"),
        ("ce_id", "1"),
        ("ce_source", "/shop"),
        ("ce_type", "io.shop.orders.created"),
        ("content-type", "application/json"),
        ("ce_subject", "ä"),
        ("ce_time", "2018-04-05T17:31:00+02:00"),
        ("ce_sampledrate", "7"),
        ("ce_count", "5"),
        ("ce_flag", "true"),
        ("ce_severitynumber", "5"),
        ("tidings_types", "count=integer,flag=boolean,severitynumber=string"),
    ];
    assert_eq!(
        written(&encoded),
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
}

#[test]
fn no_data_is_a_null_value_and_empty_data_an_empty_one() {
    for data in [Data::None, Data::Binary(Bytes::new()), Data::Text(ByteString::new())] {
        let event = Draft {
            data: data.clone(),
            ..draft()
        }
        .check()
        .expect("valid");
        let encoded = encode(&event);
        assert_eq!(encoded.value.is_none(), data == Data::None);
        assert_eq!(read_event(&logged(encoded)).data, data);
    }
}

/// With these headers besides the required ones (given as text; `None` is null), the attribute has the value.
#[track_caller]
fn assert_read(headers: &[(&str, Option<&str>)], name: &str, expected: Option<Value>) {
    let headers: Vec<(&str, Option<&[u8]>)> = headers
        .iter()
        .map(|(name, value)| (*name, value.map(str::as_bytes)))
        .collect();
    let event = read_event(&with_headers(&headers));
    assert_eq!(event.attribute(name), expected.as_ref(), "{headers:?}");
}

#[test]
fn names_of_headers_are_read_in_any_case_and_the_last_counts() {
    assert_eq!(read_event(&with_headers(&[])), draft().check().expect("valid"));
    assert_read(&[("CE_Foo", Some("x"))], "foo", Some(string("x")));
    assert_read(
        &[("ce_foo", Some("x")), ("Ce_FOO", Some("y"))],
        "foo",
        Some(string("y")),
    );
    assert_read(&[("ce_foo", Some("x")), ("ce_foo", None)], "foo", None);
    assert_read(
        &[("ce_foo", Some("\n")), ("ce_foo", Some("y"))],
        "foo",
        Some(string("y")),
    );
    assert_read(
        &[("content-type", Some("a/b")), ("Content-Type", Some("c/d"))],
        "datacontenttype",
        Some(string("c/d")),
    );
    assert_read(&[("traceparent", Some("x")), ("\u{e4}", None)], "traceparent", None);
}

#[test]
fn null_and_empty_headers_are_absent_but_for_texts() {
    assert_read(&[("ce_foo", None)], "foo", None);
    assert_read(&[("ce_foo", Some(""))], "foo", Some(string("")));
    assert_read(&[("ce_bad_name", None)], "bad", None);
    for name in [
        "subject",
        "time",
        "dataschema",
        "deprecated",
        "expirytime",
        "deprecationmigration",
    ] {
        assert_read(&[(&format!("ce_{name}"), Some(""))], name, None);
    }
    assert_read(&[("ce_dataref", Some(""))], "dataref", Some(Value::UriRef("".into())));
    assert_read(&[("content-type", Some(""))], "datacontenttype", None);
}

#[test]
fn a_second_content_type_counts_where_there_is_no_first() {
    let (first, second) = (("content-type", Some("a/b")), ("ce_datacontenttype", Some("c/d")));
    assert_read(&[second, first], "datacontenttype", Some(string("a/b")));
    assert_read(&[first, second], "datacontenttype", Some(string("a/b")));
    assert_read(&[second], "datacontenttype", Some(string("c/d")));
    assert_read(
        &[second, ("content-type", None)],
        "datacontenttype",
        Some(string("c/d")),
    );
    assert_read(
        &[second, ("content-type", Some(""))],
        "datacontenttype",
        Some(string("c/d")),
    );
}

#[test]
fn types_come_from_the_table_and_from_our_header() {
    let typed = |types| ("tidings_types", Some(types));
    assert_read(&[("ce_sampledrate", Some("5"))], "sampledrate", Some(Value::Integer(5)));
    assert_read(
        &[("ce_deprecated", Some("True"))],
        "deprecated",
        Some(Value::Boolean(true)),
    );
    assert_read(&[("ce_deprecated", Some("yes"))], "deprecated", Some(string("yes")));
    assert_read(&[("ce_expirytime", Some("soon"))], "expirytime", Some(string("soon")));
    assert_read(
        &[("ce_dataschema", Some("a.example/b"))],
        "dataschema",
        Some(Value::Uri("a.example/b".into())),
    );
    assert_read(
        &[("ce_a", Some("FALSE")), typed("a=boolean,x=y,,=,z")],
        "a",
        Some(Value::Boolean(false)),
    );
    assert_read(&[("ce_a", Some("x")), typed("a=integer")], "a", Some(string("x")));
    assert_read(&[("ce_a", Some("")), typed("a=integer")], "a", Some(string("")));
    assert_read(&[("ce_a", Some("5")), typed("a=number")], "a", Some(string("5")));
    let time = "2018-04-05T17:31:00Z";
    assert_read(
        &[("ce_time", Some(time)), typed("time=string")],
        "time",
        Some(Value::Timestamp(time.into())),
    );
    let event = read_event(&with_headers(&[
        ("ce_a", Some(b"5")),
        ("tidings_types", Some(b"a=integer\xff")),
    ]));
    assert_eq!(event.attribute("a"), Some(&string("5")));
}

#[test]
fn what_breaks_a_rule_is_a_fault_that_names_the_header() {
    for (headers, field) in [
        (&[("ce_id", Some(&b""[..]))][..], "ce_id"),
        (&[("ce_id", None)], "ce_id"),
        (&[("ce_id", Some(b"\xff"))], "ce_id"),
        (&[("ce_id", Some(b"\n"))], "ce_id"),
        (&[("ce_specversion", Some(b"0.3"))], "ce_specversion"),
        (&[("ce_source", Some(b"a b"))], "ce_source"),
        (&[("ce_type", None)], "ce_type"),
        (&[("ce_my_ext", Some(b"x"))], "ce_my_ext"),
        (&[("ce_", Some(b"x"))], "ce_"),
        (&[("ce_data", Some(b"x"))], "ce_data"),
        (&[("ce_time", Some(b"soon"))], "ce_time"),
        (&[("ce_foo", Some(b"\x00"))], "ce_foo"),
        (&[("ce_foo", Some(b"\xff"))], "ce_foo"),
        (&[("content-type", Some(b"json"))], "content-type"),
    ] {
        assert_eq!(read_fault(&with_headers(headers)).field, field, "{headers:?}");
    }
    assert_eq!(
        read_fault(&record(&[("ce_x", None)], Some(b"\x01"))).field,
        "ce_specversion"
    );
}

#[test]
fn a_record_that_is_no_event_is_delivered() {
    for (content_type, value, data) in [
        (None, Some(&b"abc"[..]), Data::Binary("abc".into())),
        (Some(&b"text/plain"[..]), Some(b"abc"), Data::Text("abc".into())),
        (Some(b"text/plain"), Some(b"\xff"), Data::Binary(b"\xff"[..].into())),
        (Some(b"json"), Some(b"abc"), Data::Binary("abc".into())),
        (Some(b"\xff"), Some(b"abc"), Data::Binary("abc".into())),
        (Some(b"application/protobuf"), Some(b"abc"), Data::Binary("abc".into())),
        (None, None, Data::None),
    ] {
        let event = read_event(&record(&[("content-type", content_type), ("x", None)], value));
        assert_eq!(
            (&*event.id, &*event.source, &*event.ty),
            ("3:42", "topic:io.shop.orders.resource", "io.shop.orders.resource")
        );
        assert_eq!(event.data, data);
        assert_eq!(
            event.attributes.len(),
            usize::from(content_type.is_some_and(|text| text.contains(&b'/')))
        );
    }
}

#[test]
fn structured_mode_is_read() {
    let json = br#"{"specversion":"1.0","id":"7","source":"/s","type":"t","count":5,"data":{"a":1}}"#;
    for content_type in [
        "application/cloudevents+json",
        "Application/CloudEvents+JSON; charset=UTF-8",
    ] {
        // The binding lets writers repeat attributes as headers; the envelope counts.
        let headers = [
            ("content-type", Some(content_type.as_bytes())),
            ("ce_id", Some(b"8")),
            ("ce_my_ext", Some(b"x")),
        ];
        let event = read_event(&record(&headers, Some(json)));
        assert_eq!(event.id, "7");
        assert_eq!(event.attribute("count"), Some(&Value::Integer(5)));
        assert_eq!(event.data, Data::Text(r#"{"a":1}"#.into()));
    }
    for (content_type, value, field) in [
        ("application/cloudevents+json", Some(&b"{"[..]), "json"),
        ("application/cloudevents+json", Some(b"{}"), "id"),
        ("application/cloudevents+json", None, "value"),
        ("application/cloudevents+protobuf", Some(b""), "content-type"),
        ("application/cloudevents-batch+json", Some(b"[]"), "content-type"),
        ("application/cloudevents", Some(b"{}"), "content-type"),
    ] {
        let record = record(&[("content-type", Some(content_type.as_bytes()))], value);
        assert_eq!(read_fault(&record).field, field, "{content_type}");
    }
}

#[test]
fn many_headers_and_deep_data_do_no_harm() {
    let one: [(&str, Option<&[u8]>); 1] = [("ce_a", Some(b"x"))];
    let event = read_event(&with_headers(&one.repeat(100_000)));
    assert_eq!(event.attributes.len(), 1);
    let json = format!(
        r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{}"#,
        "[".repeat(1_000_000)
    );
    let nested = format!("{json}{}}}", "]".repeat(1_000_000));
    let structured: [(&str, Option<&[u8]>); 1] = [("content-type", Some(b"application/cloudevents+json"))];
    let event = read_event(&record(&structured, Some(nested.as_bytes())));
    assert_eq!(
        json::to_json(&event).len(),
        nested.len() + r#","datacontenttype":"application/json""#.len()
    );
    assert_eq!(read_fault(&record(&structured, Some(json.as_bytes()))).field, "json");
}

#[test]
fn texts_and_data_share_the_records_bytes() {
    let event = Draft {
        data: Data::Text("x".repeat(100).into()),
        ..draft()
    }
    .check()
    .expect("valid");
    let record = logged(encode(&event));
    assert_eq!(
        record.value.as_ref().map(|bytes| bytes.as_ptr()),
        event.data.bytes().map(|bytes| bytes.as_ptr())
    );
    let back = read_event(&record);
    let headers = record.headers.encoded().as_ptr_range();
    for text in [&back.id, &back.source, &back.ty] {
        assert!(headers.contains(&text.as_ptr()));
    }
    assert_eq!(
        back.data.bytes().map(|bytes| bytes.as_ptr()),
        event.data.bytes().map(|bytes| bytes.as_ptr())
    );
}

proptest! {
    #[test]
    fn any_event_comes_back(event in any_event()) {
        let encoded = encode(&event);
        prop_assert_eq!(decode(&at(), &logged(encoded)), Decoded { event, fault: None });
    }

    #[test]
    fn json_survives_every_door(event in any_event()) {
        let sent = json::to_json(&event);
        let published = from_proto(to_proto(json::from_json(&sent).expect("just written"))).expect("just checked");
        let delivered = to_proto(decode(&at(), &logged(encode(&published))).event);
        let printed = json::to_json(&from_proto(delivered).expect("just checked"));
        let value = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).expect("JSON");
        prop_assert_eq!(value(&printed), value(&sent));
    }

    #[test]
    fn any_headers_give_an_event(
        names in vec(prop_oneof!["(ce_|CE_)?[a-z_]{0,5}", Just("ce_id".to_owned()), Just("content-type".to_owned()), Just("tidings_types".to_owned()), Just("ce_time".to_owned())], 0..24),
        values in vec(option::of(prop_oneof!["[a-z=,/0-9.]{0,8}", ".{0,6}", Just("1.0".to_owned()), Just("application/cloudevents+json".to_owned())]), 24),
        bytes in vec(any::<u8>(), 0..50),
    ) {
        let pairs: Vec<(&str, Option<&[u8]>)> = names.iter().map(String::as_str).zip(values.iter().map(|value| value.as_deref().map(str::as_bytes))).collect();
        let record = record(&pairs, Some(&bytes));
        let decoded = decode(&at(), &record);
        if decoded.fault.is_some() {
            prop_assert_eq!(decoded.event.data.bytes(), record.value.as_ref());
        }
        // An event read from anywhere can be written, and is then the same.
        let again = decode(&at(), &logged(encode(&decoded.event)));
        prop_assert_eq!(again, Decoded { event: decoded.event, fault: None });
    }

    #[test]
    fn any_bytes_give_an_event(headers in vec(any::<u8>(), 0..200), value in option::of(vec(any::<u8>(), 0..50))) {
        let encoded = Encoded { value: value.map(Bytes::from), headers: Headers::from_encoded(headers.into()) };
        let _ = decode(&at(), &logged(encoded));
    }

    #[test]
    fn damaged_records_give_an_event(event in any_event(), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let Encoded { value, headers } = encode(&event);
        let mut bytes = headers.encoded().to_vec();
        for (index, byte) in flips {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        let record = logged(Encoded { value, headers: Headers::from_encoded(bytes.into()) });
        prop_assert_eq!(decode(&at(), &record).event.data.bytes().is_some(), record.value.is_some() );
    }
}
