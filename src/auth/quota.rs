//! Quotas: how much each tenant, or each principal, may publish and have open on this replica.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustc_hash::FxHashMap;

use super::{Principal, wildcard::Wildcard};
use crate::{
    error::{Error, Reason, Result},
    name::Tenant,
    tab::Tab,
};

/// What each of some may. What is `None` is not bounded.
#[derive(Clone, Debug, PartialEq)]
pub struct Quota {
    pub who: Who,
    pub publish_events_per_second: Option<f64>,
    pub publish_bytes_per_second: Option<f64>,
    /// Open at once.
    pub streams: Option<usize>,
    /// Of events that were sent and are not settled, on all streams.
    pub outstanding_bytes: Option<i64>,
    /// Of each replay.
    pub replay_events_per_second: Option<f64>,
}

/// Each of whom.
#[derive(Clone, Debug, PartialEq)]
pub enum Who {
    Tenants(Vec<Wildcard>),
    Principals(Vec<Wildcard>),
}

/// All quotas; of those for tenants, and of those for principals, the first that is for somebody holds.
#[derive(Default)]
pub struct Quotas(Vec<Arc<Quota>>);

impl Quotas {
    pub fn new(quotas: impl IntoIterator<Item = Quota>) -> Self {
        Self(quotas.into_iter().map(Arc::new).collect())
    }

    /// What a principal has to keep: its tenant's, and its own.
    pub fn of(&self, principal: &Principal, meters: &Meters) -> Allowance {
        let first = |is_for_tenants: bool| {
            let quotas = self.0.iter().filter(|quota| quota.is_for_tenants() == is_for_tenants);
            let mut found = quotas.filter_map(|quota| Some((quota, quota.subject(principal)?)));
            found.next()
        };
        let shares = [true, false].into_iter().filter_map(first);
        let share = |(quota, subject): (&Arc<Quota>, String)| Share {
            quota: Arc::clone(quota),
            meter: meters.of(&subject, Instant::now()),
            subject,
        };
        Allowance(shares.map(share).collect())
    }
}

impl Quota {
    fn is_for_tenants(&self) -> bool {
        matches!(self.who, Who::Tenants(_))
    }

    /// Whose it is, if it is for this principal or its tenant. No principal's name begins like a tenant's.
    fn subject(&self, principal: &Principal) -> Option<String> {
        let is_among = |names: &[Wildcard], name: &str| names.iter().any(|wanted| wanted.matches(name));
        match &self.who {
            Who::Tenants(names) => {
                let tenant = principal.tenant().map(Tenant::as_str);
                let tenant = tenant.filter(|tenant| is_among(names, tenant))?;
                Some(format!("tenant:{tenant}"))
            }
            Who::Principals(names) => is_among(names, principal.name()).then(|| principal.name().to_owned()),
        }
    }
}

/// What was used of quotas lately, by whom; they last longer than the configuration that was in force.
#[derive(Default)]
pub struct Meters(Mutex<Metered>);

#[derive(Default)]
struct Metered {
    of: FxHashMap<String, Arc<Meter>>,
    /// Of all for whom there is no room.
    others: Arc<Meter>,
    swept: Option<Instant>,
}

/// When there are more, those that use nothing are forgotten; while all use something, who comes then shares one quota.
const MOST_METERS: usize = 10_000;
/// Between two looks for those that use nothing.
const SWEEP: Duration = Duration::from_secs(1);

impl Meters {
    fn of(&self, subject: &str, now: Instant) -> Arc<Meter> {
        let mut metered = lock(&self.0);
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
struct Meter {
    events: Mutex<Bucket>,
    bytes: Mutex<Bucket>,
    streams: AtomicUsize,
    outstanding: Arc<Tab>,
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
struct Bucket {
    used: f64,
    since: Option<Instant>,
}

impl Bucket {
    /// How long there is nothing; `None` = there is something now.
    fn wait(&mut self, rate: f64, now: Instant) -> Option<Duration> {
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

/// What one caller has to keep. Nothing, for most.
#[derive(Clone)]
pub struct Allowance(Vec<Share>);

#[derive(Clone)]
struct Share {
    quota: Arc<Quota>,
    meter: Arc<Meter>,
    subject: String,
}

impl Allowance {
    /// Nothing to keep.
    pub fn unbounded() -> Self {
        Self(Vec::new())
    }

    /// Takes what a publish needs, or tells that it is too much now, and for how long.
    pub fn publish(&self, events: usize, bytes: usize, now: Instant) -> Result<()> {
        for share in &self.0 {
            for (bucket, rate, name) in share.rates() {
                if let Some(wait) = lock(bucket).wait(rate, now) {
                    return Err(share.refusal(name, rate).retry_after(wait));
                }
            }
        }
        for share in &self.0 {
            for (bucket, _, name) in share.rates() {
                let amount = if name == EVENTS { events } else { bytes };
                lock(bucket).used += amount as f64;
            }
        }
        Ok(())
    }

    /// A place among the open streams, until it is dropped.
    pub fn stream(&self) -> Result<Place> {
        let mut place = Place(Vec::new());
        for share in &self.0 {
            let Some(most) = share.quota.streams else { continue };
            let streams = &share.meter.streams;
            let taken = streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                (open < most).then_some(open + 1)
            });
            if taken.is_err() {
                let error = share.refusal("streams", most as f64);
                return Err(error.retry_after(Duration::from_secs(5)));
            }
            place.0.push(Arc::clone(&share.meter));
        }
        Ok(place)
    }

    /// What all streams of whose quota it is have counts on these.
    pub fn tabs(&self) -> Vec<Arc<Tab>> {
        let tab = |share: &Share| {
            let tab = &share.meter.outstanding;
            tab.limit(share.quota.outstanding_bytes?);
            Some(Arc::clone(tab))
        };
        self.0.iter().filter_map(tab).collect()
    }

    /// How fast a replay may be, of that what was asked for; `None` = as fast as can be.
    pub fn replay(&self, asked: Option<f64>) -> Result<Option<f64>> {
        let mut rate = asked;
        for share in &self.0 {
            let Some(most) = share.quota.replay_events_per_second else {
                continue;
            };
            if asked.is_some_and(|asked| asked > most) {
                let error = share.refusal("replay_events_per_second", most);
                return Err(error.retry_after(Duration::from_secs(60)));
            }
            rate = Some(rate.map_or(most, |rate: f64| rate.min(most)));
        }
        Ok(rate)
    }
}

const EVENTS: &str = "publish_events_per_second";
const BYTES: &str = "publish_bytes_per_second";

impl Share {
    fn rates(&self) -> impl Iterator<Item = (&Mutex<Bucket>, f64, &'static str)> {
        let events = self
            .quota
            .publish_events_per_second
            .map(|rate| (&self.meter.events, rate, EVENTS));
        let bytes = self
            .quota
            .publish_bytes_per_second
            .map(|rate| (&self.meter.bytes, rate, BYTES));
        events.into_iter().chain(bytes)
    }

    fn refusal(&self, name: &str, most: f64) -> Error {
        let text = format!("the quota of {} is used up: {name} = {most}", self.subject);
        Error::new(Reason::Quota, text).quota(&self.subject, name)
    }
}

/// A place among the open streams of those whose quota it counts against.
pub struct Place(Vec<Arc<Meter>>);

impl Place {
    pub fn is_of_nobody(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for meter in &self.0 {
            meter.streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Nothing panics while it holds these locks, so a poisoned one is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "quota/tests.rs"]
mod tests;
