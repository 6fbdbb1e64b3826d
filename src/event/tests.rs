//! Tables of the rules, and the strategies that give other modules any event.

use proptest::{collection::vec, option, prelude::*};

use super::*;

/// A draft that passes.
pub(crate) fn draft() -> Draft {
    Draft {
        id: "1".into(),
        source: "/shop".into(),
        spec_version: "1.0".into(),
        ty: "io.shop.orders.created".into(),
        attributes: Vec::new(),
        data: Data::None,
    }
}

pub(crate) fn with(attributes: &[(&str, Value)]) -> Draft {
    Draft {
        attributes: attributes
            .iter()
            .map(|(name, value)| ((*name).into(), value.clone()))
            .collect(),
        ..draft()
    }
}

pub(crate) fn string(text: &str) -> Value {
    Value::String(text.into())
}

/// The rules that `draft` breaks, as `field: rule`.
fn faults(draft: Draft) -> Vec<String> {
    let faults = draft.check().expect_err("this draft should have faults");
    faults.iter().map(ToString::to_string).collect()
}

fn plain_text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,20}", "[äöü日本😀 a-z]{0,10}"]
}

fn uri_reference() -> impl Strategy<Value = String> {
    prop_oneof![
        "/[a-z0-9/._-]{0,12}",
        "https://[a-z]{1,8}[.]example/[a-z0-9/]{0,8}([?][a-z=&]{0,5})?",
        "urn:[a-z]{2}:[a-z0-9]{1,8}"
    ]
}

fn timestamp() -> impl Strategy<Value = String> {
    let date = "(1[0-9]{3}|20[0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])";
    let regex =
        format!("{date}[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{{1,12}})?([Zz]|[+-][01][0-9]:[0-5][0-9])");
    proptest::string::string_regex(&regex).expect("a regular expression")
}

pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Boolean),
        any::<i32>().prop_map(Value::Integer),
        plain_text().prop_map(|text| Value::String(text.into())),
        vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Binary(bytes.into())),
        "https://[a-z]{1,8}[.]example/[a-z0-9/]{0,8}".prop_map(|text| Value::Uri(text.into())),
        uri_reference().prop_map(|text| Value::UriRef(text.into())),
        timestamp().prop_map(|text| Value::Timestamp(text.into())),
    ]
}

fn any_attribute() -> impl Strategy<Value = (String, Value)> {
    let content_type = prop_oneof![
        Just("application/json"),
        Just("Application/foo+JSON; charset=utf-8"),
        Just("text/plain"),
        Just("application/xml"),
        Just("application/protobuf"),
        Just("application/yaml"),
        Just("image/png"),
    ];
    prop_oneof![
        6 => ("[a-z][a-z0-9]{0,8}", any_value()),
        2 => content_type.prop_map(|text| ("datacontenttype".into(), string(text))),
        1 => "type[.]googleapis[.]com/[a-z]{1,5}[.][A-Z]{1,5}".prop_map(|text| ("dataschema".into(), string(&text))),
        1 => uri_reference().prop_map(|text| ("dataschema".into(), Value::UriRef(text.into()))),
        1 => timestamp().prop_map(|text| ("time".into(), string(&text))),
        1 => plain_text().prop_map(|text| ("subject".into(), string(&text))),
        1 => timestamp().prop_map(|text| ("expirytime".into(), string(&text))),
        1 => any::<i32>().prop_map(|number| ("sampledrate".into(), Value::Integer(number))),
        1 => any::<i32>().prop_map(|number| ("severitynumber".into(), string(&number.to_string()))),
        1 => any::<bool>().prop_map(|flag| ("deprecated".into(), Value::Boolean(flag))),
        1 => uri_reference().prop_map(|text| ("dataref".into(), string(&text))),
        1 => vec(any::<u8>(), 0..9).prop_map(|bytes| ("dssematerial".into(), Value::Binary(bytes.into()))),
    ]
}

fn any_data() -> impl Strategy<Value = Data> {
    let json = prop_oneof![
        "[0-9]",
        "\"[a-z\\n]{0,5}\"",
        r#"[{] ?"a": ?[1-9][.]0, "b":\n\[null, "ä"\][}]"#,
        "null"
    ];
    prop_oneof![
        Just(Data::None),
        vec(any::<u8>(), 0..40).prop_map(|bytes| Data::Binary(bytes.into())),
        ".{0,20}".prop_map(|text| Data::Text(text.into())),
        json.prop_map(|text| Data::Text(text.into())),
        vec(any::<u8>(), 0..40).prop_map(|bytes| Data::Proto(bytes.into())),
    ]
}

/// Any draft whose attributes' names do not repeat; most pass.
pub(crate) fn any_draft() -> impl Strategy<Value = Draft> {
    let id = "[!-~]{1,12}";
    let ty = prop_oneof!["[a-z]{1,5}([.][a-z]{1,8}){2,4}", "[A-Z][A-Za-z]{1,10}"];
    (id, uri_reference(), ty, vec(any_attribute(), 0..20), any_data()).prop_map(|(id, source, ty, attributes, data)| {
        let mut attributes: Vec<(ByteString, Value)> = attributes
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
        attribute::keep_last(&mut attributes, |_| {});
        Draft {
            id: id.into(),
            source: source.into(),
            spec_version: "1.0".into(),
            ty: ty.into(),
            attributes,
            data,
        }
    })
}

/// Any event.
pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    any_draft().prop_filter_map("has a fault", |draft| draft.check().ok())
}

/// Any draft, whatever its texts.
fn any_rubbish() -> impl Strategy<Value = Draft> {
    let text = || prop_oneof![".{0,12}", "[a-z0-9:/.]{0,12}", Just("1.0".to_owned())];
    let name = prop_oneof![
        ".{0,6}",
        Just("time".to_owned()),
        Just("dataschema".to_owned()),
        "[a-z]{1,2}"
    ];
    let value = (0..7_usize, text()).prop_map(|(kind, text)| match kind {
        0 => Value::Boolean(true),
        1 => Value::Integer(1),
        2 => Value::Binary(text.into()),
        kind => attribute::of_text(attribute::Kind::ALL[kind], text.into()),
    });
    let attributes = vec((name.prop_map(ByteString::from), value), 0..24);
    (text(), text(), option::of(text()), text(), attributes, any_data()).prop_map(
        |(id, source, spec_version, ty, attributes, data)| Draft {
            id: id.into(),
            source: source.into(),
            spec_version: spec_version.unwrap_or_else(|| "1.0".into()).into(),
            ty: ty.into(),
            attributes,
            data,
        },
    )
}

#[test]
fn every_fault_is_told() {
    let draft = Draft {
        attributes: vec![
            ("data".into(), string("x")),
            ("Bad_Name-1".into(), string("x")),
            ("id".into(), string("x")),
            ("time".into(), string("yesterday")),
            ("a".into(), string("x\n")),
            ("a".into(), string("x")),
            ("".into(), string("x")),
        ],
        ..Draft::default()
    };
    let faults = faults(draft);
    for start in [
        "id: is missing",
        "source: is missing",
        "spec_version: is missing",
        "type: is missing",
        "attributes.data: data is not an attribute",
        "attributes.Bad_Name-1: an attribute's name is made of lower-case",
        "attributes.id: this is the name of a required attribute",
        "attributes.time: must be a timestamp (RFC 3339)",
        "attributes.a: contains U+000A",
        "attributes.a: is there more than once",
        "attributes.: an attribute's name must not be empty",
    ] {
        assert!(
            faults.iter().any(|fault| fault.starts_with(start)),
            "{start} in {faults:#?}"
        );
    }
    assert_eq!(faults.len(), 11);
}

#[test]
fn names_are_lower_case_letters_and_digits() {
    for good in ["a", "0", "longerthantwentycharacters", &"a".repeat(255)] {
        assert!(with(&[(good, string("x"))]).check().is_ok(), "{good}");
    }
    for bad in [
        "",
        "A",
        "a_b",
        "a-b",
        "ä",
        "data",
        "id",
        "source",
        "type",
        "specversion",
        "a ",
        &"a".repeat(256),
    ] {
        assert!(with(&[(bad, string("x"))]).check().is_err(), "{bad}");
    }
}

#[test]
fn required_attributes_have_their_rules() {
    type Set = fn(&mut Draft, &str);
    let id: (Set, &str) = (|draft, text| draft.id = text.into(), "id");
    let source: (Set, &str) = (|draft, text| draft.source = text.into(), "source");
    let spec_version: (Set, &str) = (|draft, text| draft.spec_version = text.into(), "spec_version");
    let ty: (Set, &str) = (|draft, text| draft.ty = text.into(), "type");
    for ((set, field), text) in [
        (id, ""),
        (id, "a\u{7f}"),
        (source, ""),
        (source, "ht tp://%%zz"),
        (spec_version, ""),
        (spec_version, "0.3"),
        (spec_version, "1.0 "),
        (ty, ""),
        (ty, "a\u{fffe}"),
    ] {
        let mut draft = draft();
        set(&mut draft, text);
        let faults = faults(draft);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with(&format!("{field}: ")), "{faults:?}");
    }
}

/// Each value given settles as said, or is refused.
fn assert_settled(rows: &[(&str, Value, Option<Value>)]) {
    for (name, given, settled) in rows {
        let event = with(&[(name, given.clone())]).check();
        let found = event.ok().and_then(|event| event.attribute(name).cloned());
        assert_eq!(found, *settled, "{name} {given:?}");
    }
}

fn uri(text: &str) -> Value {
    Value::Uri(text.into())
}

fn uri_ref(text: &str) -> Value {
    Value::UriRef(text.into())
}

fn time(text: &str) -> Value {
    Value::Timestamp(text.into())
}

#[test]
fn optional_attributes_get_their_types() {
    const EXACT: &str = "2018-04-26T14:48:09.1234567891+02:00";
    let (charset, type_url) = ("Text/Plain; charset=utf-8", "type.googleapis.com/a.B");
    assert_settled(&[
        ("subject", string("a|b"), Some(string("a|b"))),
        ("subject", uri("urn:a:b"), Some(string("urn:a:b"))),
        ("subject", string(""), None),
        ("subject", Value::Integer(1), None),
        ("time", string(EXACT), Some(time(EXACT))),
        ("time", time("2018-04-26t14:48:09z"), Some(time("2018-04-26t14:48:09z"))),
        ("time", string(""), None),
        ("time", time("2018-04-26"), None),
        ("time", Value::Boolean(true), None),
        ("datacontenttype", string(charset), Some(string(charset))),
        ("datacontenttype", string("not a mime"), None),
        ("datacontenttype", string(""), None),
        ("dataschema", string(type_url), Some(uri(type_url))),
        ("dataschema", uri_ref("/a#b"), Some(uri("/a#b"))),
        ("dataschema", uri("HTTP://Example.COM"), Some(uri("HTTP://Example.COM"))),
        ("dataschema", string(""), None),
        ("dataschema", string("a b"), None),
        ("dataschema", Value::Binary("a".into()), None),
    ]);
}

#[test]
fn known_extensions_get_their_types() {
    assert_settled(&[
        ("sampledrate", Value::Integer(5), Some(Value::Integer(5))),
        ("sampledrate", string("5"), Some(string("5"))),
        ("sampledrate", string("five"), None),
        ("sampledrate", string("2147483648"), None),
        ("sampledrate", string("+5"), None),
        ("sampledrate", Value::Boolean(true), None),
        ("deprecated", string("true"), Some(string("true"))),
        ("deprecated", string("True"), None),
        (
            "expirytime",
            string("2018-04-26T14:48:09Z"),
            Some(time("2018-04-26T14:48:09Z")),
        ),
        ("expirytime", string("soon"), None),
        ("dataref", string("/a"), Some(uri_ref("/a"))),
        ("dataref", uri("urn:a:b"), Some(uri_ref("urn:a:b"))),
        ("deprecationmigration", string("/a"), None),
        ("dssematerial", string("YQ=="), Some(Value::Binary("a".into()))),
        ("dssematerial", string("YQ"), None),
        ("sequence", Value::Integer(5), Some(Value::Integer(5))),
    ]);
}

#[test]
fn unknown_extensions_stay_as_they_are() {
    assert_settled(&[
        ("unknown", Value::Binary("a".into()), Some(Value::Binary("a".into()))),
        ("unknown", string(""), Some(string(""))),
        (
            "unknown",
            string("2018-04-26T14:48:09Z"),
            Some(string("2018-04-26T14:48:09Z")),
        ),
        ("unknown", uri_ref(""), Some(uri_ref(""))),
        ("unknown", uri("/a"), None),
        ("unknown", uri_ref("a b"), None),
        ("unknown", time("soon"), None),
    ]);
}

#[test]
fn data_gets_the_kind_that_its_content_type_says() {
    let json = ("datacontenttype", string("Application/JSON; charset=utf-8"));
    let proto = ("datacontenttype", string("application/protobuf"));
    let schema = ("dataschema", string("type.googleapis.com/a.B"));
    let bytes = |bytes: &'static [u8]| Data::Binary(bytes.into());
    for (attributes, given, settled) in [
        (vec![json.clone()], bytes(b"{}"), Data::Text("{}".into())),
        (vec![json.clone()], bytes(b"\xff"), bytes(b"\xff")),
        (vec![json], Data::None, Data::None),
        (vec![], bytes(b"{}"), bytes(b"{}")),
        (vec![], Data::Text("a".into()), Data::Text("a".into())),
        (vec![proto.clone()], bytes(b"a"), bytes(b"a")),
        (vec![proto, schema], bytes(b"a"), Data::Proto("a".into())),
    ] {
        let event = Draft {
            data: given.clone(),
            ..with(&attributes)
        }
        .check()
        .expect("valid");
        assert_eq!(event.data, settled, "{attributes:?} {given:?}");
    }
}

#[test]
fn a_protobuf_message_needs_its_schema_and_gets_its_content_type() {
    let schema = ("dataschema", string("type.googleapis.com/a.B"));
    let proto = |attributes: &[(&str, Value)]| Draft {
        data: Data::Proto("a".into()),
        ..with(attributes)
    };
    let event = proto(std::slice::from_ref(&schema)).check().expect("valid");
    assert_eq!(event.content_type().map(|text| &**text), Some("application/protobuf"));
    let same = ("datacontenttype", string("Application/Protobuf; messageType=a.B"));
    assert!(proto(&[schema.clone(), same]).check().is_ok());
    assert!(faults(proto(&[]))[0].starts_with("attributes.dataschema: is missing"));
    let other = ("datacontenttype", string("application/json"));
    assert!(faults(proto(&[schema, other]))[0].starts_with("attributes.datacontenttype: must be application/protobuf"));
}

#[test]
fn any_attribute_can_be_had_as_text() {
    let event = with(&[
        ("subject", string("s")),
        ("count", Value::Integer(-7)),
        ("flag", Value::Boolean(false)),
        ("raw", Value::Binary("a".into())),
    ]);
    let event = event.check().expect("valid");
    for (name, text) in [
        ("id", Some("1")),
        ("source", Some("/shop")),
        ("type", Some("io.shop.orders.created")),
        ("specversion", Some("1.0")),
        ("subject", Some("s")),
        ("count", Some("-7")),
        ("flag", Some("false")),
        ("raw", Some("YQ==")),
        ("data", None),
        ("time", None),
    ] {
        assert_eq!(event.text_of(name).as_deref(), text, "{name}");
    }
    assert_eq!(event.attribute("id"), None);
}

proptest! {
    #[test]
    fn most_drafts_pass(draft in any_draft()) {
        if let Err(faults) = draft.check() {
            // An extension's name may happen to be taken, a subject empty, data no message.
            let harmless = |fault: &Fault| fault.field.starts_with("attributes.");
            prop_assert!(faults.iter().all(harmless), "{:?}", faults);
        }
    }

    #[test]
    fn checking_twice_changes_nothing(event in any_event()) {
        let again = Draft {
            id: event.id.clone(),
            source: event.source.clone(),
            spec_version: "1.0".into(),
            ty: event.ty.clone(),
            attributes: event.attributes.clone(),
            data: event.data.clone(),
        };
        prop_assert_eq!(again.check(), Ok(event));
    }

    #[test]
    fn checking_loses_nothing(draft in any_draft()) {
        if let Ok(event) = draft.clone().check() {
            prop_assert_eq!(event.data.bytes(), draft.data.bytes());
            for (name, value) in &draft.attributes {
                prop_assert_eq!(event.attribute(name).map(Value::text), Some(value.text()));
            }
        }
    }

    #[test]
    fn any_draft_gets_a_verdict(draft in any_rubbish()) {
        if let Err(faults) = draft.check() {
            prop_assert!(!faults.is_empty());
        }
    }

    #[test]
    fn repeated_names_are_found_whatever_their_number(names in vec("[a-c]{1,2}", 0..40)) {
        let pairs: Vec<(&str, ())> = names.iter().map(|name| (name.as_str(), ())).collect();
        let expected: Vec<usize> = (0..names.len()).filter(|at| names[at + 1..].contains(&names[*at])).collect();
        prop_assert_eq!(attribute::repeated(&pairs), expected);
    }
}
