//! When a group's task has something to do that nobody tells it of.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::task::Task;

impl Task {
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
            self.unread_check,
            self.linger_until,
            self.lease_at(),
            self.graves.retry_at(),
            self.moves.retry_at(),
            self.measure_at(),
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
