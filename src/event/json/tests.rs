use proptest::{collection::vec, prelude::*};

use super::*;
use crate::event::{
    attribute::Kind,
    tests::{any_event, string, with},
};

const START: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t""#;

fn read(members: &str) -> Result<Event, Vec<Fault>> {
    from_json(format!("{START}{members}}}").as_bytes())
}

fn fields(result: Result<Event, Vec<Fault>>) -> Vec<String> {
    result
        .expect_err("should have faults")
        .into_iter()
        .map(|fault| fault.field)
        .collect()
}

fn value(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).expect("JSON")
}

#[test]
fn an_event_comes_back_member_for_member() {
    for members in [
        "",
        r#","time":"2018-04-05T17:31:00.1234567891+02:00","subject":"a|b","datacontenttype":"application/json""#,
        r#","text":"5","count":5,"low":-2147483648,"flag":true,"other":"true","expirytime":"2018-04-05T17:31:00z""#,
        r#","datacontenttype":"application/json","data":{"b":[1,2.50,null,{"c":"ä\u00e4"}],"a":1e400}"#,
        r#","datacontenttype":"Application/foo+JSON; charset=utf-8","data":"just \"text\"""#,
        r#","datacontenttype":"application/json","data":null"#,
        r#","datacontenttype":"text/plain","data":"a\nb""#,
        r#","datacontenttype":"application/yaml","data":"a: b""#,
        r#","datacontenttype":"text/plain","data":"""#,
        r#","data_base64":"/w==""#,
        r#","data_base64":"""#,
        r#","datacontenttype":"image/png","data_base64":"/w==","dataschema":"https://a.example/b""#,
        r#","sampledrate":"5","severitynumber":7,"deprecated":"true","dssematerial":"YQ==""#,
    ] {
        let event = read(members).expect(members);
        let text = format!("{START}{members}}}");
        let out = to_json(&event);
        // As text too, where numbers beyond a double's reach show.
        if members.contains("1e400") {
            assert_eq!(String::from_utf8_lossy(&out), text);
        } else {
            assert_eq!(value(&out), value(text.as_bytes()), "{members}");
        }
        assert_eq!(from_json(&out), Ok(event), "{members}");
    }
}

#[test]
fn data_keeps_its_bytes() {
    let event = read(r#","datacontenttype":"application/json","data": {"a" : 1.0,  "a":"\u00e4"} "#).expect("valid");
    assert_eq!(event.data, Data::Text(r#"{"a" : 1.0,  "a":"\u00e4"}"#.into()));
}

#[test]
fn an_implied_content_type_is_made_explicit() {
    let event = read(r#","data":"I'm just a string""#).expect("valid");
    assert_eq!(event.content_type().map(|text| &**text), Some("application/json"));
    assert_eq!(event.data, Data::Text("\"I'm just a string\"".into()));
    let event = read(r#","data_base64":"e30=""#).expect("valid");
    assert_eq!(event.content_type(), None);
    assert_eq!(event.data, Data::Binary("{}".into()));
}

#[test]
fn null_is_absent() {
    let event = read(r#","time":null,"flag":null,"data_base64":null,"datacontenttype":null"#).expect("valid");
    assert_eq!(event.attributes, []);
    assert_eq!(event.data, Data::None);
    assert_eq!(read(r#","data":null"#).expect("valid").data, Data::Text("null".into()));
}

#[test]
fn faults_name_their_field() {
    for (members, expected) in [
        (r#","a":1.5"#, &["attributes.a"][..]),
        (r#","a":1.0"#, &["attributes.a"]),
        (r#","a":4247483647"#, &["attributes.a"]),
        (r#","a":{},"b":[]"#, &["attributes.a", "attributes.b"]),
        (r#","Bad_Name":"x""#, &["attributes.Bad_Name"]),
        (r#","a":"x","a":"x""#, &["attributes.a"]),
        (r#","a":null,"\u0061":"x""#, &["attributes.a"]),
        (r#","id":"2""#, &["id"]),
        (r#","time":5"#, &["attributes.time"]),
        (r#","datacontenttype":5,"data":1"#, &["attributes.datacontenttype"]),
        (r#","data":1,"data_base64":"""#, &["data"]),
        (r#","data":1,"data":2"#, &["data"]),
        (r#","data_base64":"?""#, &["data"]),
        (r#","data_base64":5"#, &["data"]),
        (r#","datacontenttype":"text/plain","data":{}"#, &["data"]),
        (r#","datacontenttype":"text/plain","data":"\ud800""#, &["data"]),
    ] {
        assert_eq!(fields(read(members)), expected, "{members}");
    }
    let all = r#"{"specversion":1.0,"id":5,"source":null,"type":"","a":1.5}"#;
    let mut found = fields(from_json(all.as_bytes()));
    found.sort();
    assert_eq!(found, ["attributes.a", "id", "source", "spec_version", "type"]);
    for not_an_object in ["", "[]", "1", "{", "{} {}", "{\"a\":}", "{\"a\":\"\n\"}"] {
        assert_eq!(fields(from_json(not_an_object.as_bytes())), ["json"], "{not_an_object}");
    }
    assert_eq!(fields(from_json(b"{\"id\":\"\xff\"}")), ["json"]);
}

#[test]
fn an_event_is_one_line() {
    let event = Draft {
        data: Data::Text("{\r\n  \"a\": \"\\n\"\n}".into()),
        ..with(&[("datacontenttype", string("application/json"))])
    };
    let json = to_json(&event.check().expect("valid"));
    assert!(String::from_utf8_lossy(&json).ends_with("\"data\":{    \"a\": \"\\n\" }}"));
}

#[test]
fn data_that_is_not_what_it_claims_keeps_its_bytes() {
    for (attributes, text) in [
        (&[("datacontenttype", string("application/json"))][..], "not json"),
        (&[], "text"),
    ] {
        let event = Draft {
            data: Data::Text(text.into()),
            ..with(attributes)
        }
        .check()
        .expect("valid");
        let json = value(&to_json(&event));
        assert_eq!(json["data_base64"], STANDARD.encode(text));
        assert_eq!(json.get("data"), None);
    }
}

#[test]
fn many_members_do_not_take_long() {
    let many = |member: &str| format!("{START}{}}}", member.repeat(100_000));
    for member in [r#","a":1"#, r#","a":{}"#, r#","A":"""#] {
        assert!(from_json(many(member).as_bytes()).is_err());
    }
    let different: String = (0..20_000)
        .map(|number| format!(r#","A{number}":1,"b{number}":[]"#))
        .collect();
    assert_eq!(fields(read(&different)).len(), 40_000);
}

/// What is left of an event's types in JSON.
fn as_json_types(mut event: Event) -> Event {
    for (name, value) in &mut event.attributes {
        if !matches!(value.kind(), Kind::Boolean | Kind::Integer) && attribute::usual_kind(name) != value.kind() {
            *value = Value::String(value.text().into_owned().into());
        }
    }
    event
}

proptest! {
    #[test]
    fn any_event_comes_back(event in any_event()) {
        let json = to_json(&event);
        prop_assert!(!json.contains(&b'\n'));
        let back = from_json(&json).expect("what was written can be read");
        prop_assert_eq!(value(&to_json(&back)), value(&json));
        let expected = as_json_types(event);
        prop_assert_eq!(&back.attributes, &expected.attributes);
        let spaces = |data: &Data| data.bytes().map(|bytes| String::from_utf8_lossy(bytes).replace(['\n', '\r'], " "));
        let (found, sent) = (spaces(&back.data), spaces(&expected.data));
        prop_assert_eq!(found.as_deref().map(str::trim), sent.as_deref().map(str::trim));
    }

    #[test]
    fn any_bytes_get_a_verdict(bytes in vec(any::<u8>(), 0..100), near in ".{0,40}", members in r#"(,"[a-z]{1,4}":([0-9]|"[a-z\\]{0,3}"|null|\{\}|\[)){0,4}"#) {
        let _ = from_json(&bytes);
        let _ = from_json(near.as_bytes());
        let _ = read(&members);
    }
}
