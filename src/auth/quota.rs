//! Quotas: how much each tenant, or each principal, may publish and have open on this replica.

mod meters;

pub use meters::Meters;

use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use self::meters::{Bucket, Limit, Meter, Refusals, lock};
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
            refusals: meters.refusals(),
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

/// What one caller has to keep. Nothing, for most.
#[derive(Clone)]
pub struct Allowance(Vec<Share>);

#[derive(Clone)]
struct Share {
    quota: Arc<Quota>,
    meter: Arc<Meter>,
    refusals: Arc<Refusals>,
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
            for (bucket, rate, limit) in share.rates() {
                if let Some(wait) = lock(bucket).wait(rate, now) {
                    return Err(share.refusal(limit, rate).retry_after(wait));
                }
            }
        }
        for share in &self.0 {
            for (bucket, _, limit) in share.rates() {
                let amount = if limit == Limit::Events { events } else { bytes };
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
                let error = share.refusal(Limit::Streams, most as f64);
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
                let error = share.refusal(Limit::ReplayRate, most);
                return Err(error.retry_after(Duration::from_secs(60)));
            }
            rate = Some(rate.map_or(most, |rate: f64| rate.min(most)));
        }
        Ok(rate)
    }
}

impl Share {
    fn rates(&self) -> impl Iterator<Item = (&Mutex<Bucket>, f64, Limit)> {
        let events = self
            .quota
            .publish_events_per_second
            .map(|rate| (&self.meter.events, rate, Limit::Events));
        let bytes = self
            .quota
            .publish_bytes_per_second
            .map(|rate| (&self.meter.bytes, rate, Limit::Bytes));
        events.into_iter().chain(bytes)
    }

    fn refusal(&self, limit: Limit, most: f64) -> Error {
        self.refusals.count(limit);
        let name = limit.name();
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

#[cfg(test)]
#[path = "quota/tests.rs"]
mod tests;
