//! What goes wrong at the streams: nacks, leases that are over, streams that break.

use std::time::{Duration, Instant};

use bytestring::ByteString;

use super::{AckReport, Action, Frame, Refusal, StreamKey, streams::MAX_FAULTS, task::Task};
use crate::{
    bus::{
        delivery::{Doom, IdRange, Moment, Nack, RetryPolicy, Settled, Why},
        groups::Undecodable,
    },
    error::Error,
    log::LogTime,
};

/// Leases are looked at no more often than this.
const LEASE_CHECK: Duration = Duration::from_millis(10);

impl Task {
    pub(super) fn nack(&mut self, key: StreamKey, ranges: &[IdRange], refusal: Refusal, sequence: u64) {
        if !self.is_member(key) {
            return;
        }
        let words = self.words(key, refusal.reason);
        let nack = match refusal.action {
            Action::DeadLetter => Nack::DeadLetter(words),
            Action::Retry(delay) => Nack::Retry { delay, words },
        };
        let settled = self.dispatch.nack(key.id, ranges, &nack, &moment(Instant::now()));
        if matches!(nack, Nack::Retry { .. }) {
            self.watch.tally.failures.add(settled.count);
        }
        self.commits.changes += settled.count;
        self.answer(key, settled, sequence);
    }

    pub(super) fn extend(&mut self, key: StreamKey, ranges: &[IdRange], by: Duration, sequence: u64) {
        if self.is_member(key) {
            let settled = self.dispatch.extend(key.id, ranges, Instant::now() + by);
            self.answer(key, settled, sequence);
        }
    }

    /// Answers at once what waits for no commit.
    fn answer(&mut self, key: StreamKey, settled: Settled, sequence: u64) {
        let mut faults = settled.faults;
        faults.truncate(MAX_FAULTS);
        let Some(member) = self.members.get_mut(&key.id) else {
            return;
        };
        member.settled += settled.count as u64;
        if sequence != 0 || !faults.is_empty() {
            member.push(Frame::AckResult(AckReport {
                sequence,
                committed: false,
                faults,
            }));
        }
    }

    /// What streams have had for too long goes to others.
    pub(super) fn expire_leases(&mut self, now: Instant) {
        if now < self.looks.leases {
            return;
        }
        for id in self.dispatch.overdue(now) {
            // What the client has not read was never in its hands.
            self.take_back(id);
            let Some(member) = self.members.get(&id) else { continue };
            let key = member.key;
            let words = self.words(key, ByteString::from_static("its lease was over"));
            let expired = self.dispatch.expire(id, &words, &moment(now));
            self.watch.tally.failures.add(expired);
            self.commits.changes += expired;
            if expired > 0 {
                let (group, client) = (&self.identity.group, &words.client_id);
                tracing::warn!(%group, %client, events = expired, "leases are over, the events go to other streams");
            }
        }
        self.looks.leases = now + LEASE_CHECK;
    }

    /// A delivery fits into no message to the client: it becomes a dead letter, or the stream ends for it. A replay goes on
    /// without it.
    pub(super) fn too_large(&mut self, key: StreamKey, delivery: u64, error: Error) {
        let ids = [IdRange {
            first: delivery,
            last: delivery,
        }];
        let is_spared = self.dispatch.is_replayed(key.id, ids[0]);
        if self.identity.record.settings.undecodable != Undecodable::DeadLetter && !is_spared {
            return self.end(key, Err(error));
        }
        if self.is_member(key) {
            let doom = Doom {
                why: Why::TooLarge,
                ..self.words(key, error.to_string().into())
            };
            let nack = Nack::DeadLetter(doom);
            self.commits.changes += self.dispatch.nack(key.id, &ids, &nack, &moment(Instant::now())).count;
        }
    }

    /// When leases are to be looked at.
    pub(super) fn lease_at(&self) -> Option<Instant> {
        Some(self.dispatch.next_expiry()?.max(self.looks.leases))
    }

    /// The stream broke while it had events: each counts it.
    pub(super) fn abandon(&mut self, key: StreamKey) {
        let (held, _) = self.dispatch.outstanding(key.id);
        let words = self.words(key, ByteString::from_static("its stream broke"));
        self.watch.tally.abandons.add(held);
        self.commits.changes += held;
        self.dispatch.abandon(key.id, &words, &moment(Instant::now()));
    }

    /// The retry policy in force.
    pub(super) fn policy(&self) -> RetryPolicy {
        let configured = self.bus.settings.delivery.of(&self.identity.group).retry;
        self.identity.record.settings.retry.over(configured)
    }

    fn words(&self, key: StreamKey, detail: ByteString) -> Doom {
        let client_id = self.members.get(&key.id).map(|member| member.client_id.clone());
        Doom {
            why: Why::Nacked,
            detail,
            client_id: client_id.unwrap_or_default(),
        }
    }
}

fn moment(now: Instant) -> Moment {
    Moment {
        now,
        time: LogTime::now(),
        spread: fastrand::f64,
    }
}
