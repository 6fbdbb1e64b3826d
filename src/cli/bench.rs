//! `tidings bench`: a load tool. Figures depend on the machine: compare figures of one run only.

mod latency;
mod publish;
mod subscribe;

use std::{
    fmt,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use clap::Subcommand;
use serde_json::json;

use self::{latency::Latencies, publish::BenchPublish, subscribe::BenchSubscribe};
use super::{client::Client, failure::Result, output::Output, table::Pairs, words};

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Publishes events as fast as it can, or at a rate; latency is from sending until durable
    Publish(BenchPublish),
    /// Receives and acks events; latency is from `bench publish` building an event until it is here (one clock assumed)
    Subscribe(BenchSubscribe),
}

pub(super) async fn run(command: BenchCommand, client: &Client, output: &mut Output) -> Result<()> {
    let report = match command {
        BenchCommand::Publish(bench) => bench.run(client).await?,
        BenchCommand::Subscribe(bench) => bench.run(client).await?,
    };
    match output.is_json() {
        true => output.line(report.json()),
        false => output.text(report),
    }
}

/// What was measured.
struct Report {
    events: u64,
    /// Of data, without attributes.
    bytes: u64,
    elapsed: Duration,
    latencies: Latencies,
}

/// Counts of one worker, added up at the end.
#[derive(Default)]
struct Tally {
    events: u64,
    bytes: u64,
    latencies: Latencies,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.bytes += other.bytes;
        self.latencies.add(&other.latencies);
    }

    fn report(self, started: Instant) -> Report {
        Report {
            events: self.events,
            bytes: self.bytes,
            elapsed: started.elapsed(),
            latencies: self.latencies,
        }
    }
}

impl Report {
    fn per_second(&self, amount: u64) -> f64 {
        amount as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }

    fn json(&self) -> serde_json::Value {
        let millis = |quantile: f64| self.latencies.quantile(quantile).as_secs_f64() * 1e3;
        json!({
            "events": self.events,
            "bytes": self.bytes,
            "seconds": self.elapsed.as_secs_f64(),
            "eventsPerSecond": self.per_second(self.events),
            "megabytesPerSecond": self.per_second(self.bytes) / 1e6,
            "latencyMilliseconds": {"p50": millis(0.5), "p99": millis(0.99), "max": millis(1.0)},
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let latency = |quantile: f64| format!("{:.2?}", self.latencies.quantile(quantile));
        let pairs = [
            ("events", words::events(self.events)),
            ("time", format!("{:.3}s", self.elapsed.as_secs_f64())),
            ("events/s", format!("{:.0}", self.per_second(self.events))),
            ("MB/s", format!("{:.1}", self.per_second(self.bytes) / 1e6)),
            ("latency p50", latency(0.5)),
            ("latency p99", latency(0.99)),
            ("latency max", latency(1.0)),
        ];
        Pairs(&pairs).fmt(f)
    }
}

/// The clock that stamps events: nanoseconds since 1970.
fn clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
