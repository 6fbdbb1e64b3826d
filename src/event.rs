//! `Event`: a CloudEvent that has been checked (version 1.0 of the specification, with the rules of its working draft).

use bytes::Bytes;
use bytestring::ByteString;

use crate::error::Fault;

/// A checked event. Attributes keep the order they came in; data bytes are exact.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub(crate) id: ByteString,
    pub(crate) source: ByteString,
    pub(crate) ty: ByteString,
    /// Optional attributes and extensions, each name once, in the order they came.
    pub(crate) attributes: Vec<(ByteString, Value)>,
    pub(crate) data: Data,
}

/// An event before it is checked: what a parser found.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub id: ByteString,
    pub source: ByteString,
    pub spec_version: ByteString,
    pub ty: ByteString,
    pub attributes: Vec<(ByteString, Value)>,
    pub data: Data,
}

/// The seven types of attribute values. A timestamp is kept as its RFC 3339 text, so that offset and digits survive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Boolean(bool),
    Integer(i32),
    String(ByteString),
    Binary(Bytes),
    Uri(ByteString),
    UriRef(ByteString),
    Timestamp(ByteString),
}

/// What an event carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Data {
    #[default]
    None,
    Binary(Bytes),
    Text(ByteString),
    /// A protobuf message; its type URL is the event's `dataschema`.
    Proto(Bytes),
}

impl Draft {
    /// Checks every rule and reports every fault.
    pub fn check(self) -> Result<Event, Vec<Fault>> {
        Err(vec![Fault::new("id", "not written yet")])
    }
}
