//! The JSON event format: one event as one JSON object, both ways.
//!
//! Reading keeps the bytes of `data`. Where `data` comes without `datacontenttype`, `application/json` is implied and made
//! explicit. A member that is null is absent; only `data` may be null, which is a value.
//!
//! Writing gives one line: a line break between the tokens of JSON data becomes a space. Data that is text of another
//! type is a JSON string; everything else (bytes, protobuf, text that is not the JSON it claims to be, text without a
//! content type) is `data_base64`, so that no byte is lost.

use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytestring::ByteString;
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Data, Draft, Event, Value, attribute,
    media::{Media, media},
    payload,
    text::Checked,
};
use crate::error::Fault;

/// Reads an event. A fault's field is as `Draft::check` says, or `json` where this is no JSON object at all.
pub fn from_json(bytes: &[u8]) -> Result<Event, Vec<Fault>> {
    let members: Members<'_> = serde_json::from_slice(bytes)
        .map_err(|error| vec![Fault::new("json", format!("is not a JSON object: {error}"))])?;
    let mut reading = Reading::default();
    for (name, raw) in members.without_repeated(&mut reading.faults) {
        if let Err(rule) = reading.member(&name, raw) {
            reading.faults.push(member_fault(&name, rule));
        }
    }
    let (draft, mut faults) = reading.finish();
    match draft.check() {
        Ok(event) if faults.is_empty() => Ok(event),
        Ok(_) => Err(faults),
        Err(more) => {
            // What could not be read was left out; that it is missing is not another fault.
            let is_new = |fault: &Fault| {
                fault.field.starts_with("attributes.") || faults.iter().all(|own| own.field != fault.field)
            };
            let new: Vec<Fault> = more.into_iter().filter(is_new).collect();
            faults.extend(new);
            Err(faults)
        }
    }
}

/// Writes an event as one line, without a line break at its end.
pub fn to_json(event: &Event) -> Vec<u8> {
    let data_len = event.data.bytes().map_or(0, |bytes| bytes.len());
    let mut out = Vec::with_capacity(256 + data_len + data_len / 2);
    out.extend_from_slice(b"{\"specversion\":\"1.0\"");
    for (name, text) in [("id", &event.id), ("source", &event.source), ("type", &event.ty)] {
        write_name(&mut out, name);
        write_string(&mut out, text);
    }
    for (name, value) in &event.attributes {
        write_name(&mut out, name);
        match value {
            Value::Boolean(_) | Value::Integer(_) => out.extend_from_slice(value.text().as_bytes()),
            _ => write_string(&mut out, &value.text()),
        }
    }
    write_data(&mut out, event);
    out.push(b'}');
    out
}

/// An object's members in their order, values unread.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What has been read so far.
#[derive(Default)]
struct Reading<'a> {
    draft: Draft,
    data: Option<&'a RawValue>,
    binary: Option<Vec<u8>>,
    faults: Vec<Fault>,
}

impl<'a> Reading<'a> {
    fn member(&mut self, name: &str, raw: &'a RawValue) -> Checked {
        if name == "data" {
            self.data = Some(raw);
            return Ok(());
        }
        if raw.get() == "null" {
            return Ok(());
        }
        let required = match name {
            "id" => &mut self.draft.id,
            "source" => &mut self.draft.source,
            "type" => &mut self.draft.ty,
            "specversion" => &mut self.draft.spec_version,
            "data_base64" => {
                let text = string(raw)?;
                let bytes = STANDARD.decode(text.as_bytes());
                self.binary = Some(bytes.map_err(|_| "data_base64 must be base64 (RFC 4648)")?);
                return Ok(());
            }
            _ => {
                let value = attribute_value(raw)?;
                self.draft.attributes.push((name.into(), value));
                return Ok(());
            }
        };
        *required = string(raw)?;
        Ok(())
    }

    fn finish(mut self) -> (Draft, Vec<Fault>) {
        let data = match (self.data, self.binary.take()) {
            (None, None) => Ok(Data::None),
            (None, Some(bytes)) => Ok(Data::Binary(bytes.into())),
            (Some(raw), None) => self.text_data(raw),
            (Some(_), Some(_)) => Err("must be either data or data_base64, not both".into()),
        };
        match data {
            Ok(data) => self.draft.data = data,
            Err(rule) => self.faults.push(Fault::new("data", rule)),
        }
        (self.draft, self.faults)
    }

    fn text_data(&mut self, raw: &RawValue) -> Checked<Data> {
        match payload::content_type(&self.draft.attributes) {
            Some(content_type) if media(content_type) == Media::Json => Ok(Data::Text(raw.get().into())),
            Some(_) => string(raw).map(Data::Text).map_err(|_| {
                "must be a string, because datacontenttype is not a JSON type; bytes go to data_base64".into()
            }),
            None => {
                let json = Value::String(ByteString::from_static("application/json"));
                if attribute::find(&self.draft.attributes, "datacontenttype").is_none() {
                    self.draft
                        .attributes
                        .push((ByteString::from_static("datacontenttype"), json));
                }
                Ok(Data::Text(raw.get().into()))
            }
        }
    }
}

impl<'a> Members<'a> {
    /// The members, without those whose name comes again, each of which is a fault.
    fn without_repeated(self, faults: &mut Vec<Fault>) -> Vec<(Cow<'a, str>, &'a RawValue)> {
        let mut members = self.0;
        attribute::keep_last(&mut members, |name| {
            faults.push(member_fault(
                name,
                "is there more than once; a member may appear only once",
            ));
        });
        members
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::with_capacity(16);
        while let Some((name, raw)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
            members.push((name.0, raw));
        }
        Ok(Members(members))
    }
}

fn member_fault(name: &str, rule: impl Into<String>) -> Fault {
    match name {
        "id" | "source" | "type" => Fault::new(name, rule),
        "specversion" => Fault::new("spec_version", rule),
        "data" | "data_base64" => Fault::new("data", rule),
        _ => attribute::fault(name, rule),
    }
}

fn string(raw: &RawValue) -> Checked<ByteString> {
    match serde_json::from_str::<Text<'_>>(raw.get()) {
        Ok(text) => Ok(ByteString::from(&*text.0)),
        Err(_) => Err("must be a string".into()),
    }
}

fn attribute_value(raw: &RawValue) -> Checked<Value> {
    match raw.get().as_bytes().first() {
        Some(b'"') => string(raw).map(Value::String),
        Some(b't') => Ok(Value::Boolean(true)),
        Some(b'f') => Ok(Value::Boolean(false)),
        Some(b'-' | b'0'..=b'9') => match raw.get().parse() {
            Ok(number) => Ok(Value::Integer(number)),
            Err(_) => Err("must be an integer from -2147483648 to 2147483647; other numbers are not allowed".into()),
        },
        _ => Err("must be a string, a boolean or an integer".into()),
    }
}

fn write_data(out: &mut Vec<u8>, event: &Event) {
    let (Some(bytes), json_type) = (event.data.bytes(), event.content_type().map(|text| media(text))) else {
        return;
    };
    match (&event.data, json_type) {
        (Data::Text(text), Some(Media::Json)) if serde_json::from_str::<&RawValue>(text).is_ok() => {
            write_name(out, "data");
            let start = out.len();
            out.extend_from_slice(bytes);
            for byte in out[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
                *byte = b' ';
            }
        }
        (Data::Text(text), Some(Media::Text | Media::Other)) => {
            write_name(out, "data");
            write_string(out, text);
        }
        _ => {
            write_name(out, "data_base64");
            write_string(out, &STANDARD.encode(bytes));
        }
    }
}

fn write_name(out: &mut Vec<u8>, name: &str) {
    out.push(b',');
    write_string(out, name);
    out.push(b':');
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string can be written to memory");
}

#[cfg(test)]
mod tests;
