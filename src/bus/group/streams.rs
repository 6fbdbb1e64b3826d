//! The streams of a group: joining, credit, acks, leaving.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    AckReport, Control, Delivery, Ending, Frame, Frames, NewStream, StreamKey, Subscription,
    outbox::Outbox,
    task::{Task, UNREAD},
};
use crate::bus::delivery::{Credit, IdRange, Ledger, Places, StreamId};

/// A stream that is in the group.
pub(super) struct Member {
    pub(super) key: StreamKey,
    pub(super) outbox: Arc<Outbox>,
    pub(super) stream_id: String,
    pub(super) client_id: String,
    pub(super) heartbeat_interval: Duration,
    pub(super) last_frame: Instant,
    /// The progress that it was told of last.
    pub(super) seen: u64,
    pub(super) told_caught_up: bool,
    /// Its end waits for a commit.
    pub(super) finishing: bool,
    opened_at: Instant,
    delivered: u64,
    settled: u64,
    /// Deliveries of this round.
    pending: Vec<Delivery>,
    _permit: OwnedSemaphorePermit,
}

impl Member {
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

    pub(super) fn join(&mut self, stream: NewStream, reply: oneshot::Sender<Subscription>) {
        let NewStream {
            opened,
            max_credit,
            client_id,
            permit,
        } = stream;
        let heartbeat_interval = opened.heartbeat_interval;
        let ledger = Ledger::new(opened.credit, max_credit, opened.credit_mode);
        let id = self.dispatch.join(ledger, fastrand::u32(..));
        self.serial += 1;
        let key = StreamKey {
            id,
            serial: self.serial,
        };
        let outbox = Outbox::new(self.handle.signals.clone());
        let now = Instant::now();
        let mut member = Member {
            key,
            outbox: Arc::clone(&outbox),
            stream_id: opened.stream_id.clone(),
            client_id,
            heartbeat_interval,
            last_frame: now,
            seen: 0,
            told_caught_up: false,
            finishing: false,
            opened_at: now,
            delivered: 0,
            settled: 0,
            pending: Vec::new(),
            _permit: permit,
        };
        tracing::info!(group = %self.identity.group, stream = %member.stream_id, client = %member.client_id, "stream opened");
        member.push(Frame::Opened(Box::new(opened)));
        self.next_heartbeat = self.next_heartbeat.min(now + heartbeat_interval);
        if self.members.is_empty() {
            self.next_heartbeat = now + heartbeat_interval;
        }
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
        };
        // If nobody waits any more, dropping the frames makes the stream leave.
        drop(reply.send(Subscription { frames, control }));
    }

    pub(super) fn credit(&mut self, key: StreamKey, credit: Credit) {
        if self.is_member(key) {
            self.dispatch.grant(key.id, credit);
        }
    }

    pub(super) fn ack(&mut self, key: StreamKey, ranges: &[IdRange], sequence: u64) {
        let places = if sequence == 0 {
            Places::Unwanted
        } else {
            Places::Wanted
        };
        if !self.is_member(key) {
            return;
        }
        let settled = self.dispatch.ack(key.id, ranges, places);
        self.commits.acked += settled.count;
        let Some(member) = self.members.get_mut(&key.id) else {
            return;
        };
        member.settled += settled.count as u64;
        if sequence != 0 {
            self.commits.report_when_committed(key, sequence, settled);
        } else if !settled.faults.is_empty() {
            member.push(Frame::AckResult(AckReport {
                sequence,
                committed: false,
                faults: settled.faults,
            }));
        }
        self.version += 1;
    }

    pub(super) fn nack(&mut self, key: StreamKey, ranges: &[IdRange], (delay, sequence): (Duration, u64)) {
        if !self.is_member(key) {
            return;
        }
        let settled = self.dispatch.nack(key.id, ranges, Instant::now() + delay);
        let Some(member) = self.members.get_mut(&key.id) else {
            return;
        };
        member.settled += settled.count as u64;
        if sequence != 0 || !settled.faults.is_empty() {
            member.push(Frame::AckResult(AckReport {
                sequence,
                committed: false,
                faults: settled.faults,
            }));
        }
    }

    pub(super) fn close(&mut self, key: StreamKey) {
        if self.is_member(key) {
            self.dispatch.close(key.id);
            self.take_back(key.id);
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
        if self.is_member(key) {
            self.take_back(key.id);
            self.end(key, Ok(()));
        }
    }

    /// Ends a stream now: what it has goes to others.
    pub(super) fn end(&mut self, key: StreamKey, ending: Ending) {
        if !self.is_member(key) {
            return;
        }
        let Some(member) = self.members.remove(&key.id) else {
            return;
        };
        self.dispatch.leave(key.id);
        let reason = ending
            .as_ref()
            .err()
            .map_or_else(|| "done".to_owned(), |error| format!("{:?}", error.reason()));
        tracing::info!(
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

    /// Sends what may be sent.
    pub(super) fn deliver(&mut self, now: Instant) {
        while self.deliver_round(now) {}
    }

    fn deliver_round(&mut self, now: Instant) -> bool {
        let (members, owned) = (&mut self.members, &self.owned);
        let mut touched: Vec<StreamId> = Vec::new();
        self.dispatch.pump(now, |stream, sending| {
            let (Some(member), Some(partition)) = (members.get_mut(&stream), owned.get(&sending.partition)) else {
                return false;
            };
            if member.pending.is_empty() {
                touched.push(stream);
            }
            member.pending.push(Delivery {
                id: sending.id,
                attempt: sending.attempt,
                failures: sending.failures,
                partition: Arc::clone(&partition.partition),
                payload: sending.payload.clone(),
            });
            member.pending.len() < MAX_ROUND
        });
        let any = !touched.is_empty();
        for stream in touched {
            let Some(member) = self.members.get_mut(&stream) else {
                continue;
            };
            member.last_frame = now;
            member.delivered += member.pending.len() as u64;
            if member
                .outbox
                .deliver(member.key, std::mem::take(&mut member.pending), now)
            {
                self.dispatch.has_room(stream);
            } else {
                self.dispatch.no_room(stream);
            }
        }
        if any {
            self.unread_check.get_or_insert(now + UNREAD);
        }
        any
    }

    /// From time to time: what a stream has not read for a while goes to streams that read.
    pub(super) fn recall_unread(&mut self, now: Instant) {
        if self.unread_check.is_none_or(|at| now < at) {
            return;
        }
        let unread = |member: &Member| Some((member.key.id, member.outbox.unread_since()?));
        let unread: Vec<(StreamId, Instant)> = self.members.values().filter_map(unread).collect();
        self.unread_check = (!unread.is_empty()).then_some(now + UNREAD);
        for (id, since) in unread {
            if now >= since + UNREAD && self.dispatch.others_eligible(id) {
                self.take_back(id);
            }
        }
    }

    fn take_back(&mut self, id: StreamId) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let recalled = member.outbox.recall();
        member.delivered -= recalled.len() as u64;
        self.dispatch.recall(id, recalled.iter().map(|delivery| delivery.id));
    }
}

/// The most deliveries that one round puts on one stream.
const MAX_ROUND: usize = 1_024;
