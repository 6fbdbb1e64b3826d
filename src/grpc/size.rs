//! How large the messages to readers and subscribers become.
//!
//! Of each stream about two messages lie ready while its client reads slowly, besides what its connection keeps
//! (`server/connections.rs`). So many streams get smaller messages, and together they hold no more than a few.

use crate::bus::Bus;

/// The largest message to a client that asks for no limit of its own: what most clients accept, less some room.
pub(super) const DEFAULT_LIMIT: usize = 4 * 1024 * 1024 - 64 * 1024;
/// Enough to spread the cost of a message over many events.
const MOST: usize = 128 * 1024;
const LEAST: usize = 20 * 1024;
/// One message for each open stream.
const ALL_TOGETHER: usize = 24 * 1024 * 1024;

/// Of messages of one stream that are made now.
#[derive(Clone, Copy)]
pub(super) struct Size {
    /// What the client takes.
    pub(super) limit: usize,
    /// Messages are filled up to about here: at most half the limit.
    pub(super) target: usize,
}

/// Of messages of one stream.
pub(super) struct Sizes {
    bus: Bus,
    limit: usize,
}

impl Sizes {
    pub(super) fn new(bus: &Bus, limit: usize) -> Self {
        Self {
            bus: bus.clone(),
            limit,
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn now(&self) -> Size {
        Size {
            limit: self.limit,
            target: target(self.bus.open_streams()).min(self.limit / 2),
        }
    }
}

fn target(streams: usize) -> usize {
    (ALL_TOGETHER / streams.max(1)).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_streams_get_large_messages_and_many_get_small_ones() {
        let targets = [0, 1, 192, 512, 1_024, 10_000].map(target);
        assert_eq!(targets, [128, 128, 128, 48, 24, 20].map(|kib| kib * 1024));
    }
}
