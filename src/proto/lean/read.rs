//! Requests to publish, read without copying.

use bytes::Bytes;
use bytestring::ByteString;
use prost_types::{Any, Duration, Timestamp};

use crate::{
    error::Fault,
    event::{Data, Draft, Event, Value, attribute, text},
    proto::event::{Problem, check, proto_data, timestamp_from},
};

/// `tidings.v1.PublishRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PublishRequest {
    #[prost(message, repeated, tag = "1")]
    pub events: Vec<IncomingEvent>,
    #[prost(string, tag = "2")]
    pub topic: String,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub key: Option<Bytes>,
    #[prost(bool, tag = "4")]
    pub atomic: bool,
}

/// `tidings.v1.PublishStreamRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PublishStreamRequest {
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    #[prost(message, optional, tag = "2")]
    pub publish: Option<PublishRequest>,
    #[prost(message, optional, tag = "3")]
    pub timeout: Option<Duration>,
}

/// `io.cloudevents.v1.CloudEvent`; what the proto calls a string is bytes here, until it is checked.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IncomingEvent {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    source: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    spec_version: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    ty: Bytes,
    #[prost(message, repeated, tag = "5")]
    attributes: Vec<Attribute>,
    #[prost(oneof = "IncomingData", tags = "6, 7, 8")]
    data: Option<IncomingData>,
}

/// An entry of the map `attributes`.
#[derive(Clone, PartialEq, prost::Message)]
struct Attribute {
    #[prost(bytes = "bytes", tag = "1")]
    name: Bytes,
    #[prost(message, optional, tag = "2")]
    value: Option<AttributeValue>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AttributeValue {
    #[prost(oneof = "Attr", tags = "1, 2, 3, 4, 5, 6, 7")]
    attr: Option<Attr>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Attr {
    #[prost(bool, tag = "1")]
    Boolean(bool),
    #[prost(int32, tag = "2")]
    Integer(i32),
    #[prost(bytes = "bytes", tag = "3")]
    String(Bytes),
    #[prost(bytes = "bytes", tag = "4")]
    Bytes(Bytes),
    #[prost(bytes = "bytes", tag = "5")]
    Uri(Bytes),
    #[prost(bytes = "bytes", tag = "6")]
    UriRef(Bytes),
    #[prost(message, tag = "7")]
    Timestamp(Timestamp),
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum IncomingData {
    #[prost(bytes = "bytes", tag = "6")]
    Binary(Bytes),
    #[prost(bytes = "bytes", tag = "7")]
    Text(Bytes),
    #[prost(message, tag = "8")]
    Proto(Any),
}

impl IncomingEvent {
    /// Checks the event, as `from_proto` does.
    pub fn check(self) -> Result<Event, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut required = |field: &str, bytes| {
            utf8(bytes).unwrap_or_else(|rule| {
                faults.push(Fault::new(field, rule));
                ByteString::new()
            })
        };
        let (id, source) = (required("id", self.id), required("source", self.source));
        let (spec_version, ty) = (required("spec_version", self.spec_version), required("type", self.ty));
        if !faults.is_empty() {
            return Err(faults);
        }
        // One more place: a protobuf message may need its content type and schema.
        let mut attributes = Vec::with_capacity(self.attributes.len() + 2);
        for Attribute { name, value } in self.attributes {
            match named(&name).and_then(|name| Ok((name, value_of(value)?))) {
                Ok(attribute) => attributes.push(attribute),
                Err(rule) => faults.push(attribute::fault(&text::shown(&name), rule)),
            }
        }
        attribute::keep_last(&mut attributes, |_| {});
        attributes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let data = data_of(self.data, &mut attributes).unwrap_or_else(|fault| {
            faults.push(fault);
            Data::None
        });
        let draft = Draft {
            id,
            source,
            spec_version,
            ty,
            attributes,
            data,
        };
        check(draft, faults)
    }
}

fn named(name: &Bytes) -> Result<ByteString, Problem> {
    utf8(name.clone())
}

fn utf8(bytes: Bytes) -> Result<ByteString, Problem> {
    ByteString::try_from(bytes).map_err(|_| "is not UTF-8")
}

fn value_of(value: Option<AttributeValue>) -> Result<Value, Problem> {
    let attr = value.and_then(|value| value.attr);
    Ok(
        match attr.ok_or("has no value; set one of the ce_ fields, or leave the attribute out")? {
            Attr::Boolean(value) => Value::Boolean(value),
            Attr::Integer(value) => Value::Integer(value),
            Attr::String(text) => Value::String(utf8(text)?),
            Attr::Bytes(bytes) => Value::Binary(bytes),
            Attr::Uri(text) => Value::Uri(utf8(text)?),
            Attr::UriRef(text) => Value::UriRef(utf8(text)?),
            Attr::Timestamp(time) => timestamp_from(time)?,
        },
    )
}

fn data_of(data: Option<IncomingData>, attributes: &mut Vec<(ByteString, Value)>) -> Result<Data, Fault> {
    match data {
        None => Ok(Data::None),
        Some(IncomingData::Binary(bytes)) => Ok(Data::Binary(bytes)),
        Some(IncomingData::Text(text)) => utf8(text).map(Data::Text).map_err(|rule| Fault::new("data", rule)),
        Some(IncomingData::Proto(any)) => proto_data(any, attributes),
    }
}
