//! The streams of a group: joining, credit, acks, leaving.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytestring::ByteString;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    AckReport, Control, Delivery, Ending, Frame, Frames, NewStream, StreamKey, Subscription, commits::Settling,
    outbox::Outbox, task::Task,
};
use crate::{
    bus::{
        dead_letters::LetterId,
        delivery::{Credit, IdRange, Ledger, PartitionId, Places},
    },
    name::Group,
};

/// An answer names at most so many faults.
pub(super) const MAX_FAULTS: usize = 1_000;

/// A stream that is in the group.
pub(super) struct Member {
    pub(super) key: StreamKey,
    pub(super) outbox: Arc<Outbox>,
    pub(super) stream_id: String,
    pub(super) client_id: ByteString,
    pub(super) heartbeat_interval: Duration,
    pub(super) last_frame: Instant,
    /// The progress that it was told of last.
    pub(super) seen: u64,
    pub(super) told_caught_up: bool,
    /// Its end waits for a commit.
    pub(super) finishing: bool,
    pub(super) opened_at: Instant,
    pub(super) delivered: u64,
    pub(super) settled: u64,
    /// The client wants no more.
    closed: bool,
    /// Deliveries of this round.
    pub(super) pending: Vec<Delivery>,
    /// Of the call that opened it.
    log: tracing::Span,
    _permit: OwnedSemaphorePermit,
}

impl Member {
    fn new(key: StreamKey, outbox: Arc<Outbox>, stream: NewStream) -> Self {
        let NewStream {
            opened,
            client_id,
            permit,
            log,
            ..
        } = stream;
        let now = Instant::now();
        let mut member = Self {
            key,
            outbox,
            stream_id: opened.stream_id.clone(),
            client_id: client_id.into(),
            heartbeat_interval: opened.heartbeat_interval,
            last_frame: now,
            seen: 0,
            told_caught_up: false,
            finishing: false,
            opened_at: now,
            delivered: 0,
            settled: 0,
            closed: false,
            pending: Vec::new(),
            log,
            _permit: permit,
        };
        member.push(Frame::Opened(Box::new(opened)));
        member
    }

    fn tell_opened(&self, group: &Group) {
        let (stream, client) = (&self.stream_id, &self.client_id);
        tracing::info!(parent: &self.log, %group, %stream, %client, "stream opened");
    }

    pub(super) fn push(&mut self, frame: Frame) {
        self.last_frame = Instant::now();
        self.outbox.push(frame);
    }
}

impl Task {
    pub(super) fn is_member(&self, key: StreamKey) -> bool {
        self.members.get(&key.id).is_some_and(|member| member.key == key)
    }

    fn member_mut(&mut self, key: StreamKey) -> Option<&mut Member> {
        self.members.get_mut(&key.id).filter(|member| member.key == key)
    }

    pub(super) fn join(&mut self, mut stream: NewStream, reply: oneshot::Sender<Subscription>) {
        // Later resets are told with frames.
        stream.opened.epoch = self.identity.record.epoch;
        let ledger = Ledger::new(stream.opened.credit, stream.max_credit, stream.opened.credit_mode);
        let id = self.dispatch.join(ledger, stream.opened.lease, fastrand::u32(..));
        self.dispatch.bind(id, std::mem::take(&mut stream.tabs));
        self.serial += 1;
        let key = StreamKey {
            id,
            serial: self.serial,
        };
        let outbox = Outbox::new(self.handle.signals.clone(), Arc::clone(&self.watch.tally));
        let member = Member::new(key, Arc::clone(&outbox), stream);
        member.tell_opened(&self.identity.group);
        let first_heartbeat = member.last_frame + member.heartbeat_interval;
        self.next_heartbeat = match self.members.is_empty() {
            true => first_heartbeat,
            false => self.next_heartbeat.min(first_heartbeat),
        };
        self.members.insert(id, member);
        self.uncaught += 1;
        if self.drain_until.is_some() {
            self.dispatch.close(id);
        }
        let frames = Frames::new(key, Arc::clone(&outbox));
        let control = Control {
            key,
            commands: self.handle.commands.clone(),
            outbox,
            max_lease: self.bus.settings.delivery.max_lease,
            listener: None,
        };
        // If nobody waits any more, dropping the frames makes the stream leave.
        drop(reply.send(Subscription { frames, control }));
        if let Some(gap) = &self.failed_at {
            let error = gap.error();
            self.end(key, Err(error));
        }
    }

    pub(super) fn credit(&mut self, key: StreamKey, credit: Credit) {
        if self.is_member(key) {
            self.dispatch.grant(key.id, credit);
        }
    }

    pub(super) fn ack(&mut self, key: StreamKey, ranges: &[IdRange], sequence: u64) {
        let places = match sequence {
            0 => Places::Unwanted,
            _ => Places::Wanted,
        };
        if !self.is_member(key) {
            return;
        }
        let mut settled = self.dispatch.ack(key.id, ranges, places);
        settled.faults.truncate(MAX_FAULTS);
        self.watch.tally.acks.add(settled.count);
        self.commits.changes += settled.count;
        self.commits
            .letters
            .extend(settled.letters.iter().copied().map(LetterId));
        let Some(member) = self.members.get_mut(&key.id) else {
            return;
        };
        member.settled += settled.count as u64;
        if sequence != 0 {
            let serial = |id: &PartitionId| self.owned.get(id).map_or(0, |owned| owned.serial);
            let places = settled
                .places
                .iter()
                .map(|(id, _, delivery)| Settling {
                    place: (*id, serial(id)),
                    delivery: *delivery,
                })
                .collect();
            self.commits
                .report_when_committed(key, sequence, (places, settled.faults));
        } else if !settled.faults.is_empty() {
            member.push(Frame::AckResult(AckReport {
                sequence,
                committed: false,
                faults: settled.faults,
            }));
        }
        self.version += 1;
    }

    pub(super) fn close(&mut self, key: StreamKey) {
        if self.is_member(key) {
            self.dispatch.close(key.id);
            self.take_back(key.id);
            if let Some(member) = self.member_mut(key) {
                member.closed = true;
            }
        }
    }

    /// What the stream has goes to others; it ends once everything acked is committed.
    pub(super) fn half_close(&mut self, key: StreamKey) {
        if self.is_member(key) {
            self.close(key);
            self.end_after_commit(key, Ok(()));
        }
    }

    pub(super) fn end_after_commit(&mut self, key: StreamKey, ending: Ending) {
        let Some(member) = self.member_mut(key) else { return };
        if !member.finishing {
            member.finishing = true;
            self.dispatch.surrender(key.id);
            self.commits.end_when_committed(key, ending);
        }
    }

    /// The client is gone, or has read the end.
    pub(super) fn gone(&mut self, key: StreamKey) {
        let draining = self.drain_until.is_some();
        if self
            .member_mut(key)
            .is_some_and(|member| !member.closed && !member.finishing && !draining)
        {
            // What it has not read was never in its hands.
            self.take_back(key.id);
            self.abandon(key);
        }
        self.end(key, Ok(()));
    }

    /// Ends a stream now: what it has goes to others.
    pub(super) fn end(&mut self, key: StreamKey, ending: Ending) {
        if !self.is_member(key) {
            return;
        }
        // What the client has not read must not reach it any more: others get it now.
        self.take_back(key.id);
        let Some(member) = self.members.remove(&key.id) else {
            return;
        };
        self.dispatch.leave(key.id);
        let reason = ending
            .as_ref()
            .err()
            .map_or_else(|| "done".to_owned(), |error| format!("{:?}", error.reason()));
        tracing::info!(
            parent: &member.log,
            group = %self.identity.group,
            stream = %member.stream_id,
            client = %member.client_id,
            delivered = member.delivered,
            settled = member.settled,
            duration_ms = member.opened_at.elapsed().as_millis() as u64,
            reason,
            "stream closed"
        );
        member.outbox.finish(ending);
    }
}
