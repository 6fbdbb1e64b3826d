//! The section `[log.kafka]`.

use super::{layer::Raw, reader::Reader, setting::Setting, units::ByteSize};
use crate::name::{Group, Topic};

/// `[log.kafka]`
#[derive(Clone, Debug, PartialEq)]
pub struct Kafka {
    pub bootstrap_servers: String,
    pub topic_prefix: String,
    /// `{group}` stands for the group's name.
    pub group_id: String,
    pub queue_bytes: ByteSize,
    pub fetch_bytes: ByteSize,
    /// Properties of librdkafka.
    pub properties: Vec<(String, String)>,
}

/// The bus stands on these.
const FIXED: [&str; 10] = [
    "acks",
    "enable.idempotence",
    "partitioner",
    "isolation.level",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "group.id",
    "transactional.id",
    // Another value would skip what retention has deleted without a word, or hide where a partition ends.
    "auto.offset.reset",
    "enable.partition.eof",
];
/// Other names of theirs, and what has a key of its own.
const ALIASES: [(&str, &str); 4] = [
    ("request.required.acks", "acks"),
    ("auto.commit.enable", "enable.auto.commit"),
    ("bootstrap.servers", "log.kafka.bootstrap_servers"),
    ("metadata.broker.list", "log.kafka.bootstrap_servers"),
];

pub(super) fn read(reader: &mut Reader) -> Kafka {
    let fetch_size = |size: ByteSize| size.0 >= 8 * ByteSize::MIB;
    Kafka {
        bootstrap_servers: reader.take("log.kafka.bootstrap_servers"),
        topic_prefix: reader.take::<TopicPrefix>("log.kafka.topic_prefix").0,
        group_id: reader.take::<GroupIdTemplate>("log.kafka.group_id").0,
        queue_bytes: reader.take("log.kafka.queue_bytes"),
        fetch_bytes: reader.take_if("log.kafka.fetch_bytes", fetch_size, "at least 8MiB"),
        properties: reader
            .take_all::<Property>("log.kafka.properties", refusal)
            .into_iter()
            .map(|(name, value)| (name, value.0))
            .collect(),
    }
}

fn refusal(name: &str) -> Option<String> {
    if FIXED.contains(&name) {
        return Some("cannot be set: the bus stands on its own value".to_owned());
    }
    let (_, stands_for) = ALIASES.iter().find(|(alias, _)| *alias == name)?;
    Some(format!("cannot be set: it is another name of {stands_for}"))
}

struct TopicPrefix(String);

impl Setting for TopicPrefix {
    fn read(raw: &Raw) -> Result<Self, String> {
        const MOST: usize = 100;
        let (Raw::Text(text) | Raw::Bare(text)) = raw else {
            return Err("must be text in quotes".to_owned());
        };
        let is_part_of_a_name = text.is_empty() || Topic::new(&format!("{text}a")).is_ok();
        match is_part_of_a_name && text.len() <= MOST {
            true => Ok(Self(text.clone())),
            false => Err(format!("must be at most {MOST} of A-Z a-z 0-9 . _ -, not {text:?}")),
        }
    }

    fn show(&self) -> String {
        self.0.show()
    }
}

struct GroupIdTemplate(String);

impl Setting for GroupIdTemplate {
    fn read(raw: &Raw) -> Result<Self, String> {
        let text = String::read(raw)?;
        let parts: Vec<&str> = text.split("{group}").collect();
        let is_name = |part: &&str| part.is_empty() || Group::new(part).is_ok();
        match parts.len() == 2 && parts.iter().all(is_name) {
            true => Ok(Self(text)),
            false => Err(format!(
                "must have {{group}} once, and else A-Z a-z 0-9 . _ -, not {text:?}"
            )),
        }
    }

    fn show(&self) -> String {
        self.0.show()
    }
}

/// Text, a number or a boolean, as librdkafka reads it.
struct Property(String);

impl Setting for Property {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) | Raw::Bare(text) => Ok(Self(text.clone())),
            Raw::Integer(number) => Ok(Self(number.to_string())),
            Raw::Boolean(value) => Ok(Self(value.to_string())),
            _ => Err("must be text, a whole number, true or false".to_owned()),
        }
    }

    fn show(&self) -> String {
        self.0.show()
    }
}
