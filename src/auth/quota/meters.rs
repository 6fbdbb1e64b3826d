//! What was used of quotas, and how often they refused something.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustc_hash::FxHashMap;

use crate::tab::Tab;

/// What was used of quotas lately, by whom; they last longer than the configuration that was in force.
#[derive(Default)]
pub struct Meters {
    metered: Mutex<Metered>,
    refusals: Arc<Refusals>,
}

#[derive(Default)]
struct Metered {
    of: FxHashMap<String, Arc<Meter>>,
    /// Of all for whom there is no room.
    others: Arc<Meter>,
    swept: Option<Instant>,
}

/// When there are more, those that use nothing are forgotten; while all use something, who comes then shares one quota.
pub(super) const MOST_METERS: usize = 10_000;
/// Between two looks for those that use nothing.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

impl Meters {
    /// How often each limit refused something, or had a publish stream wait, since the start.
    pub fn refused(&self) -> Vec<(&'static str, u64)> {
        let counts = Limit::ALL.iter().zip(&self.refusals.0);
        counts
            .map(|(limit, count)| (limit.name(), count.load(Ordering::Relaxed)))
            .collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        lock(&self.metered).of.len()
    }

    pub(super) fn refusals(&self) -> Arc<Refusals> {
        Arc::clone(&self.refusals)
    }

    pub(super) fn of(&self, subject: &str, now: Instant) -> Arc<Meter> {
        let mut metered = lock(&self.metered);
        if let Some(meter) = metered.of.get(subject) {
            return Arc::clone(meter);
        }
        let is_full = metered.of.len() >= MOST_METERS;
        if is_full && metered.swept.is_none_or(|swept| now.duration_since(swept) >= SWEEP) {
            metered.swept = Some(now);
            metered.of.retain(|_, meter| !meter.is_idle(now));
        }
        if metered.of.len() >= MOST_METERS {
            return Arc::clone(&metered.others);
        }
        let meter = Arc::<Meter>::default();
        metered.of.insert(subject.to_owned(), Arc::clone(&meter));
        meter
    }
}

#[derive(Default)]
pub(super) struct Meter {
    pub(super) events: Mutex<Bucket>,
    pub(super) bytes: Mutex<Bucket>,
    pub(super) streams: AtomicUsize,
    pub(super) outstanding: Arc<Tab>,
}

impl Meter {
    /// Nobody has it, none of its streams is open, and it has all of its rates again.
    fn is_idle(self: &Arc<Self>, now: Instant) -> bool {
        let is_full = |bucket: &Mutex<Bucket>| lock(bucket).since.is_none_or(|since| now.duration_since(since) > IDLE);
        let is_alone = Arc::strong_count(self) == 1 && Arc::strong_count(&self.outstanding) == 1;
        is_alone && is_full(&self.events) && is_full(&self.bytes)
    }
}

/// So long after what it used last somebody has all of its quota again, if that was no more than sixty seconds' worth.
const IDLE: Duration = Duration::from_secs(60);

/// What may be used now: at most a second's worth, and less than nothing after a call that took more than there was.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) used: f64,
    since: Option<Instant>,
}

impl Bucket {
    /// How long there is nothing; `None` = there is something now.
    pub(super) fn wait(&mut self, rate: f64, now: Instant) -> Option<Duration> {
        let passed = self.since.map_or(Duration::ZERO, |since| now.duration_since(since));
        self.used = (self.used - passed.as_secs_f64() * rate).max(0.0);
        self.since = Some(now);
        let over = self.used - rate;
        (over >= 0.0).then(|| {
            Duration::try_from_secs_f64(over / rate)
                .unwrap_or(Duration::MAX)
                .max(SHORTEST)
        })
    }
}

const SHORTEST: Duration = Duration::from_millis(1);

/// What somebody can have too much of. Of outstanding bytes nothing is refused: streams wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Events,
    Bytes,
    Streams,
    ReplayRate,
}

impl Limit {
    const ALL: [Self; 4] = [Self::Events, Self::Bytes, Self::Streams, Self::ReplayRate];

    /// As it stands in the configuration.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Events => "publish_events_per_second",
            Self::Bytes => "publish_bytes_per_second",
            Self::Streams => "streams",
            Self::ReplayRate => "replay_events_per_second",
        }
    }
}

/// By limit, as [`Limit::ALL`] has them.
#[derive(Default)]
pub(super) struct Refusals([AtomicU64; 4]);

impl Refusals {
    pub(super) fn count(&self, limit: Limit) {
        self.0[limit as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Nothing panics while it holds these locks, so a poisoned one is whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
