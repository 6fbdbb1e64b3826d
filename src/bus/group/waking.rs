//! When a group's task has something to do that nobody tells it of.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::task::Task;

/// What is looked at from time to time, and not before.
pub(super) struct Looks {
    /// For streams that do not read.
    pub(super) unread: Option<Instant>,
    pub(super) leases: Instant,
    /// Through the buffer, for what need not be kept.
    pub(super) buffer: Instant,
    /// For room on the tabs of streams.
    pub(super) tabs: Instant,
    /// Set while there are no streams: until when one that comes back finds the group as it was.
    pub(super) linger_until: Option<Instant>,
}

impl Looks {
    pub(super) fn from(now: Instant) -> Self {
        Self {
            unread: None,
            leases: now,
            buffer: now,
            tabs: now,
            linger_until: None,
        }
    }
}

/// Between two looks for room on tabs, which others make without telling.
const LOOK_FOR_ROOM: Duration = Duration::from_millis(50);

impl Task {
    /// Streams that what others have had held up may go on.
    pub(super) fn look_for_room(&mut self, now: Instant) {
        if self.dispatch.wants_room() && now >= self.looks.tabs {
            self.looks.tabs = now + LOOK_FOR_ROOM;
            self.dispatch.look_for_room();
        }
    }

    fn room_at(&self) -> Option<Instant> {
        self.dispatch.wants_room().then_some(self.looks.tabs)
    }

    pub(super) fn wake_at(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(60);
        [
            Some(far),
            self.dispatch.next_due(),
            self.rejoin_at,
            self.commit_at(),
            self.drain_until
                .filter(|_| self.members.values().any(|member| !member.finishing)),
            self.release_at(),
            self.looks.unread,
            self.looks.linger_until,
            self.lease_at(),
            self.room_at(),
            self.graves.retry_at().filter(|_| self.moves.is_idle()),
            self.move_at(),
            self.replay_at(),
            self.measure_at(),
            self.pack_due(),
            (!self.members.is_empty() && self.observing.is_none()).then_some(self.next_heartbeat),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(far)
    }
}

/// The result of a future that may not be there; it is gone once it is ready.
pub(super) async fn maybe<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(running) => {
            let result = running.await;
            *future = None;
            result
        }
        None => std::future::pending().await,
    }
}
