//! Commands and what becomes of them as records: CloudEvents whose data is JSON, keyed by the command's id.
//!
//! This is the one place that knows how they lie on the log; other systems' commands would be read and written here too.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::words::{CommandOutcome, InstanceName, NotDelivered, SentCommand};
use crate::{
    convention,
    error::{Error, Reason, Result},
    event::{Data, Draft, Event, Value},
    log::{NewRecord, Record, TopicPartition},
};

const SENT: &str = "tidings.commands.sent";
const GIVEN: &str = "tidings.commands.given";
const ANSWERED: &str = "tidings.commands.answered";

/// What lies on the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Sent(Arc<SentCommand>),
    Given(Given),
    Answered(Answered),
}

/// To whom a replica gave a command. It tells this in parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    pub(super) command_id: String,
    pub(super) replica_id: String,
    /// With why not, for those who did not get it.
    pub(super) instances: Vec<(InstanceName, Option<NotDelivered>)>,
    /// No part follows.
    pub(super) last: bool,
}

/// What became of a command at an instance that had got it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answered {
    pub(super) command_id: String,
    pub(super) instance: InstanceName,
    pub(super) outcome: CommandOutcome,
}

impl Entry {
    pub(super) fn command_id(&self) -> &str {
        match self {
            Self::Sent(command) => &command.id,
            Self::Given(given) => &given.command_id,
            Self::Answered(answered) => &answered.command_id,
        }
    }
}

/// The record of an entry, written by a replica.
pub(super) fn record(at: &TopicPartition, replica_id: &str, entry: &Entry) -> Result<NewRecord> {
    let (ty, data) = match entry {
        Entry::Sent(command) => (SENT, serde_json::to_string(&**command)),
        Entry::Given(given) => (GIVEN, serde_json::to_string(given)),
        Entry::Answered(answered) => (ANSWERED, serde_json::to_string(answered)),
    };
    let failed = |error: serde_json::Error| Error::new(Reason::Internal, format!("write a command: {error}"));
    let json = Value::String("application/json".into());
    let draft = Draft {
        id: uuid::Uuid::now_v7().simple().to_string().into(),
        source: format!("/tidings/{replica_id}").into(),
        spec_version: "1.0".into(),
        ty: ty.into(),
        attributes: vec![("datacontenttype".into(), json)],
        data: Data::Text(data.map_err(failed)?.into()),
    };
    let event = draft
        .check()
        .map_err(|faults| Error::faults(Reason::Internal, faults))?;
    let encoded = convention::encode(&event);
    Ok(NewRecord {
        topic: at.topic.clone(),
        partition: Some(at.partition),
        key: Some(entry.command_id().to_owned().into()),
        value: encoded.value,
        headers: encoded.headers,
    })
}

/// `None` = it is something else, or damaged.
pub(super) fn read(at: &TopicPartition, record: &Record) -> Option<Entry> {
    read_event(&convention::decode(at, record).event)
}

pub(super) fn read_event(event: &Event) -> Option<Entry> {
    Some(match &**event.ty() {
        SENT => Entry::Sent(Arc::new(data(event)?)),
        GIVEN => Entry::Given(data(event)?),
        ANSWERED => Entry::Answered(data(event)?),
        _ => return None,
    })
}

fn data<T: DeserializeOwned>(event: &Event) -> Option<T> {
    serde_json::from_slice(event.data().bytes()?).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        bus::commands::words::{CommandName, CommandPayload, CommandStatus, CommandTarget},
        log::LogTime,
        name::Topic,
    };

    fn at() -> TopicPartition {
        let topic = Topic::new("tidings.commands").expect("valid");
        TopicPartition { topic, partition: 0 }
    }

    fn written(entry: &Entry) -> Record {
        let new = record(&at(), "r1", entry).expect("a record");
        Record {
            offset: 0,
            time: LogTime(0),
            key: new.key,
            value: new.value,
            headers: new.headers,
        }
    }

    fn payload() -> CommandPayload {
        CommandPayload {
            type_url: "payload\n\u{7f}".to_owned(),
            value: Bytes::from((0..=255).collect::<Vec<u8>>()),
        }
    }

    fn instance() -> InstanceName {
        InstanceName {
            stream_id: "r1-2".to_owned(),
            client_id: "c\u{0}\"".to_owned(),
            replica_id: "r1".to_owned(),
        }
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        let status = CommandStatus {
            code: 5,
            message: "none\u{0}".to_owned(),
            details: vec![payload()],
        };
        let sent = SentCommand {
            id: "i".to_owned(),
            name: CommandName::new("restore").expect("a name"),
            target: CommandTarget::Instance("r1-2".to_owned()),
            payload: Some(payload()),
            sender: "anonymous".to_owned(),
            expires: LogTime(7),
        };
        let given = Given {
            command_id: "i".to_owned(),
            replica_id: "r1".to_owned(),
            instances: vec![(instance(), None), (instance(), Some(NotDelivered::Busy))],
            last: true,
        };
        let outcomes = [
            CommandOutcome::Gone,
            CommandOutcome::NoAnswer,
            CommandOutcome::NotDelivered(NotDelivered::Late),
            CommandOutcome::Answered {
                status,
                payload: Some(payload()),
            },
        ];
        let answered = outcomes.map(|outcome| {
            Entry::Answered(Answered {
                command_id: "i".to_owned(),
                instance: instance(),
                outcome,
            })
        });
        let entries = [Entry::Sent(Arc::new(sent)), Entry::Given(given)];
        for entry in entries.into_iter().chain(answered) {
            let record = written(&entry);
            assert_eq!(record.key.as_deref(), Some(b"i".as_slice()));
            assert_eq!(read(&at(), &record), Some(entry));
        }
    }

    #[test]
    fn what_is_no_entry_is_passed_over() {
        let sound = written(&Entry::Given(Given {
            command_id: "i".to_owned(),
            replica_id: "r1".to_owned(),
            instances: Vec::new(),
            last: true,
        }));
        for value in [
            None,
            Some(Bytes::new()),
            Some(Bytes::from_static(b"{\"command_id\":1}")),
        ] {
            let damaged = Record { value, ..sound.clone() };
            assert_eq!(read(&at(), &damaged), None);
        }
        let foreign = Record {
            headers: crate::log::Headers::default(),
            ..sound
        };
        assert_eq!(read(&at(), &foreign), None);
    }
}
