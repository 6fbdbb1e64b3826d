//! The verbs of the bus: publish, read, subscribe, topics, groups, dead letters. Plain Rust values in and out; no wire types, no backend.
//!
//! ```text
//! publish ──▶ route, encode ──▶ log.append ──▶ receipt
//! read ◀───── feed (one per partition, shared) ◀── log.read
//! subscribe ◀── group (one task per group: delivery, commits) ◀── feed
//! ```

mod publish;
mod read;
mod subscribe;
mod topics;
mod partitions;
mod matching;
mod start;
mod groups;
mod table;
mod control;
mod rules;
mod sieve;
mod notes;
mod resets;
mod audit;
mod stands;
mod seen;
mod group;
mod observe;
pub mod delivery;
mod feed;
pub mod dead_letters;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use feed::Item;
pub use group::{
    AckReport, Action, AssignmentChange, Control, Delivery, Frame, Frames, Heartbeat, LossReason, OldestRow,
    OldestUnacked, Opened, PartitionProgress, PartitionRow, Refusal, StreamRow, Subscription, Waiting,
};
pub use groups::{
    DeleteGroup, GroupInfo, GroupKind, GroupPartition, GroupSettings, GroupStream, OnGap, OpenStreams, Served,
    Undecodable,
};
pub use observe::{Count, Fill, HeldUp, Levels, Observed, ObservedGroup, Tally};
pub use publish::{HandedOver, NewEvents, PublishError, Run, RunState, Written};
pub use read::{ReadEvents, ReadFrame, ReadOptions, ReadSession};
pub use resets::{
    Applied, ApplyReset, PartitionMove, PlanReset, ResetInfo, ResetPlan, ResetState, Target, UndoReset, Whose,
};
pub use rules::{DeliveryRule, DeliveryRules, RetryOverride};
pub use start::{End, Gap, GapReason, Start};
pub use subscribe::{OnConflict, OpenOptions};

use crate::{
    bus::{
        control::ControlTables,
        dead_letters::DeadLetters,
        delivery::Credit,
        feed::Feeds,
        groups::{Answers, Groups, Losses},
        matching::Names,
        notes::Notes,
        observe::Watched,
        resets::{MovesTable, ResetsTable},
        seen::Seen,
        stands::StandsTable,
    },
    convention::routes::Routes,
    error::{Error, Reason, Result},
    log::{Log, LogTime},
    name::template::TopicTemplate,
};

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
    /// Whether publishing or subscribing to an unknown topic creates it.
    pub auto_create: bool,
    pub default_partitions: i32,
    /// The most groups of which `Bus::observe` tells one by one.
    pub metric_groups: usize,
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

/// The bus. Cloning it is cheap.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

struct Inner {
    log: Arc<dyn Log>,
    routes: Routes,
    settings: Settings,
    feeds: Feeds,
    groups: Groups,
    /// What is told of groups to whoever watches.
    watched: Watched,
    names: watch::Receiver<Names>,
    notes: Arc<Notes>,
    /// Plans, and resets.
    resets: Arc<ResetsTable>,
    /// Where the last reset has put each partition.
    moves: Arc<MovesTable>,
    /// What retention took from groups, as far as it was told.
    losses: Losses,
    /// What the log said of groups a moment ago.
    answers: Answers,
    /// Where groups stand, in case the log forgets it.
    stands: Arc<StandsTable>,
    /// What other replicas see of groups.
    seen: Seen,
    dead_letters: DeadLetters,
    publish_bytes: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    replica_id: String,
    started: SystemTime,
    /// Set when the bus drains: nothing new begins.
    draining: CancellationToken,
    tasks: TaskTracker,
    /// What follows tables, also while the groups' last commits are on their way; and what ends it.
    followers: TaskTracker,
    ended: CancellationToken,
}

impl Bus {
    /// Starts on a log, which need not be reachable yet.
    pub fn start(log: Arc<dyn Log>, routes: Routes, settings: Settings) -> Self {
        let (tasks, draining) = (TaskTracker::new(), CancellationToken::new());
        let (followers, ended) = (TaskTracker::new(), CancellationToken::new());
        let groups = Groups::start(Arc::clone(&log), (&tasks, &draining), (&followers, &ended));
        let template = settings.dead_letter_topic.clone();
        let dead_letters = DeadLetters::new(Arc::clone(&log), template, tasks.clone(), draining.clone());
        let control = ControlTables::start(&log, &followers, &ended);
        let bus = Self(Arc::new(Inner {
            feeds: Feeds::new(Arc::clone(&log), settings.feed_bytes, tasks.clone()),
            groups,
            watched: Watched::new(settings.metric_groups),
            names: matching::follow(&log, &settings.dead_letter_topic, (&tasks, &draining)),
            notes: Notes::of(control.notes),
            resets: control.resets,
            moves: control.moves,
            losses: Losses::default(),
            answers: Answers::default(),
            stands: control.stands,
            seen: Seen::of(control.seen),
            dead_letters,
            publish_bytes: Arc::new(Semaphore::new(settings.publish_bytes)),
            streams: Arc::new(Semaphore::new(settings.streams)),
            replica_id: format!("{:08x}", fastrand::u32(..)),
            started: SystemTime::now(),
            log,
            routes,
            settings,
            draining,
            tasks,
            followers,
            ended,
        }));
        bus.tell_others();
        bus
    }

    /// New at each start.
    pub fn replica_id(&self) -> &str {
        &self.0.replica_id
    }

    pub fn started(&self) -> SystemTime {
        self.0.started
    }

    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Subscribers and readers that are there now.
    pub fn open_streams(&self) -> usize {
        self.0
            .settings
            .streams
            .saturating_sub(self.0.streams.available_permits())
    }

    /// Whether the log can be reached.
    pub fn health(&self) -> watch::Receiver<Result<(), Arc<str>>> {
        self.0.log.health()
    }

    /// Set when the bus begins to drain.
    pub fn draining(&self) -> CancellationToken {
        self.0.draining.clone()
    }

    /// Ends reads, tells subscribers, lets them settle what they have for `Settings::drain_timeout`, commits, ends them.
    /// Calls of Publish go on until the door closes; publish streams end by `draining`.
    pub async fn drain(&self) {
        self.0.draining.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.seen.end().await;
        self.0.ended.cancel();
        self.0.followers.close();
        self.0.followers.wait().await;
    }
}

impl Inner {
    /// A place among the open streams, held for a stream's life.
    fn stream_permit(&self) -> Result<tokio::sync::OwnedSemaphorePermit> {
        if self.draining.is_cancelled() {
            return Err(draining());
        }
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            let limit = self.settings.streams;
            Error::new(
                Reason::Limit,
                format!("open a stream: limits.streams = {limit} are open"),
            )
            .retry_after(Duration::from_secs(5))
        })
    }
}

/// What ends a stream while the bus drains.
pub fn draining() -> Error {
    Error::new(
        Reason::Draining,
        "the server is stopping; open again elsewhere or later",
    )
    .retry_after(Duration::from_secs(1))
}

/// How long ago something was written, by this machine's clock.
fn age(time: LogTime) -> Duration {
    let age = LogTime::now().0.saturating_sub(time.0);
    Duration::from_millis(u64::try_from(age).unwrap_or(0))
}

/// A hash of a key, the same on every replica of this version.
fn key_hash(key: &Bytes) -> u64 {
    use std::hash::Hasher;
    let mut hasher = rustc_hash::FxHasher::default();
    hasher.write(key);
    hasher.finish()
}
