//! The verbs of the bus: publish, read, subscribe, topics, groups, dead letters, replays. Plain Rust values in and out; no wire types, no backend.
//!
//! ```text
//! publish ──▶ route, encode ──▶ log.append ──▶ receipt
//! read ◀───── feed (one per partition, shared) ◀── log.read
//! subscribe ◀── group (one task per group: delivery, commits) ◀── feed
//! ```

mod settings;
mod publish;
mod read;
mod subscribe;
mod topics;
mod partitions;
mod lens;
mod matching;
mod start;
mod groups;
mod table;
mod control;
mod rules;
mod sieve;
mod notes;
mod resets;
mod replays;
mod audit;
mod stands;
mod covers;
mod checkpoints;
mod permits;
mod seen;
mod stores;
mod state;
mod commands;
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
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use audit::Denial;
pub use checkpoints::{
    Begun, CheckpointInfo, CheckpointRow, CheckpointRules, DeleteCheckpoint, Download, NewCheckpoint, Tie, Upload,
};
pub use commands::{
    Answers, CommandAnswer, CommandName, CommandOutcome, CommandPayload, CommandReply, CommandSettings, CommandStatus,
    CommandTarget, InstanceName, NotDelivered, ReplyFault, SendCommand, SentCommand,
};
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
pub use replays::{
    Ended, How, ReplayInfo, ReplayPartition, ReplayRange, ReplayRow, StartReplay, StopReplay, no_such_replay,
};
pub use resets::{
    Applied, ApplyReset, PartitionMove, PlanReset, ResetInfo, ResetPlan, ResetState, Target, UndoReset, Whose,
    no_such_reset,
};
pub use rules::{DeliveryRule, DeliveryRules, RetryOverride};
pub use settings::{AfterDeadLetter, Settings};
pub use start::{End, Gap, GapReason, Start};
pub use state::{
    Change, DeleteSnapshot, KeyState, NewSnapshot, RestoreFrame, RestoreOptions, RestoreProgress, RestoreSession,
    RestoreSource, Schedule, SnapshotInfo, SnapshotName, SnapshotPartition, SnapshotSettings, SnapshotState, Unusable,
};
pub use stores::Stores;
pub use subscribe::{OnConflict, OpenOptions};

use crate::{
    bus::{
        commands::Commands,
        control::ControlTables,
        covers::CoversTable,
        dead_letters::DeadLetters,
        feed::Feeds,
        groups::{Groups, LogAnswers, Losses},
        matching::Names,
        notes::Notes,
        observe::Watched,
        permits::Permits,
        replays::Replays,
        resets::{MovesTable, ResetsTable},
        seen::Seen,
        stands::StandsTable,
        state::{DeletionsTable, SnapshotsTable, StateRoom},
    },
    convention::routes::Routes,
    error::{Error, Reason, Result},
    log::{Log, LogTime},
};

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
    /// Past events on their way to groups again.
    replays: Replays,
    /// What retention took from groups, as far as it was told.
    losses: Losses,
    /// What the log said of groups a moment ago.
    answers: LogAnswers,
    /// Where groups stand, in case the log forgets it.
    stands: Arc<StandsTable>,
    /// What checkpoints cover of groups.
    covers: Arc<CoversTable>,
    /// What other replicas see of groups.
    seen: Seen,
    /// What lies beside the log.
    stores: Stores,
    /// Snapshots that are being taken, and deletions of some.
    snapshots: Arc<SnapshotsTable>,
    deletions: Arc<DeletionsTable>,
    state: StateRoom,
    commands: Commands,
    dead_letters: DeadLetters,
    permits: Permits,
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
    pub fn start(log: Arc<dyn Log>, routes: Routes, settings: Settings, stores: Stores) -> Self {
        let (tasks, draining) = (TaskTracker::new(), CancellationToken::new());
        let (followers, ended) = (TaskTracker::new(), CancellationToken::new());
        let groups = Groups::start(Arc::clone(&log), (&tasks, &draining), (&followers, &ended));
        let template = settings.dead_letter_topic.clone();
        let dead_letters = DeadLetters::new(Arc::clone(&log), template, tasks.clone(), draining.clone());
        let control = ControlTables::start(&log, &followers, &ended);
        Self(Arc::new(Inner {
            feeds: Feeds::new(Arc::clone(&log), settings.feed_bytes, tasks.clone()),
            groups,
            watched: Watched::new(settings.metric_groups),
            names: matching::follow(&log, &settings.dead_letter_topic, (&tasks, &draining)),
            notes: Notes::of(control.notes),
            resets: control.resets,
            moves: control.moves,
            replays: Replays::of(control.replays, control.replayed),
            losses: Losses::default(),
            answers: LogAnswers::default(),
            stands: control.stands,
            covers: control.covers,
            seen: Seen::of(control.seen),
            stores,
            snapshots: control.snapshots,
            deletions: control.deletions,
            state: StateRoom::new(&settings.snapshots),
            commands: Commands::new(&settings.commands),
            dead_letters,
            permits: Permits::new(&settings),
            replica_id: format!("{:08x}", fastrand::u32(..)),
            started: SystemTime::now(),
            log,
            routes,
            settings,
            draining,
            tasks,
            followers,
            ended,
        }))
        .begin()
    }

    /// What goes on by itself.
    fn begin(self) -> Self {
        self.tell_others();
        self.keep_schedule();
        self.follow_covers();
        self.see_to_replays();
        self
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
        self.0.permits.open_streams(&self.0.settings)
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
