//! Deliveries on their way to the streams' outboxes, and back from those that do not read.

use std::{sync::Arc, time::Instant};

use super::{
    Delivery, Payload,
    owned::Owned,
    streams::Member,
    task::{Task, UNREAD},
};
use crate::bus::delivery::{Sending, StreamId};

impl Task {
    /// Sends what may be sent.
    pub(super) fn deliver(&mut self, now: Instant) {
        if self.member.as_ref().is_some_and(|member| !member.is_current()) {
            return;
        }
        // Where commits do not keep up, what a crash would repeat stays bounded.
        let most = self.bus.settings.commit_count.saturating_mul(3) / 2;
        if self.commits.unsaved() < most.max(2) || self.commits.in_flight.is_none() {
            while self.deliver_round(now) {}
            self.commits.changes += usize::from(self.dispatch.has_passed_over());
        }
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
            member.pending.push(delivery(&sending, partition));
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
            self.looks.unread.get_or_insert(now + UNREAD);
        }
        any
    }

    /// From time to time: what a stream has not read for a while goes to streams that read.
    pub(super) fn recall_unread(&mut self, now: Instant) {
        if self.looks.unread.is_none_or(|at| now < at) {
            return;
        }
        let unread = |member: &Member| Some((member.key.id, member.outbox.unread_since()?));
        let unread: Vec<(StreamId, Instant)> = self.members.values().filter_map(unread).collect();
        self.looks.unread = (!unread.is_empty()).then_some(now + UNREAD);
        for (id, since) in unread {
            if now >= since + UNREAD && self.dispatch.others_eligible(id) {
                self.take_back(id);
            }
        }
    }

    /// What no stream has read yet goes back into the group.
    pub(super) fn take_back_all(&mut self) {
        let ids: Vec<StreamId> = self.members.keys().copied().collect();
        for id in ids {
            self.take_back(id);
        }
    }

    /// What the stream has not read goes back into the group.
    pub(super) fn take_back(&mut self, id: StreamId) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let recalled = member.outbox.recall(member.key);
        if recalled.is_empty() {
            return;
        }
        member.delivered -= recalled.len() as u64;
        self.dispatch.no_room(id);
        self.dispatch.recall(id, recalled.iter().map(|delivery| delivery.id));
    }
}

fn delivery(sending: &Sending<'_, Payload>, partition: &Owned) -> Delivery {
    Delivery {
        id: sending.id,
        attempt: sending.attempt,
        failures: sending.failures,
        partition: Arc::clone(&partition.partition),
        reset: partition.reset_of(sending.payload),
        payload: sending.payload.clone(),
    }
}

/// The most deliveries that one round puts on one stream.
const MAX_ROUND: usize = 1_024;
