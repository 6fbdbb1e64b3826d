//! The event on the wire and inside: `io.cloudevents.v1.CloudEvent` to `Event` and back.
//!
//! What the protobuf format leaves open, and what is done here:
//! - An attribute without a value is refused.
//! - A `ce_timestamp` becomes RFC 3339 text in UTC with 0, 3, 6 or 9 digits. On the way out, text that a timestamp gives
//!   back exactly is a `ce_timestamp`; other text (an offset, other digits) is a `ce_string`.
//! - `proto_data` is the inner message's bytes with its type URL as `dataschema`; so it goes back.

use bytes::Bytes;
use bytestring::ByteString;
use prost_types::{Any, Timestamp};

use super::io::cloudevents::v1::{
    CloudEvent,
    cloud_event::{self, CloudEventAttributeValue, cloud_event_attribute_value::Attr},
};
use crate::{
    error::Fault,
    event::{
        Data, Draft, Event, SPEC_VERSION, Value, attribute,
        timestamp::{self, Instant},
    },
};

/// A rule that a value breaks.
pub(super) type Problem = &'static str;

/// Checks an event from the wire. Attributes get the order of their names, because a map has none.
pub fn from_proto(event: CloudEvent) -> Result<Event, Vec<Fault>> {
    let mut faults = Vec::new();
    // One more place: a protobuf message may need its content type and schema.
    let mut attributes = Vec::with_capacity(event.attributes.len() + 2);
    for (name, value) in event.attributes {
        match value_from(value) {
            Ok(value) => attributes.push((ByteString::from(name), value)),
            Err(rule) => faults.push(attribute::fault(&name, rule)),
        }
    }
    attributes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let data = data_from(event.data, &mut attributes).unwrap_or_else(|fault| {
        faults.push(fault);
        Data::None
    });
    let draft = Draft {
        id: event.id.into(),
        source: event.source.into(),
        spec_version: event.spec_version.into(),
        ty: event.r#type.into(),
        attributes,
        data,
    };
    check(draft, faults)
}

/// Checks what came from the wire; `faults` are those that were found on the way.
pub(super) fn check(draft: Draft, mut faults: Vec<Fault>) -> Result<Event, Vec<Fault>> {
    match draft.check() {
        Ok(event) if faults.is_empty() => Ok(event),
        Ok(_) => Err(faults),
        Err(more) => {
            faults.extend(more);
            Err(faults)
        }
    }
}

/// The event for the wire.
pub fn to_proto(event: Event) -> CloudEvent {
    let data = match event.data {
        Data::None => None,
        Data::Binary(bytes) => Some(cloud_event::Data::BinaryData(bytes)),
        Data::Text(text) => Some(cloud_event::Data::TextData(text.into())),
        Data::Proto(bytes) => Some(cloud_event::Data::ProtoData(Any {
            type_url: attribute::find(&event.attributes, "dataschema")
                .map_or_else(String::new, |url| url.text().into()),
            value: bytes.into(),
        })),
    };
    let attributes = event.attributes.into_iter();
    CloudEvent {
        id: event.id.into(),
        source: event.source.into(),
        spec_version: SPEC_VERSION.into(),
        r#type: event.ty.into(),
        attributes: attributes.map(|(name, value)| (name.into(), value_to(value))).collect(),
        data,
    }
}

fn value_from(value: CloudEventAttributeValue) -> Result<Value, Problem> {
    Ok(
        match value
            .attr
            .ok_or("has no value; set one of the ce_ fields, or leave the attribute out")?
        {
            Attr::CeBoolean(value) => Value::Boolean(value),
            Attr::CeInteger(value) => Value::Integer(value),
            Attr::CeString(text) => Value::String(text.into()),
            Attr::CeBytes(bytes) => Value::Binary(bytes),
            Attr::CeUri(text) => Value::Uri(text.into()),
            Attr::CeUriRef(text) => Value::UriRef(text.into()),
            Attr::CeTimestamp(time) => timestamp_from(time)?,
        },
    )
}

pub(super) fn timestamp_from(Timestamp { seconds, nanos }: Timestamp) -> Result<Value, Problem> {
    let text = Instant { seconds, nanos }.text();
    let text = text.ok_or("must lie in the years 1 to 9999, with 0 to 999,999,999 nanoseconds")?;
    Ok(Value::Timestamp(text.into()))
}

pub(super) fn timestamp_to(Instant { seconds, nanos }: Instant) -> Timestamp {
    Timestamp { seconds, nanos }
}

fn value_to(value: Value) -> CloudEventAttributeValue {
    let attr = match value {
        Value::Boolean(value) => Attr::CeBoolean(value),
        Value::Integer(value) => Attr::CeInteger(value),
        Value::String(text) => Attr::CeString(text.into()),
        Value::Binary(bytes) => Attr::CeBytes(bytes),
        Value::Uri(text) => Attr::CeUri(text.into()),
        Value::UriRef(text) => Attr::CeUriRef(text.into()),
        Value::Timestamp(text) => match timestamp::exact_instant(&text) {
            Some(instant) => Attr::CeTimestamp(timestamp_to(instant)),
            None => Attr::CeString(text.into()),
        },
    };
    CloudEventAttributeValue { attr: Some(attr) }
}

fn data_from(data: Option<cloud_event::Data>, attributes: &mut Vec<(ByteString, Value)>) -> Result<Data, Fault> {
    match data {
        None => Ok(Data::None),
        Some(cloud_event::Data::BinaryData(bytes)) => Ok(Data::Binary(bytes)),
        Some(cloud_event::Data::TextData(text)) => Ok(Data::Text(text.into())),
        Some(cloud_event::Data::ProtoData(any)) => proto_data(any, attributes),
    }
}

pub(super) fn proto_data(any: Any, attributes: &mut Vec<(ByteString, Value)>) -> Result<Data, Fault> {
    settle_schema(any.type_url, attributes)?;
    Ok(Data::Proto(Bytes::from(any.value)))
}

/// The type URL is the `dataschema`, said or not.
fn settle_schema(type_url: String, attributes: &mut Vec<(ByteString, Value)>) -> Result<(), Fault> {
    if type_url.is_empty() {
        return Err(Fault::new(
            "data",
            "proto_data needs a type_url, such as type.googleapis.com/shop.Order",
        ));
    }
    match attribute::find(attributes, "dataschema") {
        None => {
            attributes.push((ByteString::from_static("dataschema"), Value::Uri(type_url.into())));
            Ok(())
        }
        Some(said) if said.text() == type_url => Ok(()),
        Some(_) => Err(attribute::fault(
            "dataschema",
            "must be the type_url of proto_data, or left out",
        )),
    }
}

#[cfg(test)]
mod tests;
