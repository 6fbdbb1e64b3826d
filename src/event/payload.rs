//! Data: whether its bytes are text, a protobuf message or neither, which the content type says.

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    Data, Value, attribute,
    media::{Media, essence, media},
    text,
};
use crate::error::Fault;

type Attributes = Vec<(ByteString, Value)>;

/// The kind of data that a bus client gets for bytes with these attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usual {
    Text,
    Proto,
    Binary,
}

/// Checks data against the attributes. A protobuf message gets its content type; bytes get the kind they usually have.
pub(crate) fn settle(attributes: &mut Attributes, data: Data, faults: &mut Vec<Fault>) -> Data {
    match data {
        Data::Binary(bytes) => from_bytes(attributes, bytes),
        Data::Proto(_) => {
            settle_proto(attributes, faults);
            data
        }
        Data::None | Data::Text(_) => data,
    }
}

/// Data as it is read where nothing but content type and schema tell its kind.
pub(crate) fn from_bytes(attributes: &[(ByteString, Value)], bytes: Bytes) -> Data {
    match usual(attributes) {
        Usual::Proto => Data::Proto(bytes),
        Usual::Text => text::from_bytes(&bytes).map_or(Data::Binary(bytes), Data::Text),
        Usual::Binary => Data::Binary(bytes),
    }
}

/// Text types are text (where the bytes are UTF-8); `application/protobuf` with a `dataschema` is a message.
pub(crate) fn usual(attributes: &[(ByteString, Value)]) -> Usual {
    match content_type(attributes).map_or(Media::Other, |text| media(text)) {
        Media::Json | Media::Text => Usual::Text,
        Media::Protobuf if attribute::find(attributes, "dataschema").is_some() => Usual::Proto,
        Media::Protobuf | Media::Other => Usual::Binary,
    }
}

pub(crate) fn content_type(attributes: &[(ByteString, Value)]) -> Option<&ByteString> {
    attribute::find(attributes, "datacontenttype").and_then(Value::as_text)
}

fn settle_proto(attributes: &mut Attributes, faults: &mut Vec<Fault>) {
    if attribute::find(attributes, "dataschema").is_none() {
        faults.push(attribute::fault(
            "dataschema",
            "is missing; for a protobuf message it is the type URL, such as type.googleapis.com/shop.Order",
        ));
    }
    match attribute::find(attributes, "datacontenttype") {
        None => attributes.push((
            ByteString::from_static("datacontenttype"),
            Value::String(ByteString::from_static("application/protobuf")),
        )),
        Some(value) if essence(&value.text()).eq_ignore_ascii_case("application/protobuf") => {}
        Some(_) => faults.push(attribute::fault(
            "datacontenttype",
            "must be application/protobuf, or left out, because the data is a protobuf message",
        )),
    }
}
