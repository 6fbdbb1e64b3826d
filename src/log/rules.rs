//! What every log refuses alike.

use super::{Commit, TopicPartition, TopicSettings};
use crate::error::{Error, Reason, Result};

const MOST_PARTITIONS: i32 = 1_000;
/// Kafka's default limit, in UTF-16 code units as its brokers count.
const LONGEST_NOTE: usize = 4_096;

pub(super) fn check_settings(settings: &TopicSettings) -> Result<()> {
    if (1..=MOST_PARTITIONS).contains(&settings.partitions) {
        return Ok(());
    }
    let asked = settings.partitions;
    let rule = format!("a topic has 1 to {MOST_PARTITIONS} partitions; this asks for {asked}");
    Err(Error::fault(Reason::TopicInvalid, "partitions", rule))
}

/// Partitions of a topic only grow.
pub(super) fn check_growth(settings: &TopicSettings, before: i32) -> Result<()> {
    if settings.partitions >= before {
        return Ok(());
    }
    let rule = format!("the topic has {before} partitions, and partitions only grow");
    Err(Error::fault(Reason::TopicInvalid, "partitions", rule))
}

pub(super) fn check_commit(commit: &Commit) -> Result<()> {
    if commit.offset < 0 {
        let rule = "an offset is not negative";
        return Err(Error::fault(Reason::RequestInvalid, "offset", rule));
    }
    if commit.note.encode_utf16().count() > LONGEST_NOTE {
        let rule = format!("a commit's note has at most {LONGEST_NOTE} characters");
        return Err(Error::fault(Reason::RequestInvalid, "note", rule));
    }
    Ok(())
}

pub(super) fn no_such_partition(partition: &TopicPartition) -> Error {
    if partition.partition == 0 {
        return Error::no_such_topic(&partition.topic);
    }
    let (topic, number) = (&partition.topic, partition.partition);
    let text = format!("partition {number} of topic {topic} does not exist");
    Error::new(Reason::TopicNotFound, text).resource("topic", topic.as_str())
}
