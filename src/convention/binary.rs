//! Binary mode of the Kafka binding: an event's attributes to headers and back.

use std::collections::HashMap;

use bytes::{Buf as _, Bytes};
use bytestring::ByteString;

use super::starts_with_ignoring_case;
use crate::{
    error::Fault,
    event::{
        Data, Event, SPEC_VERSION, Value,
        attribute::{self, Kind},
        payload::{self, Usual},
        text,
    },
    log::{Headers, HeadersBuilder},
};

/// The header that keeps the types that the table does not give.
const TYPES: &str = "tidings_types";

/// An event's headers, in one allocation: the required attributes, then the others in their order.
pub(super) fn headers(event: &Event) -> Headers {
    let types = unusual_types(event);
    let mut headers = HeadersBuilder::with_capacity(size(event, &types));
    for (name, value) in required(event) {
        headers.add(name, value.as_bytes());
    }
    for (name, value) in &event.attributes {
        headers.add_parts(&header_name(name), Some(value.text().as_bytes()));
    }
    if !types.is_empty() {
        headers.add(TYPES, types.as_bytes());
    }
    headers.build()
}

fn required(event: &Event) -> [(&'static str, &str); 4] {
    [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", &event.id),
        ("ce_source", &event.source),
        ("ce_type", &event.ty),
    ]
}

/// What a record's headers hold, unchecked.
#[derive(Default)]
pub(super) struct Found {
    /// Whether a header starts with `ce_`.
    pub(super) is_event: bool,
    pub(super) content_type: Option<Bytes>,
    /// `ce_datacontenttype`, which should not be there.
    second_content_type: Option<Bytes>,
    types: Option<Bytes>,
    /// Attributes in their order, the required ones too; a name may repeat.
    attributes: Vec<(ByteString, Option<Bytes>)>,
    misnamed: Option<Fault>,
}

impl Found {
    pub(super) fn in_headers(headers: &Headers) -> Self {
        let mut found = Self {
            attributes: Vec::with_capacity(12),
            ..Self::default()
        };
        for (header, value) in headers.iter() {
            found.add(header, value);
        }
        found
    }

    fn add(&mut self, header: Bytes, value: Option<Bytes>) {
        if starts_with_ignoring_case(&header, b"ce_") {
            self.is_event = true;
            match attribute_name(header) {
                Ok(name) if name == "datacontenttype" => self.second_content_type = value,
                Ok(name) => self.attributes.push((name, value)),
                Err(fault) if value.is_some() => self.misnamed = Some(fault),
                Err(_) => {}
            }
        } else if header.eq_ignore_ascii_case(b"content-type") {
            self.content_type = value.clone().filter(|value| !value.is_empty());
            self.attributes
                .push((ByteString::from_static("datacontenttype"), value));
        } else if header.eq_ignore_ascii_case(TYPES.as_bytes()) {
            self.types = value;
        }
    }

    /// The event that these headers and the value are in binary mode. A fault's field is the header's name.
    pub(super) fn into_event(mut self, value: Option<Bytes>) -> Result<Event, Fault> {
        if let Some(fault) = self.misnamed.take() {
            return Err(fault);
        }
        if self.content_type.is_none() {
            let name = ByteString::from_static("datacontenttype");
            self.attributes.push((name, self.second_content_type.take()));
        }
        attribute::keep_last(&mut self.attributes, |_| {});
        let types = types(self.types.as_deref());
        let mut event = Event {
            id: ByteString::new(),
            source: ByteString::new(),
            ty: ByteString::new(),
            attributes: Vec::with_capacity(self.attributes.len()),
            data: Data::None,
        };
        let mut spec_version = ByteString::new();
        for (name, value) in self.attributes {
            let Some(value) = value else { continue };
            let Ok(value) = ByteString::try_from(value) else {
                return Err(fault(&name, "is not UTF-8"));
            };
            match &*name {
                "specversion" => spec_version = value,
                "id" => event.id = value,
                "source" => event.source = value,
                "type" => event.ty = value,
                _ => {
                    let value = read(&name, value, types.get(&*name).copied()).map_err(|rule| fault(&name, rule))?;
                    event.attributes.extend(value.map(|value| (name, value)));
                }
            }
        }
        check_required(&event, &spec_version)?;
        event.data = value.map_or(Data::None, |bytes| data(&event, bytes, types.get("data").copied()));
        Ok(event)
    }
}

fn check_required(event: &Event, spec_version: &str) -> Result<(), Fault> {
    for (name, result) in [
        ("specversion", text::spec_version(spec_version)),
        ("id", text::required(&event.id)),
        ("source", text::source(&event.source)),
        ("type", text::required(&event.ty)),
    ] {
        result.map_err(|rule| fault(name, rule))?;
    }
    Ok(())
}

fn data(event: &Event, bytes: Bytes, declared: Option<Kind>) -> Data {
    let declared_text = declared.and_then(|_| text::from_bytes(&bytes));
    declared_text.map_or_else(|| payload::from_bytes(&event.attributes, bytes), Data::Text)
}

/// An attribute's value from its text; `None` where an empty text means that there is none.
fn read(name: &str, text: ByteString, declared: Option<Kind>) -> text::Checked<Option<Value>> {
    let usual = attribute::usual_kind(name);
    if attribute::is_core(name) {
        if text.is_empty() {
            return Ok(None);
        }
        let mut value = attribute::of_text(usual, text);
        return attribute::settle(name, &mut value).map(|()| Some(value));
    }
    let kind = declared.unwrap_or(usual);
    if kind != Kind::String {
        match attribute::parse(kind, tolerant(kind, &text)) {
            Ok(value) => return Ok(Some(value)),
            Err(_) if text.is_empty() && declared.is_none() => return Ok(None),
            Err(_) => {}
        }
    }
    text::string(&text)?;
    Ok(Some(Value::String(text)))
}

/// Booleans are read in any case.
fn tolerant(kind: Kind, text: &ByteString) -> ByteString {
    match kind {
        Kind::Boolean if text.eq_ignore_ascii_case("true") => ByteString::from_static("true"),
        Kind::Boolean if text.eq_ignore_ascii_case("false") => ByteString::from_static("false"),
        _ => text.clone(),
    }
}

/// The attribute's name in a header that starts with `ce_`.
fn attribute_name(mut header: Bytes) -> Result<ByteString, Fault> {
    if header.iter().any(u8::is_ascii_uppercase) {
        header = header.to_ascii_lowercase().into();
    }
    let name = &header["ce_".len()..];
    if !matches!(name, b"id" | b"source" | b"type" | b"specversion") {
        attribute::check_name(name).map_err(|rule| Fault::new(text::shown(&header), rule))?;
    }
    header.advance("ce_".len());
    Ok(ByteString::try_from(header).expect("a checked name is ASCII"))
}

fn header_name(attribute: &str) -> [&str; 2] {
    match attribute {
        "datacontenttype" => ["content-type", ""],
        _ => ["ce_", attribute],
    }
}

fn fault(attribute: &str, rule: impl Into<String>) -> Fault {
    Fault::new(header_name(attribute).concat(), rule)
}

/// The types that a reader could not guess: `count=integer,data=text`.
fn unusual_types(event: &Event) -> String {
    let mut types = String::new();
    for (name, value) in &event.attributes {
        if value.kind() != attribute::usual_kind(name) {
            push_type(&mut types, name, value.kind().name());
        }
    }
    if matches!(event.data, Data::Text(_)) && payload::usual(&event.attributes) != Usual::Text {
        push_type(&mut types, "data", "text");
    }
    types
}

fn push_type(types: &mut String, name: &str, kind: &str) {
    for part in [if types.is_empty() { "" } else { "," }, name, "=", kind] {
        types.push_str(part);
    }
}

fn types(header: Option<&[u8]>) -> HashMap<&str, Kind> {
    let text = header
        .and_then(|bytes| std::str::from_utf8(bytes).ok())
        .unwrap_or_default();
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .filter_map(|(name, kind)| match (name, kind) {
            ("data", "text") => Some((name, Kind::String)),
            ("data", _) => None,
            _ => Kind::from_name(kind).map(|kind| (name, kind)),
        })
        .collect()
}

/// What the headers take: names, values, and the six bytes that `Headers` adds to each.
fn size(event: &Event, types: &str) -> usize {
    const FRAME: usize = 6;
    let lengths = required(event).map(|(name, value)| FRAME + name.len() + value.len());
    let others = event.attributes.iter().map(|(name, value)| {
        let name_len: usize = header_name(name).iter().map(|part| part.len()).sum();
        FRAME + name_len + value.text().len()
    });
    let types = if types.is_empty() {
        0
    } else {
        FRAME + TYPES.len() + types.len()
    };
    lengths.iter().sum::<usize>() + others.sum::<usize>() + types
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::tests::any_event;

    proptest! {
        #[test]
        fn headers_take_the_room_that_was_asked_for(event in any_event()) {
            prop_assert_eq!(size(&event, &unusual_types(&event)), headers(&event).size());
        }
    }
}
