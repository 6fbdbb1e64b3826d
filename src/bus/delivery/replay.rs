//! A replay as the dispatcher sees it: how far it has come in each partition, how fast it may go, and what became of its events.

use std::{ops::Range, time::Instant};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{PartitionId, partition::Partition};

/// The most offsets between the first event of a partition that is not settled and the last that is being replayed.
pub(super) const WINDOW: i64 = 4_096;

/// The replay that runs, or was stopped with events still out.
#[derive(Debug)]
pub(super) struct Replay<P> {
    pub(super) number: u64,
    pub(super) pace: Pace,
    pub(super) live: Live,
    /// Events that are on streams.
    pub(super) out: usize,
    pub(super) is_stopped: bool,
    /// Of late.
    pub(super) has_passed_over: bool,
    pub(super) courses: FxHashMap<PartitionId, Course<P>>,
}

/// A replay in one partition. It has a tracker of its own: what is settled of a replay moves no offset of the group.
#[derive(Debug)]
pub(super) struct Course<P> {
    pub(super) partition: Partition<P>,
    pub(super) counts: Counts,
}

/// Whether live events want the streams, also such as were not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Live {
    Waits,
    CaughtUp,
}

/// What became of a partition's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Sendings.
    pub sent: u64,
    pub acked: u64,
    /// Given up: too often failed or abandoned, refused for good, or such as the group wants no such of.
    pub failed: u64,
    /// Hidden by a filter.
    pub hidden: u64,
    /// Not sent, as their key is quarantined.
    pub passed_over: u64,
    /// Offsets of which the log has no events any more.
    pub gone: u64,
}

/// How far a replay has come in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CourseView {
    /// Everything below is settled.
    pub next: i64,
    /// Settled above that.
    pub settled: Vec<Range<i64>>,
    pub counts: Counts,
}

impl<P> Replay<P> {
    pub(super) fn new(number: u64, now: Instant) -> Self {
        Self {
            number,
            pace: Pace::new(now),
            live: Live::Waits,
            out: 0,
            is_stopped: false,
            has_passed_over: false,
            courses: FxHashMap::default(),
        }
    }
}

impl<P> Course<P> {
    pub(super) fn resume(next: i64, settled: &[Range<i64>], counts: Counts) -> Self {
        Self {
            partition: Partition::new(next, settled, Vec::new()),
            counts,
        }
    }

    pub(super) fn view(&self) -> CourseView {
        CourseView {
            next: self.partition.tracker.committed(),
            settled: self.partition.tracker.runs().collect(),
            counts: self.counts,
        }
    }
}

/// So many events a second, and no more at once than those of a tenth of a second, or one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// `None` = as fast as can be.
    per_second: Option<f64>,
    tokens: f64,
    filled: Instant,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self {
            per_second: None,
            tokens: 1.0,
            filled: now,
        }
    }

    /// From now on so many; they are more than 0.
    pub(super) fn set(&mut self, per_second: Option<f64>, now: Instant) {
        self.fill(now);
        self.per_second = per_second;
    }

    /// Whether an event may be sent now.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.per_second.is_none() || self.tokens >= 1.0
    }

    /// One was sent.
    pub(super) fn spend(&mut self) {
        if self.per_second.is_some() {
            self.tokens -= 1.0;
        }
    }

    /// One was not sent after all.
    pub(super) fn refund(&mut self) {
        if self.per_second.is_some() {
            self.tokens += 1.0;
        }
    }

    /// When the next one may be sent; `None` = now.
    pub(super) fn due(&self) -> Option<Instant> {
        let rate = self.per_second.filter(|_| self.tokens < 1.0)?;
        let wait = std::time::Duration::try_from_secs_f64((1.0 - self.tokens) / rate).ok()?;
        // Never too early by a rounding, which would wake the task for nothing.
        self.filled.checked_add(wait + std::time::Duration::from_micros(10))
    }

    fn fill(&mut self, now: Instant) {
        let Some(rate) = self.per_second else {
            self.filled = now;
            return;
        };
        let since = now.saturating_duration_since(self.filled).as_secs_f64();
        let most = (rate / 10.0).max(1.0);
        self.tokens = (self.tokens + since * rate).min(most.max(self.tokens));
        self.filled = self.filled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn without_a_rate_all_may_go_and_with_one_the_next_is_due_in_time() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert!((0..1_000).all(|_| {
            pace.spend();
            pace.allows(now)
        }));
        pace.set(Some(4.0), now);
        assert!(pace.allows(now));
        pace.spend();
        assert!(!pace.allows(now));
        let due = pace.due().expect("later");
        assert!(due > now + Duration::from_millis(249) && due < now + Duration::from_millis(251));
        assert!(pace.allows(due) && pace.due().is_none());
    }

    proptest! {
        #[test]
        fn no_more_go_than_the_rate_lets_through_however_often_it_is_asked(
            rate in 0.01f64..10_000.0,
            steps in vec(0u64..400, 1..200),
        ) {
            let start = Instant::now();
            let (mut now, mut sent) = (start, 0.0);
            let mut pace = Pace::new(start);
            pace.set(Some(rate), start);
            for step in steps {
                now += Duration::from_millis(step);
                while pace.allows(now) {
                    pace.spend();
                    sent += 1.0;
                }
                let most = (now - start).as_secs_f64() * rate + (rate / 10.0).max(1.0) + 1.0;
                prop_assert!(sent <= most, "{sent} of at most {most}");
                prop_assert!(pace.due().is_none_or(|due| due > now));
            }
        }
    }
}
