//! A topic and its settings.

use std::time::Duration;

use super::LogTime;
use crate::name::Topic;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    pub name: Topic,
    pub settings: TopicSettings,
    /// `None` where the log does not know.
    pub created: Option<LogTime>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// 1 to 1,000.
    pub partitions: i32,
    /// Records older than this may be deleted; `None` = kept for ever.
    pub retention: Option<Duration>,
    /// Bytes a partition keeps; `None` = no limit.
    pub retention_bytes: Option<u64>,
    pub cleanup: Cleanup,
}

impl TopicSettings {
    /// Of a topic that the bus makes for itself: one partition, kept for ever.
    pub fn of_the_bus(cleanup: Cleanup) -> Self {
        Self {
            partitions: 1,
            retention: None,
            retention_bytes: None,
            cleanup,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// Oldest first, as retention says.
    Delete,
    /// Of each key all but the newest.
    Compact,
}
