//! What there is to tell, as tables: each metric with its name, its unit, what it says, and how that is read from a snapshot.
//!
//! For Prometheus the exporter makes `tidings_group_buffered_bytes` of `tidings.group.buffered` in bytes, and gives counters the
//! ending `_total`.

use crate::bus::{Fill, Levels, Observed, Tally, dead_letters::LetterReason};

/// An instrument whose values are read from `T`.
pub(super) struct Row<T, V> {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) tells: &'static str,
    pub(super) read: fn(&T) -> V,
}

const fn row<T, V>(name: &'static str, unit: &'static str, tells: &'static str, read: fn(&T) -> V) -> Row<T, V> {
    Row {
        name,
        unit,
        tells,
        read,
    }
}

/// Of the whole server.
pub(super) const SERVER: [Row<Observed, f64>; 10] = [
    row(
        "tidings.streams.open",
        "{stream}",
        "Open Subscribe and Read streams.",
        |seen| used(seen.streams),
    ),
    row(
        "tidings.streams.limit",
        "{stream}",
        "limits.streams: the most open streams.",
        |seen| limit(seen.streams),
    ),
    row(
        "tidings.groups.running",
        "{group}",
        "Groups that run on this server.",
        |seen| used(seen.running),
    ),
    row(
        "tidings.groups.limit",
        "{group}",
        "limits.groups: the most that run.",
        |seen| limit(seen.running),
    ),
    row("tidings.publish.in_flight", "By", "Bytes being published.", |seen| {
        used(seen.publish_bytes)
    }),
    row(
        "tidings.publish.limit",
        "By",
        "limits.publish_bytes: the most being published.",
        |seen| limit(seen.publish_bytes),
    ),
    row(
        "tidings.feeds.held",
        "By",
        "Bytes of recent events that readers share.",
        |seen| used(seen.feed_bytes),
    ),
    row(
        "tidings.feeds.limit",
        "By",
        "limits.feed_bytes: the most that readers share.",
        |seen| limit(seen.feed_bytes),
    ),
    row(
        "tidings.group.buffer.limit",
        "By",
        "limits.group_buffer_bytes: the most that each group holds.",
        |seen| seen.group_buffer_bytes as f64,
    ),
    row(
        "tidings.log.reachable",
        "",
        "1 = the log can be reached, 0 = not.",
        |seen| f64::from(u8::from(seen.log_is_reachable)),
    ),
];

/// Where a group stands.
pub(super) const LEVELS: [Row<Levels, f64>; 6] = [
    row(
        "tidings.group.outstanding_events",
        "{event}",
        "Events that streams have and did not settle.",
        |levels| levels.outstanding as f64,
    ),
    row("tidings.group.buffered", "By", "Bytes of events in memory.", |levels| {
        levels.buffered as f64
    }),
    row(
        "tidings.group.lag_events",
        "{event}",
        "Events that are not settled, up to the end.",
        |levels| levels.lag as f64,
    ),
    row(
        "tidings.group.lag",
        "s",
        "How long ago the oldest event was written that is not settled, about; 0 = none.",
        |levels| levels.lag_time.as_secs_f64(),
    ),
    row(
        "tidings.group.oldest_unacked.age",
        "s",
        "Since when the oldest event is not settled; 0 = none.",
        |levels| levels.oldest_age.as_secs_f64(),
    ),
    row(
        "tidings.group.oldest_unacked.attempts",
        "{attempt}",
        "How often that event was sent.",
        |levels| f64::from(levels.oldest_attempts),
    ),
];

pub(super) const WAITING: &str = "tidings.group.waiting";

type HowMany = fn(&Levels) -> usize;

/// What holds a group up.
pub(super) const REASONS: [(&str, HowMany); 4] = [
    ("window_full", |levels| levels.held_up.window_full),
    ("buffer_limit", |levels| levels.held_up.buffer_limit),
    ("no_credit", |levels| levels.held_up.no_credit),
    ("log_unavailable", |levels| levels.held_up.log_unavailable),
];

/// What became of a group's events.
pub(super) const COUNTS: [Row<Tally, u64>; 5] = [
    row("tidings.group.deliveries", "{event}", "Events sent.", |tally| {
        tally.deliveries.get()
    }),
    row("tidings.group.redeliveries", "{event}", "Events sent again.", |tally| {
        tally.redeliveries.get()
    }),
    row("tidings.group.acks", "{event}", "Events acked.", |tally| {
        tally.acks.get()
    }),
    row(
        "tidings.group.failures",
        "{event}",
        "Nacks, and leases that were over.",
        |tally| tally.failures.get(),
    ),
    row(
        "tidings.group.abandons",
        "{event}",
        "Events that streams had when they broke.",
        |tally| tally.abandons.get(),
    ),
];

pub(super) const DEAD_LETTERS: &str = "tidings.group.dead_letters";

pub(super) const CALLS: &str = "rpc.server.call.duration";
pub(super) const OPERATIONS: &str = "messaging.client.operation.duration";
pub(super) const SENT: &str = "messaging.client.sent.messages";
pub(super) const CONSUMED: &str = "messaging.client.consumed.messages";
pub(super) const APPENDS: &str = "tidings.log.append.duration";
pub(super) const CONNECTIONS: &str = "tidings.connections.open";
pub(super) const CONNECTIONS_LIMIT: &str = "tidings.connections.limit";
pub(super) const REFUSED: &str = "tidings.connections.refused";

/// Seconds, as the semantic conventions say for calls and for messaging.
const CONVENTIONAL: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
/// A disk is faster than a call.
const OF_APPENDS: [f64; 14] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// Between the buckets of a histogram.
pub(super) fn boundaries(histogram: &str) -> &'static [f64] {
    match histogram {
        APPENDS => &OF_APPENDS,
        _ => &CONVENTIONAL,
    }
}

/// How many groups and topics are told one by one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    pub(super) groups: usize,
    pub(super) topics: usize,
}

/// More than there are methods, times the codes that gRPC has.
const OF_CALLS: usize = 100 * 17;
/// What a publish may fail with, about; a topic has seen few of them.
const OUTCOMES: usize = 8;

impl Most {
    /// The most series that an instrument has.
    pub(super) fn series(self, instrument: &str) -> usize {
        // The others are one more.
        let (groups, topics) = (self.groups + 1, self.topics + 1);
        match instrument {
            WAITING => REASONS.len() * groups,
            DEAD_LETTERS => LetterReason::ALL.len() * groups,
            CALLS => OF_CALLS,
            OPERATIONS | SENT | CONSUMED => OUTCOMES * topics,
            _ => groups,
        }
    }
}

/// As it stands in the label `reason`.
pub(super) fn label(reason: LetterReason) -> &'static str {
    match reason {
        LetterReason::Attempts => "attempts",
        LetterReason::Abandoned => "abandoned",
        LetterReason::Nacked => "nacked",
        LetterReason::Undecodable => "undecodable",
        LetterReason::TooLarge => "too_large",
        LetterReason::Behind => "behind",
    }
}

fn used(fill: Fill) -> f64 {
    fill.used as f64
}

fn limit(fill: Fill) -> f64 {
    fill.limit as f64
}
