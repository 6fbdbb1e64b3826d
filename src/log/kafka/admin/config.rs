//! A topic's settings as Kafka configures it, and back.

use std::time::Duration;

use rdkafka::admin::ConfigResource;

use crate::{
    log::{Cleanup, TopicSettings},
    name::Topic,
};

/// Of a table that is written all the time and read whole at each start: the segment that is being written is not compacted.
const OFTEN_COMPACTED: [(&str, &str); 2] = [("segment.bytes", "16777216"), ("segment.ms", "3600000")];

/// What else a new topic has that is a table of the bus.
pub(super) fn of_table(topic: &Topic, settings: &TopicSettings) -> impl Iterator<Item = (&'static str, &'static str)> {
    let is_table = topic.is_internal() && settings.cleanup == Cleanup::Compact;
    OFTEN_COMPACTED.into_iter().filter(move |_| is_table)
}

pub(super) fn config(settings: &TopicSettings) -> [(&'static str, String); 3] {
    let or_none = |limit: Option<String>| limit.unwrap_or_else(|| "-1".to_owned());
    let cleanup = match settings.cleanup {
        Cleanup::Delete => "delete",
        Cleanup::Compact => "compact",
    };
    [
        (
            RETENTION,
            or_none(settings.retention.map(|time| time.as_millis().to_string())),
        ),
        (
            RETENTION_BYTES,
            or_none(settings.retention_bytes.map(|bytes| bytes.to_string())),
        ),
        (CLEANUP, cleanup.to_owned()),
    ]
}

const RETENTION: &str = "retention.ms";
const RETENTION_BYTES: &str = "retention.bytes";
const CLEANUP: &str = "cleanup.policy";

pub(super) fn settings(config: &ConfigResource, partitions: i32) -> TopicSettings {
    let value = |name| config.get(name).and_then(|entry| entry.value.as_deref());
    let limit = |name| value(name).and_then(|text| text.parse::<u64>().ok());
    TopicSettings {
        partitions,
        retention: limit(RETENTION).map(Duration::from_millis),
        retention_bytes: limit(RETENTION_BYTES),
        cleanup: match value(CLEANUP).is_some_and(|policy| policy.contains("compact")) {
            true => Cleanup::Compact,
            false => Cleanup::Delete,
        },
    }
}
