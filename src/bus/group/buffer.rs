//! The bytes that a group holds of its topics, against its limit.
//!
//! They are let go wherever the last of a batch is dropped: by the group, or later by whoever writes it to a client. So who
//! waits for room is woken from here.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

#[derive(Debug)]
pub(super) struct Buffer {
    held: AtomicUsize,
    limit: usize,
    freed: Notify,
}

impl Buffer {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            held: AtomicUsize::new(0),
            limit,
            freed: Notify::new(),
        })
    }

    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// How much more may be read; 0 = nothing, until `freed`.
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.held())
    }

    /// Whether dead letters may be loaded: the other half is for what comes from topics.
    pub(super) fn has_room_for_letters(&self) -> bool {
        self.room() > self.limit / 2
    }

    /// Ready once there is room again. Cancel-safe: what was told to nobody is told to the next who asks.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }

    /// Counts bytes until what it gives is dropped.
    pub(super) fn hold(self: &Arc<Self>, bytes: usize) -> Share {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Share {
            buffer: Arc::clone(self),
            bytes,
        }
    }
}

/// A part of the buffer that is taken.
#[derive(Debug)]
pub(super) struct Share {
    buffer: Arc<Buffer>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        let Buffer { held, limit, freed } = &*self.buffer;
        let before = held.fetch_sub(self.bytes, Ordering::Relaxed);
        let after = before - self.bytes;
        let falls_below = |mark: usize| after < mark && mark <= before;
        if falls_below(*limit) || falls_below(limit.div_ceil(2)) {
            freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn who_waits_for_room_is_woken_when_it_comes_and_not_before() {
        let buffer = Buffer::new(100);
        let shares: Vec<Share> = [60, 50, 40].map(|bytes| buffer.hold(bytes)).into();
        assert_eq!(buffer.room(), 0);
        let told: Vec<bool> = shares
            .into_iter()
            .map(|share| {
                drop(share);
                buffer.freed().now_or_never().is_some()
            })
            .collect();
        // 150 held, then 90, 40 and 0: there is room at 90, and for letters at 40.
        assert_eq!(told, [true, true, false]);
        assert_eq!(buffer.room(), 100);
    }

    #[test]
    fn letters_get_half_of_the_room() {
        let buffer = Buffer::new(100);
        let share = buffer.hold(50);
        assert!(!buffer.has_room_for_letters());
        drop(share);
        assert!(buffer.freed().now_or_never().is_some());
        assert!(buffer.has_room_for_letters());
    }
}
