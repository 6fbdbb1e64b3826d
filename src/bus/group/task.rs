//! The task of a group: one loop over everything that can happen, each followed by settling up.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::{
    StreamExt as _,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use rustc_hash::FxHashMap;
use tokio::{sync::mpsc, time::sleep_until};

use super::{
    Command, Handle, Identity, Payload, Signal,
    commits::Commits,
    ends::Ends,
    gauges::Watch,
    graves::Graves,
    keeping::Keeping,
    membership::next_change,
    moving::Moves,
    owned::Owned,
    partitions::Started,
    reading::ReadDone,
    redrives::Redrives,
    replaying::Replaying,
    streams::Member,
    waking::{Looks, maybe},
};
use crate::{
    bus::{
        Inner,
        dead_letters::Store,
        delivery::{Dispatch, Limits, PartitionId, StreamId},
        groups::GroupRecord,
        matching::Matching,
        start::Gap,
    },
    error::Result,
    log::{self, Change, Membership, TopicPartition},
    name::Group,
};

const COMMANDS: usize = 256;
/// After a failure of the log.
pub(super) const RETRY: Duration = Duration::from_millis(500);
/// What a stream does not read for so long goes to others.
pub(super) const UNREAD: Duration = Duration::from_secs(1);

pub(super) struct Task {
    pub(super) bus: Arc<Inner>,
    pub(super) identity: Identity,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) signals: mpsc::UnboundedReceiver<Signal>,
    pub(super) handle: Handle,
    pub(super) dispatch: Dispatch<Payload>,
    pub(super) members: FxHashMap<StreamId, Member>,
    pub(super) owned: FxHashMap<PartitionId, Owned>,
    pub(super) member: Option<Arc<dyn log::Member>>,
    pub(super) changes: Option<BoxStream<'static, Change>>,
    pub(super) reads: FuturesUnordered<BoxFuture<'static, ReadDone>>,
    /// Partitions whose reader waits for room; the first is next.
    pub(super) parked: VecDeque<PartitionId>,
    /// Reads under way of partitions that are behind: each may bring a whole batch.
    pub(super) reads_behind: usize,
    pub(super) starting: FuturesUnordered<BoxFuture<'static, Started>>,
    /// Partitions whose bounds are being asked for, each with the number of the latest asking.
    pub(super) pending: FxHashMap<TopicPartition, u64>,
    /// Where the group failed at a gap: who joins fails too, until the settings change.
    pub(super) failed_at: Option<Gap>,
    /// The group's topics changed: join anew once nothing of the old ones is left.
    pub(super) rejoin_when_released: bool,
    pub(super) observing: Option<BoxFuture<'static, Ends>>,
    pub(super) commits: Commits,
    pub(super) keeping: Keeping,
    /// The group's dead letters.
    pub(super) letters: Arc<Store>,
    pub(super) graves: Graves,
    pub(super) redrives: Redrives,
    pub(super) replaying: Replaying,
    pub(super) moves: Moves,
    pub(super) watch: Watch,
    pub(super) serial: u64,
    /// Streams that were not told yet that they have caught up.
    pub(super) uncaught: usize,
    /// Rises with each change of a partition's progress.
    pub(super) version: u64,
    pub(super) next_heartbeat: Instant,
    pub(super) looks: Looks,
    pub(super) rejoin_at: Option<Instant>,
    /// Dropped when the membership would be of no use.
    pub(super) joining: Option<BoxFuture<'static, Result<(Membership, Matching)>>>,
    /// Ready when there are more topics for the membership.
    pub(super) matching: Option<BoxFuture<'static, Matching>>,
    /// Set while the bus drains: when streams are ended.
    pub(super) drain_until: Option<Instant>,
}

/// Starts a group's task on this replica.
pub(in crate::bus) fn start(
    bus: &Arc<Inner>,
    group: &Group,
    (record, letters): (Arc<GroupRecord>, Arc<Store>),
) -> Handle {
    let (commands, command_queue) = mpsc::channel(COMMANDS);
    #[expect(
        clippy::disallowed_methods,
        reason = "each stream has at most two signals under way, and one for each delivery"
    )]
    let (signals, signal_queue) = mpsc::unbounded_channel();
    let handle = Handle {
        commands,
        signals,
        stirred: Arc::default(),
    };
    let identity = Identity {
        group: group.clone(),
        tenant: bus.settings.tenancy.tenant_of(group),
        record,
    };
    let queues = (command_queue, signal_queue);
    let task = Task::new(Arc::clone(bus), (identity, letters), queues, handle.clone());
    bus.tasks.spawn(task.run());
    handle
}

type Known = (Identity, Arc<Store>);
type Queues = (mpsc::Receiver<Command>, mpsc::UnboundedReceiver<Signal>);

impl Task {
    fn new(bus: Arc<Inner>, (identity, letters): Known, (commands, signals): Queues, handle: Handle) -> Self {
        let (now, watch) = (Instant::now(), Watch::begin(&bus, &identity.group));
        Self {
            dispatch: dispatch(&bus, &identity),
            identity,
            commands,
            signals,
            handle,
            members: FxHashMap::default(),
            owned: FxHashMap::default(),
            member: None,
            changes: None,
            reads: FuturesUnordered::new(),
            parked: VecDeque::new(),
            reads_behind: 0,
            starting: FuturesUnordered::new(),
            pending: FxHashMap::default(),
            failed_at: None,
            rejoin_when_released: false,
            observing: None,
            commits: Commits::new(now),
            keeping: Keeping::new(now),
            graves: Graves::default(),
            redrives: Redrives::new(letters.changes()),
            replaying: Replaying::new(bus.settings.group_buffer_bytes),
            letters,
            moves: Moves::default(),
            watch,
            serial: 0,
            uncaught: 0,
            version: 0,
            next_heartbeat: now,
            looks: Looks::from(now),
            rejoin_at: Some(now),
            joining: None,
            matching: None,
            drain_until: None,
            bus,
        }
    }

    async fn run(mut self) {
        let draining = self.bus.draining.clone();
        let mut commands = Vec::new();
        let mut joined = false;
        loop {
            let wake_at = self.wake_at().into();
            // Every arm is cancel-safe: what a future returns is handled before the next select.
            tokio::select! {
                count = self.commands.recv_many(&mut commands, COMMANDS) => joined |= count > 0,
                Some(signal) = self.signals.recv() => self.signal(signal),
                Some(read) = self.reads.next() => self.received(read),
                Some(started) = self.starting.next() => self.started(started),
                joined_log = maybe(&mut self.joining) => self.rejoined(joined_log),
                matching = maybe(&mut self.matching) => self.matched(matching),
                change = next_change(&mut self.changes) => self.changed(change),
                result = maybe(&mut self.commits.in_flight) => self.committed(result),
                buried = maybe(&mut self.graves.writing) => self.buried(buried),
                reloaded = maybe(&mut self.redrives.loading) => self.reloaded(reloaded),
                moved = maybe(&mut self.moves.in_flight) => self.moved(moved),
                Ok(()) = self.redrives.changes.changed() => self.redrives.look = true,
                Some(came) = self.replaying.work.next() => self.replay_came(came),
                () = self.watch.gauges.buffer.freed() => {}
                () = self.commits.covering.left() => {}
                () = self.replaying.buffer.freed() => {}
                ends = maybe(&mut self.observing) => self.observed(ends),
                () = draining.cancelled(), if self.drain_until.is_none() => self.drain(),
                () = sleep_until(wake_at) => {}
            }
            self.command_all(&mut commands);
            self.settle_up().await;
            if joined && self.is_over(Instant::now()) {
                break;
            }
        }
        // Whoever comes now is told to start the task again.
        self.commands.close();
        self.keep();
    }

    /// Carries out what came. Whatever it was, the group may not be as it was, unless somebody only looks.
    fn command_all(&mut self, commands: &mut Vec<Command>) {
        let is_look = |command: &Command| matches!(command, Command::Describe(_));
        if commands.is_empty() || !commands.iter().all(is_look) {
            self.handle.stirred.store(true, Ordering::Relaxed);
        }
        for command in commands.drain(..) {
            self.command(command);
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Join(stream, reply) => self.join(*stream, reply),
            Command::Credit(key, credit) => self.credit(key, credit),
            Command::Ack(key, ranges, sequence) => self.ack(key, &ranges, sequence),
            Command::Nack(key, ranges, refusal, sequence) => self.nack(key, &ranges, refusal, sequence),
            Command::Extend(key, ranges, by, sequence) => self.extend(key, &ranges, by, sequence),
            Command::Close(key) => self.close(key),
            Command::HalfClose(key) => self.half_close(key),
            Command::Fail(key, error) => self.end(key, Err(error)),
            Command::Replace(record) => self.replace(record),
            Command::Describe(reply) => drop(reply.send(self.view())),
            Command::Cover(cover) => self.cover(cover),
            Command::Stay(until) => self.commits.covering.stay(until),
        }
    }

    fn signal(&mut self, signal: Signal) {
        let mut next = Some(signal);
        while let Some(signal) = next {
            match signal {
                Signal::Room(key) if self.is_member(key) => self.dispatch.has_room(key.id),
                Signal::Room(_) => {}
                Signal::Gone(key) => self.gone(key),
                Signal::TooLarge(key, delivery, error) => self.too_large(key, delivery, error),
            }
            next = self.signals.try_recv().ok();
        }
    }

    /// After everything that happened: rejoin if needed, read on, deliver, tell, commit.
    async fn settle_up(&mut self) {
        let now = Instant::now();
        if self.rejoin_at.is_some_and(|at| at <= now) {
            self.rejoin();
        }
        self.expire_leases(now);
        self.recall_unread(now);
        self.redrive();
        self.replay(now);
        self.bury(now);
        self.look_for_room(now);
        self.deliver(now);
        self.pack(now);
        self.read_on();
        self.tell_caught_up();
        self.heartbeat(now);
        self.release_partitions(now);
        self.end_drained(now);
        // First: what is fenced is in no commit that begins later.
        self.carry_out(now);
        self.commit(now);
        self.measure(now);
        self.keep_now_and_then(now);
    }
}

fn dispatch(bus: &Inner, identity: &Identity) -> Dispatch<Payload> {
    let limits = Limits {
        window: bus.settings.window,
    };
    let configured = bus.settings.delivery.of(&identity.group).retry;
    Dispatch::new(limits, identity.record.settings.retry.over(configured))
}
