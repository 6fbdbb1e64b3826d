//! Optional attributes and extensions: their names, their types, and the table of known ones.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytestring::ByteString;

use super::{
    Value, media,
    text::{self, Checked},
    timestamp,
};
use crate::error::Fault;

/// The seven types of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Integer,
    String,
    Binary,
    Uri,
    UriRef,
    Timestamp,
}

/// How strict the specification is about an attribute's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// An optional attribute: this type, nothing else.
    Core(Kind),
    /// A documented extension: this type, or text that reads as this type.
    Known(Kind),
    /// Any type; text unless something says otherwise.
    Free,
}

/// A name longer than this is refused. (The specification says that 20 should do.)
const LONGEST_NAME: usize = 255;

/// Checks a name and its value, and gives the value the type that the table says.
///
/// Text for a known extension is checked as its type and then has it, with one exception: text that reads as a boolean or
/// an integer stays text, because as JSON `"5"` and `5` are different values and what came in goes out.
pub(crate) fn settle(name: &str, value: &mut Value) -> Checked {
    check_name(name.as_bytes())?;
    match rule(name) {
        Rule::Free => check(value),
        Rule::Core(kind) if name == "dataschema" => settle_schema(kind, value),
        Rule::Core(kind) | Rule::Known(kind) if value.kind() == kind => check_named(name, value),
        Rule::Core(kind) => match value.as_text() {
            Some(text) => {
                *value = parse(kind, text.clone())?;
                check_named(name, value)
            }
            None => Err(format!("must be {}", kind.article())),
        },
        Rule::Known(kind) => settle_known(kind, value),
    }
}

/// A name: lower-case letters and digits, and none that the specification keeps for itself.
pub(crate) fn check_name(name: &[u8]) -> Checked {
    if name.is_empty() {
        return Err("an attribute's name must not be empty".into());
    }
    if name.len() > LONGEST_NAME {
        return Err(format!("an attribute's name has at most {LONGEST_NAME} characters"));
    }
    if !name.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9')) {
        return Err("an attribute's name is made of lower-case letters a-z and digits 0-9".into());
    }
    match name {
        b"data" => Err("data is not an attribute; it has its own field".into()),
        b"id" | b"source" | b"type" | b"specversion" => {
            Err("this is the name of a required attribute, which has its own field".into())
        }
        _ => Ok(()),
    }
}

/// The value of a type that its canonical text stands for.
pub(crate) fn parse(kind: Kind, text: ByteString) -> Checked<Value> {
    let value = match kind {
        Kind::Boolean => match &*text {
            "true" => Value::Boolean(true),
            "false" => Value::Boolean(false),
            _ => return Err("must be a boolean: true or false".into()),
        },
        Kind::Integer => match text.parse() {
            Ok(number) if !text.starts_with('+') => Value::Integer(number),
            _ => return Err("must be an integer from -2147483648 to 2147483647".into()),
        },
        Kind::Binary => match STANDARD.decode(text.as_bytes()) {
            Ok(bytes) => Value::Binary(bytes.into()),
            Err(_) => return Err("must be binary data in base64 (RFC 4648)".into()),
        },
        Kind::String | Kind::Uri | Kind::UriRef | Kind::Timestamp => of_text(kind, text),
    };
    check(&value)?;
    Ok(value)
}

/// The type an attribute has where nothing else is said.
pub(crate) fn usual_kind(name: &str) -> Kind {
    match rule(name) {
        Rule::Core(kind) | Rule::Known(kind) => kind,
        Rule::Free => Kind::String,
    }
}

/// Whether this is one of the four optional attributes.
pub(crate) fn is_core(name: &str) -> bool {
    matches!(rule(name), Rule::Core(_))
}

/// Text as a value of a type that is text, unchecked; a string for the other types.
pub(crate) fn of_text(kind: Kind, text: ByteString) -> Value {
    match kind {
        Kind::Boolean | Kind::Integer | Kind::Binary | Kind::String => Value::String(text),
        Kind::Uri => Value::Uri(text),
        Kind::UriRef => Value::UriRef(text),
        Kind::Timestamp => Value::Timestamp(text),
    }
}

pub(crate) fn find<'a, T>(attributes: &'a [(ByteString, T)], name: &str) -> Option<&'a T> {
    attributes.iter().find(|(own, _)| own == name).map(|(_, value)| value)
}

/// The places of names that come again later, in order.
pub(crate) fn repeated<N: AsRef<str>, T>(attributes: &[(N, T)]) -> Vec<usize> {
    const FEW: usize = 16;
    let name = |index: usize| attributes[index].0.as_ref();
    if attributes.len() <= FEW {
        let is_repeated = |index: &usize| (index + 1..attributes.len()).any(|later| name(later) == name(*index));
        return (0..attributes.len()).filter(is_repeated).collect();
    }
    let mut order: Vec<usize> = (0..attributes.len()).collect();
    order.sort_by_key(|index| name(*index));
    let mut repeated: Vec<usize> = order
        .windows(2)
        .filter(|pair| name(pair[0]) == name(pair[1]))
        .map(|pair| pair[0])
        .collect();
    repeated.sort_unstable();
    repeated
}

/// Leaves of each name the last, and tells which names came more than once, as often as one was dropped.
pub(crate) fn keep_last<N: AsRef<str>, T>(attributes: &mut Vec<(N, T)>, mut dropped: impl FnMut(&str)) {
    let mut repeated = repeated(attributes).into_iter().peekable();
    if repeated.peek().is_none() {
        return;
    }
    let mut index = 0..;
    attributes.retain(|(name, _)| {
        let drop = index.next().is_some_and(|index| repeated.next_if_eq(&index).is_some());
        if drop {
            dropped(name.as_ref());
        }
        !drop
    });
}

pub(crate) fn fault(name: &str, rule: impl Into<String>) -> Fault {
    Fault::new(format!("attributes.{}", text::shown(name.as_bytes())), rule)
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Boolean,
        Self::Integer,
        Self::String,
        Self::Binary,
        Self::Uri,
        Self::UriRef,
        Self::Timestamp,
    ];

    /// As it stands in the header `tidings_types`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::String => "string",
            Self::Binary => "binary",
            Self::Uri => "uri",
            Self::UriRef => "uri-reference",
            Self::Timestamp => "timestamp",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    fn article(self) -> &'static str {
        match self {
            Self::Boolean => "a boolean",
            Self::Integer => "an integer",
            Self::String => "a string",
            Self::Binary => "binary data",
            Self::Uri => "a URI",
            Self::UriRef => "a URI-reference",
            Self::Timestamp => "a timestamp",
        }
    }
}

impl Value {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Boolean(_) => Kind::Boolean,
            Self::Integer(_) => Kind::Integer,
            Self::String(_) => Kind::String,
            Self::Binary(_) => Kind::Binary,
            Self::Uri(_) => Kind::Uri,
            Self::UriRef(_) => Kind::UriRef,
            Self::Timestamp(_) => Kind::Timestamp,
        }
    }
}

/// The names whose type the specification gives, with it. Every other extension is a string where no type is said.
fn rule(name: &str) -> Rule {
    match name {
        "subject" | "datacontenttype" => Rule::Core(Kind::String),
        "time" => Rule::Core(Kind::Timestamp),
        "dataschema" => Rule::Core(Kind::Uri),
        "deprecated" | "bamptxcompleted" => Rule::Known(Kind::Boolean),
        "sampledrate" | "severitynumber" => Rule::Known(Kind::Integer),
        "opcuametadatamajorversion" | "opcuametadataminorversion" | "opcuastatus" => Rule::Known(Kind::Integer),
        "expirytime" | "recordedtime" | "deprecationfrom" | "deprecationsunset" => Rule::Known(Kind::Timestamp),
        "deprecationmigration" => Rule::Known(Kind::Uri),
        "dataref" => Rule::Known(Kind::UriRef),
        "dssematerial" => Rule::Known(Kind::Binary),
        _ => Rule::Free,
    }
}

fn settle_known(kind: Kind, value: &mut Value) -> Checked {
    let Some(text) = value.as_text() else {
        return Err(format!("must be {}", kind.article()));
    };
    let parsed = parse(kind, text.clone())?;
    *value = match kind {
        Kind::Boolean | Kind::Integer => Value::String(text.clone()),
        _ => parsed,
    };
    Ok(())
}

/// `dataschema` should be a URI, but the protobuf format wants type URLs there, which have no scheme.
fn settle_schema(kind: Kind, value: &mut Value) -> Checked {
    let text = value.as_text().ok_or_else(|| format!("must be {}", kind.article()))?;
    if text.is_empty() {
        return Err("must not be empty; leave it out instead".into());
    }
    text::uri_reference(text)?;
    if value.kind() != kind {
        *value = Value::Uri(text.clone());
    }
    Ok(())
}

/// The rules of a type, and of the few names that have more of them.
fn check_named(name: &str, value: &Value) -> Checked {
    match (name, value) {
        ("datacontenttype", Value::String(text)) if !media::is_media_type(text) => {
            Err("must be a media type (RFC 2046), such as application/json".into())
        }
        ("subject", Value::String(text)) if text.is_empty() => Err("must not be empty; leave it out instead".into()),
        _ => check(value),
    }
}

fn check(value: &Value) -> Checked {
    match value {
        Value::Boolean(_) | Value::Integer(_) | Value::Binary(_) => Ok(()),
        Value::String(text) => text::string(text),
        Value::Uri(text) => text::uri(text),
        Value::UriRef(text) => text::uri_reference(text),
        Value::Timestamp(text) if timestamp::is_timestamp(text) => Ok(()),
        Value::Timestamp(_) => Err("must be a timestamp (RFC 3339), such as 2026-05-01T12:00:00Z".into()),
    }
}
