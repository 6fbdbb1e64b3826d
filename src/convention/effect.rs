//! What a record does to the state of its key, told from its headers wherever that is enough.
//!
//! A resource event (created, replaced, patched) is the state, a deletion ends it, any other event stands for the state only
//! where there is no resource event. A record with a fault counts as a resource event: nothing of it is known, so it is not
//! passed over. A record that is no CloudEvent deletes its key if its value is null.

use super::{decode, naming::Happening, starts_with_ignoring_case};
use crate::log::{Headers, Record, TopicPartition};

/// What a record does to the state of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is the state from now on.
    Resource,
    /// It is the state if nothing else is.
    Other,
    /// The key has no state from now on.
    Deletes,
    /// No key of the topic has a state from now on.
    DeletesAll,
}

/// Of any record.
pub fn effect(at: &TopicPartition, record: &Record) -> Effect {
    let seen = Seen::in_headers(&record.headers);
    if !seen.is_event && !seen.is_structured {
        return match &record.value {
            None => Effect::Deletes,
            Some(_) => Effect::Other,
        };
    }
    let is_resource = |ty: &[u8]| std::str::from_utf8(ty).is_ok_and(|ty| Happening::of(ty) == Happening::Resource);
    if !seen.is_structured && seen.ty.is_none_or(is_resource) {
        return Effect::Resource;
    }
    let decoded = decode(at, record);
    match (decoded.fault, Happening::of(&decoded.event.ty)) {
        (Some(_), _) | (None, Happening::Resource) => Effect::Resource,
        (None, Happening::Deleted) => Effect::Deletes,
        (None, Happening::DeletedAll) => Effect::DeletesAll,
        (None, Happening::Other) => Effect::Other,
    }
}

/// What the headers say of the event's type, read as `binary` reads them: the last of a name counts.
struct Seen<'a> {
    is_event: bool,
    is_structured: bool,
    ty: Option<&'a [u8]>,
}

impl<'a> Seen<'a> {
    fn in_headers(headers: &'a Headers) -> Self {
        let mut seen = Self {
            is_event: false,
            is_structured: false,
            ty: None,
        };
        for (name, value) in headers.slices() {
            match name.len() {
                7 if name.eq_ignore_ascii_case(b"ce_type") => (seen.is_event, seen.ty) = (true, value),
                12 if name.eq_ignore_ascii_case(b"content-type") => {
                    seen.is_structured = value.is_some_and(is_structured);
                }
                _ => seen.is_event |= starts_with_ignoring_case(name, b"ce_"),
            }
        }
        seen
    }
}

fn is_structured(content_type: &[u8]) -> bool {
    starts_with_ignoring_case(content_type, b"application/cloudevents")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::{collection::vec, option, prelude::*};

    use super::*;
    use crate::{
        log::{HeadersBuilder, LogTime},
        name::Topic,
    };

    fn at() -> TopicPartition {
        let topic = Topic::new("io.shop.orders.resource").expect("valid");
        TopicPartition { topic, partition: 0 }
    }

    fn record(headers: &[(&str, Option<&str>)], value: Option<&str>) -> Record {
        let mut builder = HeadersBuilder::default();
        for (name, value) in headers {
            builder.add_parts(&[name], value.map(str::as_bytes));
        }
        Record {
            offset: 0,
            time: LogTime(0),
            key: Some(Bytes::from_static(b"k")),
            value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
            headers: builder.build(),
        }
    }

    fn event(ty: &str, value: Option<&str>) -> Record {
        let named = [
            ("ce_specversion", "1.0"),
            ("ce_id", "1"),
            ("ce_source", "/s"),
            ("CE_Type", ty),
        ];
        record(&named.map(|(name, value)| (name, Some(value))), value)
    }

    #[test]
    fn a_type_says_what_its_event_does() {
        for (ty, effect_of_it) in [
            ("io.shop.orders.created", Effect::Resource),
            ("io.shop.orders.replaced.v2", Effect::Resource),
            ("io.shop.orders.Patched", Effect::Resource),
            ("io.shop.orders.modified", Effect::Resource),
            ("io.shop.orders.deleted", Effect::Deletes),
            ("io.shop.orders.deletedAll", Effect::DeletesAll),
            ("io.shop.orders.completed", Effect::Other),
            ("anything", Effect::Other),
        ] {
            for value in [Some("{}"), None] {
                assert_eq!(effect(&at(), &event(ty, value)), effect_of_it, "{ty} {value:?}");
            }
        }
    }

    #[test]
    fn what_is_no_cloud_event_or_none_that_can_be_read_has_an_effect_too() {
        let structured = Some("application/cloudevents+json");
        let json = |ty: &str| format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"{ty}"}}"#);
        for (headers, value, effect_of_it) in [
            (&[][..], None, Effect::Deletes),
            (&[][..], Some("x".to_owned()), Effect::Other),
            (&[("other", Some("h"))], None, Effect::Deletes),
            // At fault: whatever they claim to be.
            (&[("ce_id", Some("1"))], None, Effect::Resource),
            (&[("ce_type", Some("io.shop.orders.deleted"))], None, Effect::Resource),
            (&[("ce_type", None)], Some("x".to_owned()), Effect::Resource),
            (&[("content-type", structured)], Some("{".to_owned()), Effect::Resource),
            (
                &[("content-type", structured)],
                Some(json("a.b.deleted")),
                Effect::Deletes,
            ),
            (
                &[("content-type", structured)],
                Some(json("a.b.created")),
                Effect::Resource,
            ),
            (
                &[("content-type", structured)],
                Some(json("a.b.shipped")),
                Effect::Other,
            ),
        ] {
            assert_eq!(
                effect(&at(), &record(headers, value.as_deref())),
                effect_of_it,
                "{headers:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_headers_say_what_the_whole_record_says(
            headers in vec(("(CE_|ce_|x)(type|id|source|specversion)|content-type", option::of("(1.0|a.b.(created|deleted|deletedall|sent)|/s|application/cloudevents(\\+json)?|)")), 0..8),
            value in option::of("x|\\{\\}"),
        ) {
            let headers: Vec<(&str, Option<&str>)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            let record = record(&headers, value.as_deref());
            let decoded = decode(&at(), &record);
            let is_made_up = decoded.event.source == "topic:io.shop.orders.resource";
            let expected = match (decoded.fault, Happening::of(&decoded.event.ty)) {
                (Some(_), _) => Effect::Resource,
                (None, _) if is_made_up && record.value.is_none() => Effect::Deletes,
                (None, _) if is_made_up => Effect::Other,
                (None, Happening::Resource) => Effect::Resource,
                (None, Happening::Deleted) => Effect::Deletes,
                (None, Happening::DeletedAll) => Effect::DeletesAll,
                (None, Happening::Other) => Effect::Other,
            };
            prop_assert_eq!(effect(&at(), &record), expected);
        }
    }
}
