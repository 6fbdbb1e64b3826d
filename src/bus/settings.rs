//! What the bus is told at its start.

use std::{sync::Arc, time::Duration};

use super::{CheckpointRules, CommandSettings, DeliveryRules, SnapshotSettings, delivery::Credit};
use crate::name::{Tenancy, template::TopicTemplate};

/// What the bus is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The largest event as logged.
    pub max_event_bytes: usize,
    /// Bytes handed to the log and not yet answered, over all publishers.
    pub publish_bytes: usize,
    /// Open Subscribe and Read streams.
    pub streams: usize,
    pub groups: usize,
    /// Bytes of events that a group holds on this replica, delivered or waiting.
    pub group_buffer_bytes: usize,
    /// Bytes of recent events shared by readers near the end, over all partitions.
    pub feed_bytes: usize,
    /// Credit of a stream is clamped to this.
    pub max_credit: Credit,
    /// The most offsets between a group's committed one and the last in delivery, per partition.
    pub window: i64,
    pub commit_interval: Duration,
    pub commit_count: usize,
    /// How long the plan of a reset may be applied.
    pub plan_lifetime: Duration,
    pub delivery: DeliveryRules,
    /// Where the dead letters of a group lie.
    pub dead_letter_topic: TopicTemplate,
    pub after_dead_letter: AfterDeadLetter,
    pub snapshots: SnapshotSettings,
    /// Whether publishing or subscribing to an unknown topic creates it.
    pub auto_create: bool,
    pub default_partitions: i32,
    /// The most groups of which `Bus::observe` tells one by one.
    pub metric_groups: usize,
    pub checkpoints: CheckpointRules,
    pub commands: CommandSettings,
    pub tenancy: Arc<Tenancy>,
    /// How long streams may settle what they have when the bus stops.
    pub drain_timeout: Duration,
}

/// What happens to later events of a key after one of it became a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterDeadLetter {
    /// They are delivered.
    Continue,
    /// They join it, in order, until it is redriven or discarded.
    Quarantine,
}
