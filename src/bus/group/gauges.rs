//! Where a group stands, for whoever watches the server: its task says so now and then, whatever happens meanwhile.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{buffer::Buffer, task::Task};
use crate::{
    bus::{
        Inner, age,
        observe::{HeldUp, Levels, Tally},
    },
    log::LogTime,
    name::Group,
};

/// The task measures no more often than this, and once more after the last thing that happened.
const MEASURE: Duration = Duration::from_millis(250);
/// Of its time, measuring takes at most one part in so many.
const SHARE: u32 = 100;

/// What a group's task shows of itself while it runs.
#[derive(Debug)]
pub(in crate::bus) struct Gauges {
    pub(super) buffer: Arc<Buffer>,
    health: LogHealth,
    measured: Mutex<Measured>,
}

type LogHealth = watch::Receiver<Result<(), Arc<str>>>;

#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    levels: Levels,
    /// When the event was first sent that is not settled since longest; it goes on to age.
    oldest: Option<Instant>,
    /// When the oldest event was written that is not settled; so does this.
    behind: Option<LogTime>,
}

impl Gauges {
    /// Of a group that may hold so many bytes of events, on a log of this health.
    pub(in crate::bus) fn new(buffer_bytes: usize, health: LogHealth) -> Arc<Self> {
        Arc::new(Self {
            buffer: Buffer::new(buffer_bytes),
            health,
            measured: Mutex::default(),
        })
    }

    pub(in crate::bus) fn levels(&self, now: Instant) -> Levels {
        let Measured { levels, oldest, behind } = *self.measured();
        let held_up = HeldUp {
            log_unavailable: usize::from(self.health.borrow().is_err()),
            ..levels.held_up
        };
        Levels {
            held_up,
            buffered: self.buffer.held(),
            lag_time: behind.map_or(Duration::ZERO, age),
            oldest_age: oldest.map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
            ..levels
        }
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the task tells, and when it does so next.
pub(super) struct Watch {
    pub(super) tally: Arc<Tally>,
    pub(super) gauges: Arc<Gauges>,
    /// When the task began, by both clocks.
    pub(super) began: (Instant, LogTime),
    next: Instant,
    /// Something happened since.
    is_behind: bool,
}

impl Watch {
    pub(super) fn begin(bus: &Inner, group: &Group) -> Self {
        let gauges = Gauges::new(bus.settings.group_buffer_bytes, bus.log.health());
        Self {
            tally: bus.watched.begin(group, &gauges),
            gauges,
            began: (Instant::now(), LogTime::now()),
            next: Instant::now(),
            is_behind: false,
        }
    }
}

impl Task {
    /// Says where the group stands, unless it has just done so.
    pub(super) fn measure(&mut self, now: Instant) {
        self.watch.is_behind = now < self.watch.next;
        if !self.watch.is_behind {
            let began = Instant::now();
            *self.watch.gauges.measured() = self.measured();
            self.watch.next = now + MEASURE.max(began.elapsed() * SHARE);
        }
    }

    /// When to measure what has happened since.
    pub(super) fn measure_at(&self) -> Option<Instant> {
        self.watch.is_behind.then_some(self.watch.next)
    }

    fn measured(&self) -> Measured {
        let mut levels = Levels {
            streams: self.members.len(),
            held_up: self.held_up(),
            ..Levels::default()
        };
        let mut behind: Option<LogTime> = None;
        for (id, owned) in &self.owned {
            if let Some(view) = self.dispatch.partition(*id) {
                levels.outstanding += view.in_flight;
                levels.lag += usize::try_from(owned.end - view.committed).unwrap_or(0);
                let written = owned.time_at(view.committed).filter(|_| view.committed < owned.end);
                behind = behind.into_iter().chain(written).min();
            }
        }
        let oldest = self.dispatch.oldest();
        levels.oldest_attempts = oldest.as_ref().map_or(0, |oldest| oldest.attempt);
        let oldest = oldest.map(|oldest| oldest.first_sent);
        Measured { levels, oldest, behind }
    }

    /// Which limit holds the group as a whole up; `waiting` tells it of one stream.
    fn held_up(&self) -> HeldUp {
        let has_no_credit = self.dispatch.has_ready() && self.members.keys().all(|id| self.has_spent_credit(*id));
        HeldUp {
            window_full: usize::from(self.is_window_full()),
            buffer_limit: usize::from(self.watch.gauges.buffer.room() == 0 && !self.is_caught_up()),
            no_credit: usize::from(has_no_credit && !self.members.is_empty()),
            ..HeldUp::default()
        }
    }
}
