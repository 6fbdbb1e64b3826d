//! What is measured as it happens: how long calls, publishes and appends take, and how many events go in and out.
//!
//! Each is one record for a call, a request, a frame or a write, never for an event.

use std::time::Duration;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter},
};
use rustc_hash::FxHashMap;

use super::{
    Settings,
    rows::{APPENDS, CALLS, CONNECTIONS, CONNECTIONS_LIMIT, CONSUMED, OPERATIONS, REFUSED, SENT},
    topics::Topics,
};
use crate::name::Topic;

const CONNECTION: &str = "{connection}";
const ERROR: &str = "error.type";

pub(super) struct Meters {
    calls: Histogram<f64>,
    operations: Histogram<f64>,
    sent: Counter<u64>,
    consumed: Counter<u64>,
    appends: Histogram<f64>,
    connections: Gauge<u64>,
    connections_limit: Gauge<u64>,
    refused: Counter<u64>,
    topics: Topics,
    /// The messaging system that spans and metrics are of.
    system: KeyValue,
}

impl Meters {
    pub(super) fn new(meter: &Meter, settings: &Settings) -> Self {
        let seconds = |name, tells| meter.f64_histogram(name).with_unit("s").with_description(tells).build();
        let messages = |name, tells| {
            meter
                .u64_counter(name)
                .with_unit("{message}")
                .with_description(tells)
                .build()
        };
        let connections = |name, tells| {
            meter
                .u64_gauge(name)
                .with_unit(CONNECTION)
                .with_description(tells)
                .build()
        };
        let refused = meter
            .u64_counter(REFUSED)
            .with_unit(CONNECTION)
            .with_description("Connections beyond limits.connections, closed at once.")
            .build();
        refused.add(0, &[]);
        Self {
            calls: seconds(CALLS, "From the headers of a call to the end of its answer."),
            operations: seconds(OPERATIONS, "From a checked publish until its outcome is known."),
            sent: messages(SENT, "Events that were handed to the log."),
            consumed: messages(CONSUMED, "Events that clients were sent."),
            appends: seconds(APPENDS, "Writes of the log, until they are durable."),
            connections: connections(CONNECTIONS, "Open connections of clients."),
            connections_limit: connections(CONNECTIONS_LIMIT, "limits.connections: the most open connections."),
            refused,
            topics: Topics::new(settings.topics),
            system: system(settings.log),
        }
    }

    /// A call has ended, with this name of a status; `error` = it is a fault of the server.
    pub(super) fn called(&self, method: &'static str, status: &'static str, error: bool, took: Duration) {
        let labels = [
            KeyValue::new("rpc.system.name", "grpc"),
            KeyValue::new("rpc.method", method),
            KeyValue::new("rpc.response.status_code", status),
            KeyValue::new(ERROR, status),
        ];
        self.calls.record(took.as_secs_f64(), up_to_error(&labels, error));
    }

    pub(super) fn appended(&self, took: Duration) {
        self.appends.record(took.as_secs_f64(), &[]);
    }

    /// So many connections are open.
    pub(super) fn connections(&self, open: usize) {
        self.connections.record(open as u64, &[]);
    }

    pub(super) fn connections_limit(&self, most: u32) {
        self.connections_limit.record(most.into(), &[]);
    }

    pub(super) fn connection_refused(&self) {
        self.refused.add(1, &[]);
    }

    /// A publish has ended. `runs` has the topics of its events, in order; none = they were not handed to the log.
    pub(super) fn published<'a>(
        &self,
        mut runs: impl Iterator<Item = (&'a Topic, usize)>,
        error: Option<&'static str>,
        took: Duration,
    ) {
        let (first, second) = (runs.next(), runs.next());
        let destination = match (first, second) {
            (Some((topic, events)), None) => self.sent(topic, events, error),
            _ => {
                let mut counts: FxHashMap<&Topic, usize> = FxHashMap::default();
                for (topic, events) in [first, second].into_iter().flatten().chain(runs) {
                    *counts.entry(topic).or_default() += events;
                }
                for (topic, events) in counts {
                    self.sent(topic, events, error);
                }
                Topics::other()
            }
        };
        let labels = self.labels("send", destination, error);
        self.operations
            .record(took.as_secs_f64(), up_to_error(&labels, error.is_some()));
    }

    /// As what the topic is told.
    fn sent(&self, topic: &Topic, events: usize, error: Option<&'static str>) -> KeyValue {
        let destination = self.topics.label(topic);
        let labels = self.labels("send", destination.clone(), error);
        self.sent.add(events as u64, up_to_error(&labels, error.is_some()));
        destination
    }

    fn labels(&self, operation: &'static str, destination: KeyValue, error: Option<&'static str>) -> [KeyValue; 4] {
        [
            self.system.clone(),
            KeyValue::new("messaging.operation.name", operation),
            destination,
            KeyValue::new(ERROR, error.unwrap_or_default()),
        ]
    }

    /// Clients were sent so many events of this topic.
    pub(super) fn delivered(&self, topic: &Topic, events: usize) {
        let labels = self.labels("deliver", self.topics.label(topic), None);
        self.consumed.add(events as u64, up_to_error(&labels, false));
    }
}

/// The last label is that of an error, which is there where there is one.
fn up_to_error(labels: &[KeyValue; 4], error: bool) -> &[KeyValue] {
    &labels[..3 + usize::from(error)]
}

/// Kafka where the log is on Kafka; an embedded log is the bus's own.
pub(super) fn system(log: &'static str) -> KeyValue {
    KeyValue::new("messaging.system", if log == "kafka" { "kafka" } else { "tidings" })
}
