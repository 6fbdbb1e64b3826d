//! A group on this replica: one task that owns its delivery, fed by partitions, steered by its streams.
//!
//! ```text
//! feed readers ─▶ task (Dispatch) ─▶ outbox of each stream ─▶ grpc, as fast as the client reads
//! streams ──────▶ commands, signals ─▶ task ─▶ commits ─▶ log
//! ```
//!
//! The task ends a second after the last stream has left and everything acked is committed; then the membership is given up.

mod identity;
mod task;
mod waking;
mod streams;
mod deliveries;
mod membership;
mod owned;
mod partitions;
mod leaving;
mod reading;
mod commits;
mod moving;
mod covering;
mod answers;
mod ending;
mod graves;
mod redrives;
mod replaying;
mod failing;
mod gaps;
mod progress;
mod keeping;
mod ends;
mod view;
mod gauges;
mod outbox;
mod control;
mod buffer;
mod packing;
mod payload;

use std::sync::atomic::{AtomicBool, Ordering};
use std::{sync::Arc, time::Duration};

use bytestring::ByteString;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

pub use control::Control;
pub(super) use covering::Stay;
pub(super) use gauges::Gauges;
pub use leaving::{AssignmentChange, LossReason};
pub use outbox::Frames;
pub(super) use outbox::{CommandBox, Offer};
pub use payload::Delivery;
pub use progress::{Heartbeat, OldestUnacked, PartitionProgress, Waiting};
pub(super) use task::start;
pub(super) use view::GroupView;
pub use view::{OldestRow, PartitionRow, StreamRow};

use identity::Identity;
use payload::Payload;

use super::{
    commands::{Leaving, Listener, ReplyFault, SentCommand},
    covers::Cover,
    delivery::{Credit, CreditMode, IdFault, IdRange, RetryPolicy, StreamId},
    groups::{GroupRecord, GroupSettings},
    start::Gap,
};
use crate::{
    error::{Error, Result},
    log::TopicPartition,
    tab::Tab,
};

/// What a stream gets.
#[derive(Debug)]
pub enum Frame {
    Opened(Box<Opened>),
    Deliveries(Vec<Delivery>),
    AckResult(AckReport),
    Assignment(AssignmentChange),
    Heartbeat(Box<Heartbeat>),
    CaughtUp(Vec<(TopicPartition, i64)>),
    Gap(Gap),
    GroupChanged {
        revision: u64,
        settings: GroupSettings,
        /// As in force.
        retry: RetryPolicy,
    },
    /// The group's offsets were moved: what was outstanding of these is void.
    ResetApplied {
        reset_id: String,
        epoch: u64,
        /// Where the group stands now.
        positions: Vec<(TopicPartition, i64)>,
    },
    /// No delivery follows; acks count for so long.
    Drain(Duration),
    /// To this stream as an instance.
    Command(Arc<SentCommand>),
    /// An answer to a command was of no use.
    CommandFault {
        command_id: String,
        fault: ReplyFault,
    },
}

/// The stream is in the group.
#[derive(Clone, Debug)]
pub struct Opened {
    pub stream_id: String,
    pub revision: u64,
    pub created: bool,
    pub settings: GroupSettings,
    pub credit: Credit,
    pub credit_mode: CreditMode,
    pub heartbeat_interval: Duration,
    /// How long the stream may have an event; `None` = for ever.
    pub lease: Option<Duration>,
    /// As in force.
    pub retry: RetryPolicy,
    /// The group's; each later reset is told with its own.
    pub epoch: u64,
    /// Where the group stands.
    pub partitions: Vec<PartitionProgress>,
}

/// What a client wants with events that failed, and why.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub action: Action,
    pub reason: ByteString,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send them again; `None` = after the group's delay.
    Retry(Option<Duration>),
    DeadLetter,
}

/// What became of an ack, nack or extension.
#[derive(Clone, Debug)]
pub struct AckReport {
    /// 0 where the client gave none.
    pub sequence: u64,
    /// Everything it settled is committed: none of it comes again.
    pub committed: bool,
    pub faults: Vec<IdFault>,
}

/// A stream that wants to join.
pub(super) struct NewStream {
    pub(super) opened: Opened,
    pub(super) max_credit: Credit,
    pub(super) client_id: String,
    /// What its caller has counts on these, whatever the stream.
    pub(super) tabs: Vec<Arc<Tab>>,
    pub(super) permit: OwnedSemaphorePermit,
    /// What the log tells of it is of this.
    pub(super) log: tracing::Span,
}

/// Names a stream for as long as the task lives; numbers are not used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StreamKey {
    id: StreamId,
    serial: u64,
}

enum Command {
    Join(Box<NewStream>, oneshot::Sender<Subscription>),
    Credit(StreamKey, Credit),
    Ack(StreamKey, Vec<IdRange>, u64),
    Nack(StreamKey, Vec<IdRange>, Refusal, u64),
    Extend(StreamKey, Vec<IdRange>, Duration, u64),
    Close(StreamKey),
    HalfClose(StreamKey),
    Fail(StreamKey, Error),
    Replace(Arc<GroupRecord>),
    Describe(oneshot::Sender<GroupView>),
    Cover(Arc<Cover>),
    Stay(oneshot::Receiver<()>),
}

/// What the other side of an outbox tells; at most one of each for each stream, or delivery, is under way.
enum Signal {
    Room(StreamKey),
    Gone(StreamKey),
    TooLarge(StreamKey, u64, Error),
}

/// How to reach a group's task.
#[derive(Clone)]
pub(super) struct Handle {
    commands: mpsc::Sender<Command>,
    signals: mpsc::UnboundedSender<Signal>,
    /// Something happened since somebody asked.
    stirred: Arc<AtomicBool>,
}

impl Handle {
    /// Whether something may have happened since this was asked last.
    pub(super) fn has_stirred(&self) -> bool {
        self.stirred.swap(false, Ordering::Relaxed)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.commands.is_closed()
    }

    /// Joins; `None` if the task has just ended: start it again.
    pub(super) async fn join(&self, stream: NewStream) -> Option<Subscription> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Join(Box::new(stream), reply)).await.ok()?;
        answer.await.ok()
    }

    /// The group's record was replaced.
    pub(super) async fn replace(&self, record: Arc<GroupRecord>) {
        // A task that has ended reads the record when it is started again.
        let _ = self.commands.send(Command::Replace(record)).await;
    }

    /// `None` if the task has just ended.
    pub(super) async fn describe(&self) -> Option<GroupView> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Describe(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// One stream of a group: frames out, control in. Dropping the frames leaves the group.
pub struct Subscription {
    pub frames: Frames,
    pub control: Control,
}

impl Subscription {
    /// From now on the stream takes commands, until its frames are dropped.
    pub(super) fn listen(&mut self, (listener, leaving): (Listener, Leaving)) {
        self.control.listener = Some(listener);
        self.frames.listening = Some(leaving);
    }
}

type Ending = Result<()>;
