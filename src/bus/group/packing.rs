//! Making room in a full buffer: events that are not settled for long must not keep the batches that they came with.
//!
//! A batch counts until its last event is settled. Where a few events of many batches fail again and again, or wait behind one of
//! their key that does, the buffer is full of what is settled already, and the group would read no further. So these events
//! are copied out, and their batches let go.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustc_hash::FxHashMap;

use super::{
    payload::{Held, Payload},
    task::Task,
};

/// Between two looks through what waits.
const PAUSE: Duration = Duration::from_millis(10);
/// It may be much: looking takes at most one part in so many of the time.
const SHARE: u32 = 20;

impl Task {
    /// Lets go of batches of which less than half is left, if there is no room, for live events or for a replay's.
    pub(super) fn pack(&mut self, now: Instant) {
        if self.pack_due().is_none_or(|due| now < due) {
            return;
        }
        let mut left: FxHashMap<*const Held, usize> = FxHashMap::default();
        for payload in self.dispatch.payloads() {
            *left.entry(Arc::as_ptr(&payload.held)).or_default() += payload.cost();
        }
        let live = Arc::clone(&self.watch.gauges.buffer);
        let replayed = Arc::clone(&self.replaying.buffer);
        let mut copied = 0;
        for payload in self.dispatch.payloads() {
            let is_sparse = left
                .get(&Arc::as_ptr(&payload.held))
                .is_some_and(|left| left * 2 < payload.held.bytes());
            let buffer = payload.replay_id().map_or(&live, |_| &replayed);
            if is_sparse
                && buffer.room() == 0
                && let Some(alone) = payload.alone(buffer)
            {
                *payload = alone;
                copied += 1;
            }
        }
        tracing::debug!(group = %self.identity.group, copied, "made room in the buffer");
        self.looks.buffer = now + PAUSE + now.elapsed() * SHARE;
    }

    /// When to look again.
    pub(super) fn pack_due(&self) -> Option<Instant> {
        let is_full = self.watch.gauges.buffer.room() == 0 || self.replaying.buffer.room() == 0;
        is_full.then_some(self.looks.buffer)
    }
}

impl Payload {
    /// What the event counts for by itself.
    fn cost(&self) -> usize {
        self.item().cost()
    }
}
