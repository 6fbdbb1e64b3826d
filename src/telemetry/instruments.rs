//! The instruments of OpenTelemetry, one for each row; each has a callback that reads the latest snapshot.

use std::sync::Arc;

use opentelemetry::{KeyValue, metrics::Meter};

use super::{
    rows::{COUNTS, DEAD_LETTERS, LEVELS, REASONS, Row, SERVER, WAITING, label},
    snapshots::Snapshots,
};
use crate::bus::{Levels, Observed, ObservedGroup, Tally, dead_letters::LetterReason};

const GROUP: &str = "group";
const REASON: &str = "reason";

pub(super) fn make(meter: &Meter, snapshots: &Arc<Snapshots>, log: &'static str) {
    SERVER.into_iter().for_each(|row| server_gauge(meter, snapshots, row));
    LEVELS.into_iter().for_each(|row| level_gauge(meter, snapshots, row));
    COUNTS.into_iter().for_each(|row| counter(meter, snapshots, row));
    streams(meter, snapshots);
    waiting(meter, snapshots);
    dead_letters(meter, snapshots);
    build_info(meter, log);
}

fn server_gauge(meter: &Meter, snapshots: &Arc<Snapshots>, row: Row<Observed, f64>) {
    let snapshots = Arc::clone(snapshots);
    meter
        .f64_observable_gauge(row.name)
        .with_unit(row.unit)
        .with_description(row.tells)
        .with_callback(move |gauge| gauge.observe((row.read)(&snapshots.latest()), &[]))
        .build();
}

fn level_gauge(meter: &Meter, snapshots: &Arc<Snapshots>, row: Row<Levels, f64>) {
    let snapshots = Arc::clone(snapshots);
    meter
        .f64_observable_gauge(row.name)
        .with_unit(row.unit)
        .with_description(row.tells)
        .with_callback(move |gauge| {
            for (group, levels) in running(&snapshots.latest()) {
                gauge.observe((row.read)(levels), &[name(group)]);
            }
        })
        .build();
}

fn counter(meter: &Meter, snapshots: &Arc<Snapshots>, row: Row<Tally, u64>) {
    let snapshots = Arc::clone(snapshots);
    meter
        .u64_observable_counter(row.name)
        .with_unit(row.unit)
        .with_description(row.tells)
        .with_callback(move |counter| {
            for group in &snapshots.latest().groups {
                counter.observe((row.read)(&group.tally), &[name(group)]);
            }
        })
        .build();
}

/// Also of groups that do not run: that a group has no streams is worth an alarm.
fn streams(meter: &Meter, snapshots: &Arc<Snapshots>) {
    let snapshots = Arc::clone(snapshots);
    meter
        .f64_observable_gauge("tidings.group.streams")
        .with_unit("{stream}")
        .with_description("Open streams.")
        .with_callback(move |gauge| {
            for group in &snapshots.latest().groups {
                let streams = group.levels.map_or(0, |levels| levels.streams);
                gauge.observe(streams as f64, &[name(group)]);
            }
        })
        .build();
}

fn waiting(meter: &Meter, snapshots: &Arc<Snapshots>) {
    let snapshots = Arc::clone(snapshots);
    meter
        .f64_observable_gauge(WAITING)
        .with_description("1 = this limit holds the group up, 0 = not.")
        .with_callback(move |gauge| {
            for (group, levels) in running(&snapshots.latest()) {
                for (reason, read) in REASONS {
                    gauge.observe(read(levels) as f64, &[name(group), KeyValue::new(REASON, reason)]);
                }
            }
        })
        .build();
}

fn dead_letters(meter: &Meter, snapshots: &Arc<Snapshots>) {
    let snapshots = Arc::clone(snapshots);
    meter
        .u64_observable_counter(DEAD_LETTERS)
        .with_unit("{event}")
        .with_description("Events that became dead letters.")
        .with_callback(move |counter| {
            for group in &snapshots.latest().groups {
                for reason in LetterReason::ALL {
                    let count = group.tally.dead_letters(reason).get();
                    counter.observe(count, &[name(group), KeyValue::new(REASON, label(reason))]);
                }
            }
        })
        .build();
}

/// By quota.
pub(super) fn quotas(meter: &Meter, refused: impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static) {
    meter
        .u64_observable_counter("tidings.quota.refusals")
        .with_unit("{refusal}")
        .with_description("Calls that a quota refused, and waits of publish streams.")
        .with_callback(move |counter| {
            for (quota, count) in refused() {
                counter.observe(count, &[KeyValue::new("quota", quota)]);
            }
        })
        .build();
}

fn build_info(meter: &Meter, log: &'static str) {
    let version = env!("CARGO_PKG_VERSION");
    meter
        .f64_observable_gauge("tidings.build_info")
        .with_description("1, with the version and what stands behind the bus.")
        .with_callback(move |gauge| {
            gauge.observe(1.0, &[KeyValue::new("log", log), KeyValue::new("version", version)]);
        })
        .build();
}

/// Groups that run, and where they stand.
fn running(seen: &Observed) -> impl Iterator<Item = (&ObservedGroup, &Levels)> {
    seen.groups
        .iter()
        .filter_map(|group| Some((group, group.levels.as_ref()?)))
}

fn name(group: &ObservedGroup) -> KeyValue {
    KeyValue::new(GROUP, Arc::clone(&group.name))
}
