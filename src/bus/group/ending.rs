//! Ending all streams of a group: when the bus drains, or when the group cannot go on as asked.

use std::time::Instant;

use super::{Frame, task::Task};
use crate::{bus::draining, error::Error};

impl Task {
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
