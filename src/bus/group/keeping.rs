//! Keeping where the group stands beside the log's commits: every few minutes while it moves, and when the task ends.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::task::Task;
use crate::log::{LogTime, TopicPartition};

const INTERVAL: Duration = Duration::from_secs(5 * 60);

pub(super) struct Keeping {
    next: Instant,
    /// The commit that was the last when it was kept.
    last_commit: Option<LogTime>,
}

impl Keeping {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            next: now + INTERVAL,
            last_commit: None,
        }
    }
}

impl Task {
    pub(super) fn keep_now_and_then(&mut self, now: Instant) {
        if now >= self.keeping.next {
            self.keeping.next = now + INTERVAL;
            self.keep();
        }
    }

    /// Unless nothing was committed since.
    pub(super) fn keep(&mut self) {
        if self.keeping.last_commit == self.commits.last_commit || self.identity.record.is_deleted() {
            return;
        }
        self.keeping.last_commit = self.commits.last_commit;
        let (bus, group, id) = (
            Arc::clone(&self.bus),
            self.identity.group.clone(),
            self.identity.record.id,
        );
        let owned = self.owned.values().map(|owned| (*owned.partition).clone());
        let partitions: Vec<TopicPartition> = owned.collect();
        self.bus
            .tasks
            .spawn(async move { bus.keep_standing(&group, id, &partitions).await });
    }
}
