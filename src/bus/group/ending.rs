//! The end of a group on this replica: of all its streams, when the bus drains or the group cannot go on, and of its task.

use std::time::{Duration, Instant};

use super::{Frame, task::Task};
use crate::{bus::draining, error::Error};

/// How long the membership is kept for a stream that comes back: to join anew takes a rebalance, before which a broker of
/// Kafka waits 3 s by default. The group's other replicas wait so long for the partitions.
const LINGER: Duration = Duration::from_secs(1);

impl Task {
    /// Whether the last stream has left, a while ago, and nothing is under way.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        if self.identity.record.is_deleted() {
            return true;
        }
        if !self.members.is_empty()
            || !self.graves.may_end()
            || !self.commits.is_idle()
            || self.moves.in_flight.is_some()
        {
            self.looks.linger_until = None;
            return false;
        }
        let is_needed = self.identity.record.reset.is_some() || self.commits.covering.is_needed();
        if is_needed && self.drain_until.is_none() {
            self.looks.linger_until = None;
            return false;
        }
        let is_of_use = self.drain_until.is_none() && self.failed_at.is_none() && !self.owned.is_empty();
        let until = *self.looks.linger_until.get_or_insert(now + LINGER);
        !is_of_use || now >= until
    }

    /// Nothing more is sent; streams may settle what they have.
    pub(super) fn drain(&mut self) {
        let timeout = self.bus.settings.drain_timeout;
        self.drain_until = Some(Instant::now() + timeout);
        for id in self.members.keys() {
            self.dispatch.close(*id);
        }
        self.take_back_all();
        for member in self.members.values_mut() {
            member.push(Frame::Drain(timeout));
        }
    }

    /// While draining: ends the streams that have nothing left, and all when the time is over.
    pub(super) fn end_drained(&mut self, now: Instant) {
        let Some(until) = self.drain_until else { return };
        let keys: Vec<_> = self
            .members
            .values()
            .filter(|member| !member.finishing)
            .map(|member| member.key)
            .collect();
        for key in keys {
            if now >= until || self.dispatch.outstanding(key.id).0 == 0 {
                self.end_after_commit(key, Err(draining()));
            }
        }
    }

    /// Ends all streams: the group cannot go on as asked.
    pub(super) fn fail_all(&mut self, error: impl Fn() -> Error) {
        let keys: Vec<_> = self.members.values().map(|member| member.key).collect();
        for key in keys {
            self.end(key, Err(error()));
        }
    }
}
