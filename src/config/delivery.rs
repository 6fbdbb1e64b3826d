//! `[delivery]`: commits, leases, retries, for all groups and for some.

use std::time::Duration;

use super::{AfterDeadLetter, reader::Reader};
use crate::name::{Pattern, template::TopicTemplate};

/// `[delivery]`
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    pub commit_interval: Duration,
    pub commit_count: u32,
    pub plan_lifetime: Duration,
    pub window: u32,
    pub lease: Duration,
    pub max_lease: Duration,
    /// Of each group.
    pub dead_letter_topic: TopicTemplate,
    pub after_dead_letter: AfterDeadLetter,
    pub retry: Retry,
    /// The first that matches a group holds.
    pub groups: Vec<GroupRule>,
}

/// `[delivery.retry]`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Retry {
    pub initial: Duration,
    pub factor: f64,
    pub maximum: Duration,
    pub jitter: f64,
    pub max_attempts: u32,
    pub max_abandons: u32,
}

/// One of `[[delivery.groups]]`: what is otherwise for groups of some names.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupRule {
    pub group: Pattern,
    pub lease: Duration,
    pub retry: Retry,
}

pub(super) fn read(reader: &mut Reader) -> Delivery {
    let mut delivery = Delivery {
        commit_interval: reader.take_if(
            "delivery.commit_interval",
            |time: Duration| !time.is_zero(),
            "longer than 0",
        ),
        commit_count: reader.take_if("delivery.commit_count", |count: u32| count > 0, "at least 1"),
        plan_lifetime: reader.take_if(
            "delivery.plan_lifetime",
            |time: Duration| !time.is_zero(),
            "longer than 0",
        ),
        window: reader.take_if(
            "delivery.window",
            |window: u32| (1..=16_384).contains(&window),
            "1 to 16384",
        ),
        lease: reader.take("delivery.lease"),
        max_lease: reader.take_if("delivery.max_lease", |max: Duration| !max.is_zero(), "longer than 0"),
        dead_letter_topic: reader.take("delivery.dead_letter_topic"),
        after_dead_letter: reader.take("delivery.after_dead_letter"),
        retry: retry(reader),
        groups: Vec::new(),
    };
    reader.demand("delivery.lease", delivery.lease <= delivery.max_lease, LEASE);
    delivery.groups = groups(reader, &delivery);
    delivery
}

fn retry(reader: &mut Reader) -> Retry {
    let retry = Retry {
        initial: reader.take("delivery.retry.initial"),
        factor: reader.take_if("delivery.retry.factor", is_factor, FACTOR),
        maximum: reader.take("delivery.retry.maximum"),
        jitter: reader.take_if("delivery.retry.jitter", is_share, SHARE),
        max_attempts: reader.take("delivery.retry.max_attempts"),
        max_abandons: reader.take("delivery.retry.max_abandons"),
    };
    let rule = "must be at least delivery.retry.initial";
    reader.demand("delivery.retry.maximum", retry.maximum >= retry.initial, rule);
    retry
}

fn groups(reader: &mut Reader, others: &Delivery) -> Vec<GroupRule> {
    let mut rules = Vec::new();
    for mut table in reader.take_tables("delivery.groups") {
        let group = table.require("group");
        let lease = table.optional("lease").unwrap_or(others.lease);
        table.demand("lease", lease <= others.max_lease, LEASE);
        let retry = retry_of_some(&mut table, &others.retry);
        reader.finish_table(table);
        rules.extend(group.map(|group| GroupRule { group, lease, retry }));
    }
    rules
}

/// What is left out is as for others, and what is wrong there was told there.
fn retry_of_some(table: &mut Reader, others: &Retry) -> Retry {
    let retry = Retry {
        initial: table.optional("initial").unwrap_or(others.initial),
        factor: table.optional("factor").unwrap_or(others.factor),
        maximum: table.optional("maximum").unwrap_or(others.maximum),
        jitter: table.optional("jitter").unwrap_or(others.jitter),
        max_attempts: table.optional("max_attempts").unwrap_or(others.max_attempts),
        max_abandons: table.optional("max_abandons").unwrap_or(others.max_abandons),
    };
    let is_same = |own: f64, others: f64| own.to_bits() == others.to_bits();
    let (factor, jitter) = (
        is_same(retry.factor, others.factor),
        is_same(retry.jitter, others.jitter),
    );
    table.demand("factor", factor || is_factor(retry.factor), format!("must be {FACTOR}"));
    table.demand("jitter", jitter || is_share(retry.jitter), format!("must be {SHARE}"));
    table.demand("maximum", retry.maximum >= retry.initial, "must be at least initial");
    retry
}

const LEASE: &str = "must be at most delivery.max_lease";
const FACTOR: &str = "from 1 to 100";
const SHARE: &str = "from 0 to 1";

fn is_factor(factor: f64) -> bool {
    (1.0..=100.0).contains(&factor)
}

fn is_share(share: f64) -> bool {
    (0.0..=1.0).contains(&share)
}
