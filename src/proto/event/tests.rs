use proptest::{collection::vec, prelude::*};
use prost::Message as _;

use super::*;
use crate::event::{
    attribute::Kind,
    tests::{any_event, string},
};

fn proto(attributes: Vec<(&str, Option<Attr>)>, data: Option<cloud_event::Data>) -> CloudEvent {
    let attributes = attributes.into_iter();
    CloudEvent {
        id: "1".into(),
        source: "/s".into(),
        spec_version: "1.0".into(),
        r#type: "t".into(),
        attributes: attributes
            .map(|(name, attr)| (name.into(), CloudEventAttributeValue { attr }))
            .collect(),
        data,
    }
}

fn message(type_url: &str) -> Option<cloud_event::Data> {
    Some(cloud_event::Data::ProtoData(Any {
        type_url: type_url.into(),
        value: b"a".to_vec(),
    }))
}

fn fields(event: CloudEvent) -> Vec<String> {
    let faults = from_proto(event).expect_err("should have faults");
    faults.into_iter().map(|fault| fault.field).collect()
}

#[test]
fn every_fault_is_told() {
    assert_eq!(fields(CloudEvent::default()), ["id", "source", "spec_version", "type"]);
    let time = |seconds, nanos| Some(Attr::CeTimestamp(Timestamp { seconds, nanos }));
    for (attributes, data, expected) in [
        (vec![("a", None)], None, &["attributes.a"][..]),
        (vec![("time", time(0, -1))], None, &["attributes.time"]),
        (vec![("time", time(253_402_300_800, 0))], None, &["attributes.time"]),
        (vec![("time", Some(Attr::CeInteger(5)))], None, &["attributes.time"]),
        (
            vec![("B", Some(Attr::CeInteger(5))), ("data", Some(Attr::CeBoolean(true)))],
            None,
            &["attributes.B", "attributes.data"],
        ),
        (
            vec![
                ("b", Some(Attr::CeUri("/a".into()))),
                ("c", Some(Attr::CeUriRef("a b".into()))),
            ],
            None,
            &["attributes.b", "attributes.c"],
        ),
        (vec![], message(""), &["data"]),
        (vec![], message("a b"), &["attributes.dataschema"]),
        (
            vec![("dataschema", Some(Attr::CeUri("x:y".into())))],
            message("a/b"),
            &["attributes.dataschema"],
        ),
        (
            vec![("datacontenttype", Some(Attr::CeString("a/b".into())))],
            message("a/b"),
            &["attributes.datacontenttype"],
        ),
    ] {
        assert_eq!(fields(proto(attributes, data)), expected);
    }
}

#[test]
fn proto_data_is_its_bytes_and_its_schema() {
    let event = from_proto(proto(vec![], message("type.googleapis.com/a.B"))).expect("valid");
    assert_eq!(event.data, Data::Proto("a".into()));
    assert_eq!(
        event.attribute("dataschema"),
        Some(&Value::Uri("type.googleapis.com/a.B".into()))
    );
    assert_eq!(
        event.attribute("datacontenttype"),
        Some(&string("application/protobuf"))
    );
    let back = to_proto(event);
    assert_eq!(back.data, message("type.googleapis.com/a.B"));
    assert_eq!(
        back.attributes["dataschema"].attr,
        Some(Attr::CeUri("type.googleapis.com/a.B".into()))
    );
    let same = ("dataschema", Some(Attr::CeUriRef("type.googleapis.com/a.B".into())));
    assert!(from_proto(proto(vec![same], message("type.googleapis.com/a.B"))).is_ok());
}

#[test]
fn timestamps_go_out_as_timestamps_where_nothing_is_lost() {
    for (text, is_timestamp) in [
        ("2018-04-05T17:31:00Z", true),
        ("2018-04-05T17:31:00.500Z", true),
        ("2018-04-05T17:31:00.123456789Z", true),
        ("2018-04-05T17:31:00.5Z", false),
        ("2018-04-05T17:31:00.1234567891Z", false),
        ("2018-04-05T17:31:00+02:00", false),
    ] {
        let event = from_proto(proto(vec![("time", Some(Attr::CeString(text.into())))], None)).expect(text);
        assert_eq!(event.attribute("time"), Some(&Value::Timestamp(text.into())));
        let back = to_proto(event).attributes["time"].attr.clone();
        match back {
            Some(Attr::CeTimestamp(_)) => assert!(is_timestamp, "{text}"),
            other => assert_eq!(other, Some(Attr::CeString(text.into()))),
        }
    }
}

/// What the wire does not tell: an extension's timestamp that is only text there, and the order of attributes.
fn on_the_wire(mut event: Event) -> Event {
    for (name, value) in &mut event.attributes {
        if let Value::Timestamp(text) = value
            && timestamp::exact_instant(text).is_none()
            && attribute::usual_kind(name) != Kind::Timestamp
        {
            *value = Value::String(text.clone());
        }
    }
    event.attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
    event
}

proptest! {
    #[test]
    fn any_event_comes_back(event in any_event()) {
        let wire = to_proto(event.clone()).encode_to_vec();
        let back = from_proto(CloudEvent::decode(&*wire).expect("just encoded")).expect("just checked");
        prop_assert_eq!(back, on_the_wire(event));
    }

    #[test]
    fn any_bytes_get_a_verdict(bytes in vec(any::<u8>(), 0..100), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), event in any_event()) {
        let mut near = to_proto(event).encode_to_vec();
        for (index, byte) in flips {
            let index = index.index(near.len());
            near[index] = byte;
        }
        for bytes in [bytes, near] {
            if let Ok(event) = CloudEvent::decode(&*bytes) {
                let _ = from_proto(event).map(to_proto);
            }
        }
    }
}
