//! What a group's delivery goes by where its record does not say: leases and retries, for all groups and for some.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::delivery::RetryPolicy;
use crate::name::{Group, Pattern};

/// From the configuration.
#[derive(Clone, Debug)]
pub struct DeliveryRules {
    /// The first that matches a group's name holds.
    pub groups: Vec<(Pattern, DeliveryRule)>,
    pub others: DeliveryRule,
    /// The longest that a stream may ask to have an event for.
    pub max_lease: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DeliveryRule {
    /// How long a stream may have an event; `None` = for ever.
    pub lease: Option<Duration>,
    pub retry: RetryPolicy,
}

impl DeliveryRules {
    pub fn of(&self, group: &Group) -> &DeliveryRule {
        let matching = self.groups.iter().find(|(pattern, _)| pattern.matches(group.as_str()));
        matching.map_or(&self.others, |(_, rule)| rule)
    }
}

/// What a group says of its own about retries; what it does not say is as configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryOverride {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_abandons: Option<u32>,
}

/// Numbers of a record are finite: they were checked when they came in.
impl Eq for RetryOverride {}

impl RetryOverride {
    /// The policy that this makes of the configured one.
    pub fn over(&self, policy: RetryPolicy) -> RetryPolicy {
        let initial = self.initial.unwrap_or(policy.initial);
        RetryPolicy {
            initial,
            factor: self.factor.unwrap_or(policy.factor),
            maximum: self.maximum.unwrap_or(policy.maximum).max(initial),
            jitter: self.jitter.unwrap_or(policy.jitter),
            max_attempts: self.max_attempts.unwrap_or(policy.max_attempts),
            max_abandons: self.max_abandons.unwrap_or(policy.max_abandons),
        }
    }

    /// This, and what `other` says beside it.
    pub fn or(self, other: Self) -> Self {
        Self {
            initial: self.initial.or(other.initial),
            factor: self.factor.or(other.factor),
            maximum: self.maximum.or(other.maximum),
            jitter: self.jitter.or(other.jitter),
            max_attempts: self.max_attempts.or(other.max_attempts),
            max_abandons: self.max_abandons.or(other.max_abandons),
        }
    }
}
