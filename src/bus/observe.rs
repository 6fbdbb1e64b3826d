//! Observe: what this server has in hand just now, and what became of events so far, for whoever watches it.
//!
//! ```text
//! a group's task, its outboxes ──▶ Tally (whole numbers) ──┐
//! a group's task, now and then ──▶ Gauges ─────────────────┴─▶ Watched (by group, bounded) ──▶ Observed, when somebody asks
//! ```

mod tally;
mod watched;

use std::{sync::Arc, time::Duration};

use super::{Bus, Inner};

pub use self::tally::{Count, Tally};
pub(super) use self::watched::Watched;

/// What there is now.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Those that run, and some that have ended; as many as `Settings::metric_groups`, and all others as one.
    pub groups: Vec<ObservedGroup>,
    /// Groups that run.
    pub running: Fill,
    /// Open Subscribe and Read streams.
    pub streams: Fill,
    /// Bytes handed to the log and not yet answered.
    pub publish_bytes: Fill,
    /// Bytes of recent events that readers near the end share.
    pub feed_bytes: Fill,
    /// The most bytes of events that each group may hold.
    pub group_buffer_bytes: usize,
    pub log_is_reachable: bool,
}

/// How much of a limit is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    pub used: usize,
    pub limit: usize,
}

/// A group, or several together.
#[derive(Clone, Debug)]
pub struct ObservedGroup {
    pub name: Arc<str>,
    /// What became of its events.
    pub tally: Arc<Tally>,
    /// Where it stands; `None` = it does not run here.
    pub levels: Option<Levels>,
}

/// Where a group stands. Of several together: sums, and the oldest event of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    pub streams: usize,
    /// Events on their way to a stream or in its hands.
    pub outstanding: usize,
    /// Bytes of events in memory.
    pub buffered: usize,
    /// Events up to the end of the partitions that are not settled.
    pub lag: usize,
    /// How long ago the oldest of them was written, about; zero = there is none, or it is not known.
    pub lag_time: Duration,
    /// How long ago the event was first sent that is not settled since longest; zero = there is none.
    pub oldest_age: Duration,
    /// How often that event was sent.
    pub oldest_attempts: u32,
    pub held_up: HeldUp,
}

/// What holds a group up: 1 where it does, or how many groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldUp {
    /// A partition is not read on, because an event that is not settled keeps its window full.
    pub window_full: usize,
    /// Nothing is read on, because the group holds as many bytes as it may.
    pub buffer_limit: usize,
    /// Events are ready, and no stream has credit left.
    pub no_credit: usize,
    pub log_unavailable: usize,
}

impl Bus {
    /// Looks at everything, without waiting. It costs a little for each group, so nothing should look all the time.
    pub fn observe(&self) -> Observed {
        let Inner { settings, .. } = &*self.0;
        let taken = |limit: usize, left: usize| Fill {
            used: limit.saturating_sub(left),
            limit,
        };
        Observed {
            groups: self.0.watched.groups(),
            running: Fill {
                used: self.0.groups.active.running(),
                limit: settings.groups,
            },
            streams: Fill {
                used: self.open_streams(),
                limit: settings.streams,
            },
            publish_bytes: taken(settings.publish_bytes, self.0.permits.publish_bytes.available_permits()),
            feed_bytes: Fill {
                used: self.0.feeds.held(),
                limit: settings.feed_bytes,
            },
            group_buffer_bytes: settings.group_buffer_bytes,
            log_is_reachable: self.0.log.health().borrow().is_ok(),
        }
    }
}

impl Levels {
    /// These groups together.
    fn and(self, other: Self) -> Self {
        let (a, b) = (self.held_up, other.held_up);
        let (oldest_age, oldest_attempts) =
            (self.oldest_age, self.oldest_attempts).max((other.oldest_age, other.oldest_attempts));
        Self {
            streams: self.streams + other.streams,
            outstanding: self.outstanding + other.outstanding,
            buffered: self.buffered + other.buffered,
            lag: self.lag + other.lag,
            lag_time: self.lag_time.max(other.lag_time),
            oldest_age,
            oldest_attempts,
            held_up: HeldUp {
                window_full: a.window_full + b.window_full,
                buffer_limit: a.buffer_limit + b.buffer_limit,
                no_credit: a.no_credit + b.no_credit,
                log_unavailable: a.log_unavailable + b.log_unavailable,
            },
        }
    }
}
