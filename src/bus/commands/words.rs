//! What is said about commands: to whom, with what, and what became of them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    error::{Error, Reason, Result},
    log::LogTime,
    name::Group,
};

/// What to do: `[a-z][a-z0-9_]{0,99}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandName(String);

impl CommandName {
    pub const MAX_LEN: usize = 100;

    pub fn new(name: &str) -> Result<Self> {
        let rule = format!(
            "is 1 to {} of a-z, 0-9 and _, and begins with a letter, such as restore or health_check",
            Self::MAX_LEN
        );
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_word);
        match is_name && name.len() <= Self::MAX_LEN {
            true => Ok(Self(name.to_owned())),
            false => Err(Error::fault(Reason::RequestInvalid, "name", rule)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for CommandName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A message that only sender and instance understand.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandPayload {
    pub type_url: String,
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub value: Bytes,
}

impl CommandPayload {
    pub fn size(&self) -> usize {
        self.type_url.len() + self.value.len()
    }
}

/// Payloads are for nobody's log.
impl std::fmt::Debug for CommandPayload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes of {:?}", self.value.len(), self.type_url)
    }
}

/// To whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandTarget {
    /// All instances of the group.
    Group(Group),
    /// One, by the id of its stream.
    Instance(String),
}

/// A command on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentCommand {
    pub id: String,
    pub name: CommandName,
    pub target: CommandTarget,
    pub payload: Option<CommandPayload>,
    pub sender: String,
    /// Void from here on, by the sender's server's clock.
    pub expires: LogTime,
}

impl SentCommand {
    /// What it holds in memory, about, and more than it takes in a message.
    pub(in crate::bus) fn size(&self) -> usize {
        let payload = self.payload.as_ref().map_or(0, CommandPayload::size);
        payload + self.sender.len() + 512
    }

    pub(in crate::bus) fn is_void(&self, now: LogTime) -> bool {
        now >= self.expires
    }
}

/// A stream that takes commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceName {
    pub stream_id: String,
    pub client_id: String,
    pub replica_id: String,
}

/// How it went at an instance, as that told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandStatus {
    /// 0 = well; whatever else its users agree on.
    pub code: i32,
    pub message: String,
    pub details: Vec<CommandPayload>,
}

/// What a client answers.
#[derive(Clone, Debug)]
pub struct CommandReply {
    pub command_id: String,
    pub status: CommandStatus,
    pub payload: Option<CommandPayload>,
}

impl CommandReply {
    pub(super) fn size(&self) -> usize {
        let payload = self.payload.as_ref().map_or(0, CommandPayload::size);
        payload + self.status.details.iter().map(CommandPayload::size).sum::<usize>()
    }
}

/// What became of a command at one instance: exactly one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandAnswer {
    pub command_id: String,
    pub instance: InstanceName,
    pub outcome: CommandOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandOutcome {
    Answered {
        status: CommandStatus,
        payload: Option<CommandPayload>,
    },
    /// It will never get it.
    NotDelivered(NotDelivered),
    /// It may have carried it out.
    NoAnswer,
    /// Its stream or its replica ended; it may have carried it out.
    Gone,
}

/// Why an instance did not get a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotDelivered {
    /// It does not read, or answers nothing.
    Busy,
    /// It takes no messages of that size.
    TooLarge,
    /// It or its server is about to end.
    Ending,
    /// Its replica heard of it when its time was over.
    Late,
}

/// Why a reply is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyFault {
    /// The stream never had the command, or long ago.
    Unknown,
    Late,
    /// The first one counts.
    Repeated,
    /// A smaller one counts.
    TooLarge,
    /// It can be sent again.
    NotWritten,
}

fn to_base64<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    STANDARD.encode(bytes).serialize(serializer)
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map(Bytes::from).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_of_lower_case() {
        let longest = "a".repeat(100);
        for good in ["restore", "health_check", "set_api_key", "v2", "a", longest.as_str()] {
            assert_eq!(CommandName::new(good).expect(good).as_str(), good);
        }
        for bad in ["", "Restore", "_a", "2a", "a-b", "a b", "ä", "a.b", &"a".repeat(101)] {
            let error = CommandName::new(bad).expect_err(bad);
            assert_eq!(error.field_faults()[0].field, "name");
        }
    }

    #[test]
    fn payloads_are_not_shown() {
        let payload = CommandPayload {
            type_url: "t".to_owned(),
            value: Bytes::from_static(b"secret"),
        };
        assert_eq!(format!("{payload:?}"), "6 bytes of \"t\"");
    }
}
