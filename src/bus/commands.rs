//! Commands to the instances of groups: sent over a topic that replicas follow, given to the streams that take them, answered.
//!
//! ```text
//! send ─▶ the topic of commands ─▶ each replica's follower ─▶ outboxes of its streams
//!   ▲                │   ▲              │ to whom              │
//!   └──── answers ◀──┘   └──────────────┴────── replies ◀──────┘
//! ```
//!
//! At most once: a follower begins at the end of the topic, gives each id once, and none whose time is over.

mod words;
mod wire;
mod instances;
mod instance;
mod follow;
mod recent;
mod give;
mod reply;
mod awaited;
mod send;
mod answers;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Semaphore, watch};

pub use self::{
    answers::Answers,
    send::SendCommand,
    words::{
        CommandAnswer, CommandName, CommandOutcome, CommandPayload, CommandReply, CommandStatus, CommandTarget,
        InstanceName, NotDelivered, ReplyFault, SentCommand,
    },
};
pub(super) use self::{
    instance::Instance,
    instances::{Instances, Place},
    reply::{Leaving, Listener},
};
use super::Inner;
use crate::{
    error::{Error, Reason, Result},
    log::{Cleanup, TopicPartition, TopicSettings},
    name::Topic,
};

/// What the bus is told about commands at its start.
#[derive(Clone, Debug)]
pub struct CommandSettings {
    /// Where commands and answers lie.
    pub topic: Topic,
    /// For how long.
    pub retention: Duration,
    /// The longest that a sender may wait.
    pub max_timeout: Duration,
    /// The most calls that wait for answers.
    pub outstanding: usize,
}

/// The largest payload, where the log takes it.
const MOST_PAYLOAD: usize = 256 * 1024;
/// For everything beside the payload in a record.
const ENVELOPE: usize = 16 * 1024;
/// Reports and last words that are on their way to the log at once.
const MOST_REPORTS: usize = 1_024;

/// What this replica knows of commands.
pub(super) struct Commands {
    pub(super) instances: Arc<Instances>,
    /// Everything below this offset was given; `None` = the topic is not followed yet.
    reached: watch::Sender<Option<i64>>,
    is_followed: AtomicBool,
    calls: Arc<Semaphore>,
    reports: Arc<Semaphore>,
}

impl Commands {
    pub(super) fn new(settings: &CommandSettings) -> Self {
        Self {
            instances: Arc::default(),
            reached: watch::Sender::new(None),
            is_followed: AtomicBool::new(false),
            calls: Arc::new(Semaphore::new(settings.outstanding)),
            reports: Arc::new(Semaphore::new(MOST_REPORTS)),
        }
    }

    /// Whether nobody has asked before.
    fn begins_to_follow(&self) -> bool {
        !self.is_followed.swap(true, Ordering::Relaxed)
    }
}

impl Inner {
    fn commands_partition(&self) -> TopicPartition {
        TopicPartition {
            topic: self.settings.commands.topic.clone(),
            partition: 0,
        }
    }

    /// The largest payload of a command or an answer. In a record it takes four thirds of its size.
    pub(super) fn most_command_payload(&self) -> usize {
        let room = self.settings.max_event_bytes.saturating_sub(ENVELOPE);
        MOST_PAYLOAD.min(room / 4 * 3)
    }

    async fn ensure_commands_topic(&self) -> Result<()> {
        let topic = &self.settings.commands.topic;
        let settings = TopicSettings {
            retention: Some(self.settings.commands.retention),
            ..TopicSettings::of_the_bus(Cleanup::Delete)
        };
        self.log.ensure_topic(topic, settings).await.map(|_| ())
    }
}

fn unreachable() -> Error {
    let text = "follow the topic of commands: the log does not answer";
    Error::new(Reason::LogUnavailable, text).retry_after(Duration::from_secs(1))
}
