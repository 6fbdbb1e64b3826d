//! How one family of events is named, keyed and written: event to record and back, in the CloudEvents Kafka binding.
//!
//! # Writing
//! Binary mode. The value is the data as it is; an event without data has a null value. The headers are `ce_specversion`,
//! `ce_id`, `ce_source`, `ce_type`, `content-type` (which is `datacontenttype`) and `ce_NAME` for the rest, each as its
//! canonical text. That loses types, so a header of our own, `tidings_types`, lists them where they are not the ones that
//! the specification's table gives: `flag=boolean,count=integer`. In the same list `data=text` stands for data that is
//! text although its content type does not say so.
//!
//! # Reading
//! Any record gives an event; `Decoded::fault` says what was wrong with it.
//! - A `content-type` that starts with `application/cloudevents` means structured mode: the value is one event in JSON
//!   (`application/cloudevents+json`). Other formats are a fault. `ce_` headers are not read then.
//! - Otherwise any header that starts with `ce_` means binary mode.
//! - A record with neither is no CloudEvent, which is no fault: its event has the id `PARTITION:OFFSET`, the source
//!   `topic:TOPIC`, the topic's name as its type, the content type of a valid `content-type` header, and the value as data.
//! - A record at fault becomes the same event without a content type, its raw value as binary data.
//!
//! What the binding leaves open:
//! - Names of headers are read without regard to case. Of headers with the same name the last one counts.
//! - A header with a null value is absent; so is an optional attribute or a `content-type` that is empty. An extension may
//!   be empty text, unless its type (by the table) has no empty text: then it is absent.
//! - A null value is no data; an empty value is empty data.
//! - A boolean may be written `True`. A known extension whose text does not read as its type stays text: the bus does not
//!   withhold another's event for it.
//! - `ce_datacontenttype` (some writers add it) counts only where there is no `content-type`.
//! - A name that breaks the naming rules, a header that is not UTF-8, a missing required attribute, a `ce_specversion`
//!   other than 1.0, and an optional attribute that breaks its rule are faults. The fault names the header.
//! - What `tidings_types` says and the value does not bear out is ignored; headers that are no one's are ignored too.
//! - The record's key is not read: it is the bus's, and never becomes an attribute.

mod binary;
mod effect;
pub mod naming;
pub mod routes;

#[cfg(test)]
mod tests;

pub use effect::{Effect, effect};
pub use naming::Happening;

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    error::Fault,
    event::{Data, Event, Value, json, media, payload, text},
    log::{Headers, Record, TopicPartition},
};

/// An event as a log keeps it; the key is `routes`' business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub value: Option<Bytes>,
    pub headers: Headers,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    pub event: Event,
    /// Why the record could not be read as the event it claims to be; `event` then has its raw value. The field is a
    /// header, such as `ce_id`, or in structured mode what `from_json` says.
    pub fault: Option<Fault>,
}

/// The event in binary mode. The value shares the event's bytes.
pub fn encode(event: &Event) -> Encoded {
    Encoded {
        value: event.data.bytes().cloned(),
        headers: binary::headers(event),
    }
}

/// The record's event, whatever the record. Texts and data share the record's bytes.
pub fn decode(at: &TopicPartition, record: &Record) -> Decoded {
    match read(at, record) {
        Ok(event) => Decoded { event, fault: None },
        Err(fault) => Decoded {
            event: Event {
                data: record.value.clone().map_or(Data::None, Data::Binary),
                ..bare(at, record)
            },
            fault: Some(fault),
        },
    }
}

fn read(at: &TopicPartition, record: &Record) -> Result<Event, Fault> {
    let found = binary::Found::in_headers(&record.headers);
    let content_type = found.content_type.as_ref();
    if let Some(format) = content_type.filter(|text| starts_with_ignoring_case(text, b"application/cloudevents")) {
        return read_structured(format, record);
    }
    if found.is_event {
        return found.into_event(record.value.clone());
    }
    let content_type = found.content_type.and_then(|bytes| text::from_bytes(&bytes));
    Ok(plain(at, record, content_type))
}

fn read_structured(format: &Bytes, record: &Record) -> Result<Event, Fault> {
    let shown = text::shown(format);
    if !media::essence(&shown).eq_ignore_ascii_case("application/cloudevents+json") {
        let rule = format!("{shown:?} is an event format that cannot be read here; application/cloudevents+json can");
        return Err(Fault::new("content-type", rule));
    }
    let value = record.value.as_ref();
    let value = value.ok_or_else(|| Fault::new("value", "is null; in structured mode the event stands there"))?;
    json::from_json(value).map_err(|faults| {
        let first = faults.into_iter().next();
        first.unwrap_or_else(|| Fault::new("value", "is not an event"))
    })
}

/// The event of a record that is no CloudEvent.
fn plain(at: &TopicPartition, record: &Record, content_type: Option<ByteString>) -> Event {
    let mut event = bare(at, record);
    if let Some(content_type) = content_type.filter(|text| media::is_media_type(text)) {
        let name = ByteString::from_static("datacontenttype");
        event.attributes.push((name, Value::String(content_type)));
    }
    if let Some(value) = &record.value {
        event.data = payload::from_bytes(&event.attributes, value.clone());
    }
    event
}

/// What a record's place says of its event.
fn bare(at: &TopicPartition, record: &Record) -> Event {
    Event {
        id: format!("{}:{}", at.partition, record.offset).into(),
        source: format!("topic:{}", at.topic).into(),
        ty: at.topic.as_str().into(),
        attributes: Vec::new(),
        data: Data::None,
    }
}

fn starts_with_ignoring_case(bytes: &[u8], lower: &[u8]) -> bool {
    bytes
        .get(..lower.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(lower))
}
