//! How dead letters, and what became of them, are written as records: docs/dead-letters.md tells it to native readers.
//!
//! A dead letter is its record as it was, with headers of ours behind its own; the first of ours is `tidings_dead_letter`.
//! What became of letters is a record without a key whose header `tidings_dead_letter_state` says so, its value JSON.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::letter::{Letter, LetterId, LetterReason, Why};
use crate::{
    log::{Headers, HeadersBuilder, LogTime, Record, TopicPartition},
    name::{Group, Topic},
};

/// Our headers of a dead letter take at most so many bytes.
pub const HEADROOM: usize = 4 << 10;
const LONGEST_DETAIL: usize = 1 << 10;
/// Of a client's id, and of a redrive's.
const LONGEST_ID: usize = 512;

const ID: &str = "tidings_dead_letter";
const STATE: &str = "tidings_dead_letter_state";

/// What a record of the dead-letter topic says.
#[derive(Clone, Debug)]
pub enum Entry {
    Letter(LetterId, Box<Letter>),
    State(Change),
}

/// What became of letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// These are to be delivered again.
    Redrive(Request),
    /// These are given up.
    Discard(Request),
    /// The delivery of these, which were redriven, has ended.
    Done { ids: Vec<LetterId> },
}

/// Who asked for it, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    pub id: String,
    pub ids: Vec<LetterId>,
    pub by: String,
    pub reason: String,
    /// Milliseconds since 1970.
    #[serde(rename = "time")]
    pub time_ms: i64,
}

impl Serialize for LetterId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LetterId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| serde::de::Error::custom("a dead letter's id has 16 hexadecimal digits"))
    }
}

/// The headers of a dead letter: its own, then ours.
pub fn letter_headers(group: &Group, letter: &Letter) -> Headers {
    let (why, own) = (&letter.why, letter.record.headers.encoded());
    let mut ours = HeadersBuilder::with_capacity(own.len() + 1_024);
    ours.add_all(&letter.record.headers);
    let mut add = |name: &str, value: &str| ours.add(name, value.as_bytes());
    add(ID, &LetterId::of(group, letter).to_string());
    add("tidings_reason", why.reason.name());
    add("tidings_detail", cut(&why.detail, LONGEST_DETAIL));
    add("tidings_group", group.as_str());
    add("tidings_topic", letter.source.topic.as_str());
    add("tidings_partition", &letter.source.partition.to_string());
    add("tidings_offset", &letter.record.offset.to_string());
    add("tidings_log_time", &letter.record.time.0.to_string());
    add("tidings_attempts", &why.attempts.to_string());
    add("tidings_failures", &why.failures.to_string());
    let mut add_if = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            ours.add(name, value.as_bytes());
        }
    };
    add_if(
        "tidings_first_failure_time",
        why.first_failure.map(|time| time.0.to_string()),
    );
    add_if(
        "tidings_last_failure_time",
        why.last_failure.map(|time| time.0.to_string()),
    );
    add_if("tidings_client_id", Some(cut(&why.client_id, LONGEST_ID).to_owned()));
    add_if("tidings_behind", why.behind.map(|id| id.to_string()));
    add_if("tidings_quarantine", why.quarantine.then(|| true.to_string()));
    let redrive = why.redrive.as_deref().map(|id| cut(id, LONGEST_ID).to_owned());
    add_if("tidings_redrive", redrive);
    add_if("tidings_parent", why.parent.map(|id| id.to_string()));
    ours.build()
}

/// Header and value of a record that says what became of letters.
pub fn change(change: &Change) -> (Headers, Bytes) {
    let mut headers = HeadersBuilder::default();
    headers.add(STATE, b"1");
    let value = serde_json::to_vec(change).unwrap_or_default();
    (headers.build(), value.into())
}

/// What a record says; `None` if it is neither a dead letter nor what became of one. Any record can be asked.
pub fn read(record: &Record) -> Option<Entry> {
    match last_header(&record.headers, ID) {
        Some(at) => read_letter(record, at).map(|(id, letter)| Entry::Letter(id, Box::new(letter))),
        None => {
            last_header(&record.headers, STATE)?;
            let value = record.value.as_ref()?;
            serde_json::from_slice(value).ok().map(Entry::State)
        }
    }
}

fn read_letter(record: &Record, at: usize) -> Option<(LetterId, Letter)> {
    let encoded = record.headers.encoded();
    let ours = Ours(Headers::from_encoded(encoded.slice(at..)));
    let letter = Letter {
        source: TopicPartition {
            topic: Topic::new(&ours.text("tidings_topic")?).ok()?,
            partition: ours.parsed("tidings_partition")?,
        },
        record: Record {
            offset: ours.parsed("tidings_offset")?,
            time: LogTime(ours.parsed("tidings_log_time")?),
            key: record.key.clone(),
            value: record.value.clone(),
            headers: Headers::from_encoded(encoded.slice(..at)),
        },
        why: ours.why()?,
    };
    Some((ours.parsed(ID)?, letter))
}

/// Where the last header of this name begins.
fn last_header(headers: &Headers, name: &str) -> Option<usize> {
    let (mut at, mut last) = (0, None);
    for (found, value) in headers.slices() {
        if found == name.as_bytes() {
            last = Some(at);
        }
        at += Headers::size_of(found, value);
    }
    last
}

/// Our headers of a dead letter.
struct Ours(Headers);

impl Ours {
    fn text(&self, name: &str) -> Option<String> {
        let mut slices = self.0.slices();
        let (_, value) = slices.find(|(found, _)| *found == name.as_bytes())?;
        String::from_utf8(value?.to_vec()).ok()
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    fn why(&self) -> Option<Why> {
        Some(Why {
            reason: LetterReason::of_name(&self.text("tidings_reason")?)?,
            detail: self.text("tidings_detail").unwrap_or_default(),
            attempts: self.parsed("tidings_attempts").unwrap_or(0),
            failures: self.parsed("tidings_failures").unwrap_or(0),
            first_failure: self.parsed("tidings_first_failure_time").map(LogTime),
            last_failure: self.parsed("tidings_last_failure_time").map(LogTime),
            client_id: self.text("tidings_client_id").unwrap_or_default(),
            behind: self.parsed("tidings_behind"),
            quarantine: self.parsed("tidings_quarantine").unwrap_or(false),
            redrive: self.text("tidings_redrive"),
            parent: self.parsed("tidings_parent"),
        })
    }
}

/// The first bytes of a text, at most so many, that are a text too.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests;
