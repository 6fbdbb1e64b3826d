//! `Log`: what any log must promise. Bytes only; what they mean is the business of the layers above.
//!
//! A log holds topics, a topic holds partitions, a partition holds records in the order of their offsets. Records of one
//! key go to one partition (Kafka's murmur2 over the key), so a partition's order is a key's order.

pub mod embedded;
pub mod kafka;
mod headers;
mod partitioner;
mod receipt;
mod rules;
mod topic;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use headers::{Headers, HeadersBuilder};
pub use receipt::{AppendTimes, Pending, Receipt};
pub use topic::{Cleanup, TopicInfo, TopicSettings};

use crate::{
    error::{Error, Reason, Result},
    name::{Group, Topic},
};

/// A log. All methods may be called from many tasks at once.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Creates a topic; when it returns, records can be appended to it, and the topic survives a crash.
    /// `TOPIC_EXISTS` if there is one, and then too records can be appended to it, though another process may have made it
    /// this moment. Cancelled: the topic may or may not come to be.
    async fn create_topic(&self, topic: &Topic, settings: TopicSettings) -> Result<()>;

    /// Creates a topic if there is none, whatever settings one has that is there. Tells whether this call made it.
    async fn ensure_topic(&self, topic: &Topic, settings: TopicSettings) -> Result<bool> {
        if self.partitions(topic).await?.is_some() {
            return Ok(false);
        }
        match self.create_topic(topic, settings).await {
            Ok(()) => Ok(true),
            Err(error) if error.reason() == Reason::TopicExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Replaces a topic's settings, durably. Partitions only grow: fewer is `TOPIC_INVALID`. `TOPIC_NOT_FOUND` if missing.
    async fn alter_topic(&self, topic: &Topic, settings: TopicSettings) -> Result<()>;

    /// Deletes a topic, its records, and what groups committed in it. Readers end with `TOPIC_NOT_FOUND`; members lose its
    /// partitions. A topic created later under the same name starts at offset 0 and has nothing committed.
    async fn delete_topic(&self, topic: &Topic) -> Result<()>;

    /// All topics, by name, internal ones too.
    async fn topics(&self) -> Result<Vec<TopicInfo>>;

    /// Their names alone, in order. Cheap: asked whenever topics came or went. What another process did a moment ago may be
    /// missing until `metadata` tells of it.
    async fn names(&self) -> Result<Vec<Topic>>;

    /// How many partitions a topic has; `None` if there is no such topic. Cheap: asked for each publish.
    async fn partitions(&self, topic: &Topic) -> Result<Option<i32>>;

    /// One topic with its settings, or `None`.
    async fn topic(&self, topic: &Topic) -> Result<Option<TopicInfo>>;

    /// Changes its value whenever topics or partitions came or went. May change without cause.
    fn metadata(&self) -> watch::Receiver<u64>;

    /// Whether the log can be reached now. `Err` has the text for people.
    fn health(&self) -> watch::Receiver<Result<(), Arc<str>>>;

    /// Hands records over. When the outer future is ready with `Ok`, the log has them, in the order of calls: records for
    /// one partition lie in the order in which they were handed over. When the `Receipt` is ready, each record's outcome is
    /// known, and `Ok` means durable: it survives a crash of process and machine.
    ///
    /// The outer future waits while the log's queue is full (bounded in bytes); cancelled there, nothing is written. An
    /// `Err` of it (`TOPIC_NOT_FOUND`, `LOG_UNAVAILABLE`, `EVENT_TOO_LARGE`) means that nothing was or will be written.
    /// Dropping the receipt changes nothing about the records.
    async fn append(&self, records: Vec<NewRecord>) -> Result<Receipt>;

    /// Reads a partition from an offset, in order, up to `until` (exclusive), or for ever: at the end it waits for more.
    ///
    /// Yields batches whose last record begins within 256 KiB, never an empty one except to report progress over holes
    /// (`Batch::next`). Reads nothing ahead while not polled, beyond one batch. Ends after an error: `POSITION_GONE` if `from`
    /// lies before the start or behind the end, `TOPIC_NOT_FOUND`, `LOG_DAMAGED`, `LOG_UNAVAILABLE`. Only records that are
    /// durable are ever seen.
    fn read(&self, partition: &TopicPartition, from: i64, until: Option<i64>) -> Reader;

    /// Start and end of partitions, in the order asked. `TOPIC_NOT_FOUND` if one does not exist.
    async fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>>;

    /// The offset of the first record appended at this time or later, for each partition; the end where there is none.
    async fn offsets_at(&self, partitions: &[TopicPartition], time: LogTime) -> Result<Vec<i64>>;

    /// Joins a group as a member. The partitions of `topics` are shared among its members, each owned by one at a time;
    /// `Membership::changes` says which are this member's. Topics that do not exist (yet) count as without partitions; there
    /// may be none at all. Leaves when the membership is dropped.
    async fn join(&self, group: &Group, topics: &[Topic]) -> Result<Membership>;

    /// What a group has committed in partitions, in the order asked; `None` = nothing.
    async fn committed(&self, group: &Group, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>>;

    /// Whether somebody is in the group, of this process or another. What changes at this moment may be missed.
    async fn has_members(&self, group: &Group) -> Result<bool>;

    /// Commits for a group that has no members; with members it is `GROUP_IN_USE` and nothing moves. Durable on return.
    async fn commit(&self, group: &Group, commits: Vec<Commit>) -> Result<()>;

    /// Forgets what a group without members has committed, in all topics; with members it is `GROUP_IN_USE`. Durable on return.
    async fn forget(&self, group: &Group) -> Result<()>;

    /// Groups that consumers of the log itself may have, each with how many members it has; those of the bus may be among them.
    async fn foreign_groups(&self) -> Result<Vec<(Group, usize)>>;

    /// Whether other processes may use the log at the same time.
    fn is_shared(&self) -> bool;

    /// Stops: what was handed over is finished, then everything is closed. Later calls are `LOG_UNAVAILABLE`.
    async fn close(&self);
}

/// A group's share of this process.
pub struct Membership {
    /// What this member gains and loses, from its first assignment on.
    pub changes: BoxStream<'static, Change>,
    /// Acts as this member.
    pub member: Arc<dyn Member>,
}

/// Acts as a member of a group. Dropping the last handle and the changes leaves the group.
#[async_trait]
pub trait Member: Send + Sync {
    /// Commits, durably on return, each with its note (which replaces the one before). Refused with `GROUP_IN_USE`, nothing
    /// moved, for partitions that this member no longer owns; with `REQUEST_TOO_LARGE` where the log is told to take shorter
    /// notes than one of these, while others may be done. Cancelled: it may or may not be done.
    async fn commit(&self, commits: Vec<Commit>) -> Result<()>;

    /// Has other topics from now on. What the member owns of those that stay remains its own all the while, whatever is in
    /// flight; `changes` says what comes: new partitions are `Assigned`, those of other topics `Revoked` or, where the group
    /// has taken them away at once, `Lost`. Returns before that; of several calls the last one holds.
    fn subscribe(&self, topics: &[Topic]);

    /// `false` = the partitions may be somebody else's by now, and nothing of them is to be delivered until `changes` says what
    /// happened. Cheap: asked for each delivery.
    fn is_current(&self) -> bool;
}

/// What happened to a member's partitions.
#[derive(Debug)]
pub enum Change {
    /// These are ours now, with what the group had committed.
    Assigned(Vec<Assigned>),
    /// These go to another member as soon as `release` is dropped; commits of them are accepted until then (the log may
    /// put a limit on how long it waits; then they are `Lost`).
    Revoked {
        partitions: Vec<TopicPartition>,
        release: Release,
    },
    /// The log took these away: they may be another member's already. Commits of them are refused.
    Lost(Vec<TopicPartition>),
    /// The topics of these were deleted. Commits of them are refused.
    Deleted(Vec<TopicPartition>),
    /// There is no membership (any more), and joining again would not help: `GROUP_IN_USE`, `PERMISSION_DENIED`. The last
    /// change; whatever was assigned is lost.
    Failed(Error),
}

/// Held while a revoked partition is still being settled; dropping it hands the partition over.
#[derive(Debug)]
pub struct Release(#[allow(dead_code, reason = "only its drop matters")] pub tokio::sync::oneshot::Sender<()>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    pub partition: TopicPartition,
    pub committed: Option<Committed>,
}

/// Where a group stands in a partition: everything below `offset` is done. The note is text of at most 4,096 UTF-16 code
/// units; a log may be told to take less.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub offset: i64,
    pub note: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub partition: TopicPartition,
    pub offset: i64,
    pub note: String,
}

/// Milliseconds since 1970 by the log's clock, as Kafka's record timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogTime(pub i64);

impl LogTime {
    /// By this machine's clock.
    pub fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TopicPartition {
    pub topic: Topic,
    pub partition: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The offset of the oldest record there is.
    pub start: i64,
    /// The offset that the next record will get.
    pub end: i64,
}

/// A record to append.
#[derive(Clone, Debug)]
pub struct NewRecord {
    pub topic: Topic,
    /// `None` = by key; without a key, spread over the partitions.
    pub partition: Option<i32>,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Headers,
}

impl NewRecord {
    /// Key, value and headers.
    pub fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + self.headers.size()
    }
}

/// A record of a log; its bytes are shared with others of its batch.
#[derive(Clone, Debug)]
pub struct Record {
    pub offset: i64,
    pub time: LogTime,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Headers,
}

impl Record {
    /// Key, value and headers as logged: what an event costs in byte credit.
    pub fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + self.headers.size()
    }
}

/// Records of one partition, in order.
#[derive(Clone, Debug)]
pub struct Batch {
    pub records: Vec<Record>,
    /// Reading goes on here: behind the last record, or behind a hole.
    pub next: i64,
    /// The partition's end when this was read.
    pub end: i64,
}

pub type Reader = BoxStream<'static, Result<Batch>>;
pub type Outcome = std::result::Result<Placed, Unwritten>;

/// Durable, at this place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub partition: i32,
    pub offset: i64,
}

/// Not known to be durable.
#[derive(Clone, Debug)]
pub struct Unwritten {
    /// `false`: it is not on the log and never will be. `true`: nobody knows.
    pub may_be_written: bool,
    pub error: Arc<Error>,
}
