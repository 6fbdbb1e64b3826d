//! `Event`: a CloudEvent that has been checked (version 1.0 of the specification, with the rules of its working draft).
//!
//! A `Draft` is what a parser found; `Draft::check` turns it into an `Event` or into every fault it has. Checking also
//! settles what may be said in two ways, so that an event is the same whichever door it came through:
//! - optional attributes and known extensions have the type that the specification gives them (`attribute`);
//! - data is text where its content type is text and the bytes are UTF-8, a protobuf message where the content type is
//!   `application/protobuf` and there is a `dataschema`, and otherwise what the client said (`payload`).
//!
//! Nothing else is changed: data bytes, the text of a timestamp and unknown extensions stay as they came.

pub mod json;
mod detached;
pub(crate) mod attribute;
pub(crate) mod media;
pub(crate) mod payload;
pub(crate) mod text;
pub(crate) mod timestamp;

#[cfg(test)]
pub(crate) mod tests;

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use bytestring::ByteString;

use crate::error::Fault;

/// The version of the specification; there is no other.
pub(crate) const SPEC_VERSION: &str = "1.0";

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
    /// Checks every rule and reports every fault. A fault's field is `id`, `source`, `spec_version`, `type`,
    /// `attributes.NAME` or `data`.
    pub fn check(mut self) -> Result<Event, Vec<Fault>> {
        let mut faults = Vec::new();
        self.check_required(&mut faults);
        for index in attribute::repeated(&self.attributes) {
            faults.push(attribute::fault(
                &self.attributes[index].0,
                "is there more than once; an attribute may appear only once",
            ));
        }
        for (name, value) in &mut self.attributes {
            if let Err(rule) = attribute::settle(name, value) {
                faults.push(attribute::fault(name, rule));
            }
        }
        let data = payload::settle(&mut self.attributes, self.data, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Event {
            id: self.id,
            source: self.source,
            ty: self.ty,
            attributes: self.attributes,
            data,
        })
    }

    fn check_required(&self, faults: &mut Vec<Fault>) {
        let results = [
            ("id", text::required(&self.id)),
            ("source", text::source(&self.source)),
            ("spec_version", text::spec_version(&self.spec_version)),
            ("type", text::required(&self.ty)),
        ];
        for (field, result) in results {
            if let Err(rule) = result {
                faults.push(Fault::new(field, rule));
            }
        }
    }
}

impl Event {
    pub fn id(&self) -> &ByteString {
        &self.id
    }

    pub fn source(&self) -> &ByteString {
        &self.source
    }

    /// The attribute `type`.
    pub fn ty(&self) -> &ByteString {
        &self.ty
    }

    /// Optional attributes and extensions, each name once.
    pub fn attributes(&self) -> &[(ByteString, Value)] {
        &self.attributes
    }

    /// An optional attribute or an extension.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        attribute::find(&self.attributes, name)
    }

    /// Gives it an extension that is text, whose name is good and not there yet.
    pub(crate) fn add(&mut self, name: &'static str, text: &str) {
        let value = Value::String(ByteString::from(text));
        self.attributes.push((ByteString::from_static(name), value));
    }

    /// Any attribute, the required ones too, as its canonical text.
    pub fn text_of(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "id" => Some(Cow::Borrowed(&self.id)),
            "source" => Some(Cow::Borrowed(&self.source)),
            "type" => Some(Cow::Borrowed(&self.ty)),
            "specversion" => Some(Cow::Borrowed(SPEC_VERSION)),
            _ => self.attribute(name).map(Value::text),
        }
    }

    pub fn subject(&self) -> Option<&ByteString> {
        self.attribute("subject").and_then(Value::as_text)
    }

    /// The attribute `datacontenttype`.
    pub fn content_type(&self) -> Option<&ByteString> {
        self.attribute("datacontenttype").and_then(Value::as_text)
    }

    pub fn data(&self) -> &Data {
        &self.data
    }
}

impl Value {
    /// The canonical string encoding: what stands in a header, in a filter, in a key.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Boolean(true) => Cow::Borrowed("true"),
            Self::Boolean(false) => Cow::Borrowed("false"),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Binary(bytes) => Cow::Owned(STANDARD.encode(bytes)),
            Self::String(text) | Self::Uri(text) | Self::UriRef(text) | Self::Timestamp(text) => Cow::Borrowed(text),
        }
    }

    /// The text of the four types that are text.
    pub(crate) fn as_text(&self) -> Option<&ByteString> {
        match self {
            Self::Boolean(_) | Self::Integer(_) | Self::Binary(_) => None,
            Self::String(text) | Self::Uri(text) | Self::UriRef(text) | Self::Timestamp(text) => Some(text),
        }
    }
}

impl Data {
    /// The bytes as they lie on the log; `None` where there is no data, which is not the same as empty data.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::None => None,
            Self::Binary(bytes) | Self::Proto(bytes) => Some(bytes),
            Self::Text(text) => Some(text.as_bytes()),
        }
    }
}
