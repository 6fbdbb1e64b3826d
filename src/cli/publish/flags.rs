//! One event from flags.

use std::{
    fs,
    io::{self, Read as _},
};

use clap::Args;
use uuid::Uuid;

use crate::{
    cli::{
        failure::{Failure, Result},
        words,
    },
    event::{Data, Draft, Event, Value},
};

#[derive(Debug, Args)]
#[group(id = "event", multiple = true)]
pub(super) struct EventFlags {
    /// What happened, such as io.shop.orders.created
    #[arg(long, requires = "source")]
    r#type: Option<String>,
    /// Where it happened: a URI-reference
    #[arg(long, requires = "type")]
    source: Option<String>,
    /// What it happened to
    #[arg(long)]
    subject: Option<String>,
    /// The event's id; default: a new UUID
    #[arg(long)]
    id: Option<String>,
    /// When it happened (RFC 3339); default: now
    #[arg(long)]
    time: Option<String>,
    /// The data: text, or the content of a file (@FILE) or of stdin (@-)
    #[arg(long, value_name = "TEXT|@FILE")]
    data: Option<String>,
    /// The data's media type; default: application/json if it is JSON, text/plain if it is other text
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// An extension attribute; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    ext: Vec<(String, String)>,
}

impl EventFlags {
    /// The event, checked here, so that a fault is told without a server.
    pub(super) fn event(self) -> Result<Event> {
        let data = self.data.as_deref().map(read_data).transpose()?;
        let mut attributes = Vec::new();
        let mut set = |name: &str, value: Option<String>| {
            attributes.extend(value.map(|value| (name.into(), Value::String(value.into()))));
        };
        set("subject", self.subject);
        set("time", Some(self.time.unwrap_or_else(words::now)));
        let default_type = || data.as_deref().and_then(content_type).map(str::to_owned);
        set("datacontenttype", self.content_type.or_else(default_type));
        for (name, value) in self.ext {
            set(&name, Some(value));
        }
        let draft = Draft {
            id: self.id.unwrap_or_else(|| Uuid::now_v7().to_string()).into(),
            source: self.source.unwrap_or_default().into(),
            spec_version: "1.0".into(),
            ty: self.r#type.unwrap_or_default().into(),
            attributes,
            data: data.map_or(Data::None, |data| Data::Binary(data.into())),
        };
        draft.check().map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(|fault| format!("\n  {fault}")).collect();
            Failure::usage(format!("publish: not a valid event{}", lines.concat()))
        })
    }
}

/// Text, or the content of `@FILE` or of stdin (`@-`).
pub(in crate::cli) fn read_data(argument: &str) -> Result<Vec<u8>> {
    let Some(path) = argument.strip_prefix('@') else {
        return Ok(argument.as_bytes().to_vec());
    };
    let read = match path {
        "-" => {
            let mut data = Vec::new();
            io::stdin().lock().read_to_end(&mut data).map(|_| data)
        }
        path => fs::read(path),
    };
    read.map_err(|error| Failure::local(format!("read {path}"), error))
}

/// The media type of data that nobody named one for; bytes have none.
fn content_type(data: &[u8]) -> Option<&'static str> {
    match std::str::from_utf8(data) {
        Ok(text) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => Some("application/json"),
        Ok(_) => Some("text/plain"),
        Err(_) => None,
    }
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_filled_in() {
        let event = flags("{\"a\": 1}").event().expect("an event");
        assert_eq!(event.id().len(), 36);
        assert!(event.text_of("time").is_some_and(|time| time.ends_with('Z')));
        assert_eq!(
            event.content_type().map(|t| t.to_string()).as_deref(),
            Some("application/json")
        );
        assert_eq!(event.text_of("tenant").as_deref(), Some("a=b"));
    }

    #[test]
    fn media_types_follow_the_data() {
        for (data, media_type) in [
            (b"[1]".as_slice(), Some("application/json")),
            (b"hello", Some("text/plain")),
            (b"", Some("text/plain")),
            (b"\xff", None),
        ] {
            assert_eq!(content_type(data), media_type);
        }
    }

    #[test]
    fn faults_are_told_before_anything_is_sent() {
        let mut faulty = flags("x");
        faulty.time = Some("yesterday".to_owned());
        faulty.id = Some(String::new());
        let failure = faulty.event().expect_err("faulty");
        assert_eq!(failure.exit_status(), 64);
        assert_eq!(failure.to_string().lines().count(), 3, "{failure}");
    }

    #[test]
    fn extensions_are_pairs() {
        assert_eq!(name_and_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(name_and_value("=b").is_err() && name_and_value("a").is_err());
    }

    fn flags(data: &str) -> EventFlags {
        EventFlags {
            r#type: Some("io.shop.orders.created".to_owned()),
            source: Some("/shop".to_owned()),
            subject: None,
            id: None,
            time: None,
            data: Some(data.to_owned()),
            content_type: None,
            ext: vec![("tenant".to_owned(), "a=b".to_owned())],
        }
    }
}
