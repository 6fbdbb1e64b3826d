//! The deliveries of one stream: counted, and where an event is sampled a span for its delivery (`deliver`) and for its ack or nack.
//!
//! Both stand in the trace of the event's creation, whatever the stream's own is: a stream sees many traces. They link to the
//! creation too, as the conventions ask, and to the stream's call, if that is sampled.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanBuilder, SpanContext, SpanKind, TraceContextExt as _},
};

use super::{CallContext, Telemetry, traces::Traces};
use crate::{
    bus::{Delivery, delivery::IdRange},
    log::TopicPartition,
    name::{Group, Topic},
};

/// Sampled deliveries that a stream may have unsettled and traced; of more, the ack of the oldest is not traced.
const MOST: usize = 4_096;

/// What one stream of a group is sent and settles.
pub struct Delivering {
    telemetry: Telemetry,
    group: Group,
    /// The stream's call.
    call: CallContext,
    /// By the id of the delivery.
    unsettled: Mutex<BTreeMap<u64, Delivered>>,
}

/// A delivery that is traced and not settled.
struct Delivered {
    created: SpanContext,
    delivered: Context,
    partition: Arc<TopicPartition>,
    offset: i64,
}

/// The spans of acks or nacks on their way; they end when this is dropped.
pub struct Settling(#[allow(dead_code, reason = "only its drop matters")] Vec<Context>);

impl Telemetry {
    /// A stream of this group has opened.
    pub fn deliver(&self, group: Group, call: CallContext) -> Delivering {
        Delivering {
            telemetry: self.clone(),
            group,
            call,
            unsettled: Mutex::default(),
        }
    }

    /// A reader without a group was sent so many events of this topic.
    pub fn read(&self, call: &CallContext, topic: &Topic, events: usize) {
        call.count(events);
        self.meters().delivered(topic, events);
    }
}

impl Delivering {
    /// The client takes these.
    pub fn sent(&self, deliveries: &[Delivery]) {
        for run in deliveries.chunk_by(|one, next| one.partition.topic == next.partition.topic) {
            self.telemetry.meters().delivered(&run[0].partition.topic, run.len());
        }
        let Some(traces) = self.telemetry.traces() else { return };
        for delivery in deliveries {
            if let Some(created) = traces.of_sampled_event(&delivery.item().event) {
                self.trace(traces, delivery, created);
            }
        }
    }

    /// The client settles these; `name` is `ack` or `nack`.
    pub fn settle(&self, name: &'static str, ids: &[IdRange]) -> Settling {
        let Some(traces) = self.telemetry.traces() else {
            return Settling(Vec::new());
        };
        let mut settled = Vec::new();
        let mut unsettled = self.unsettled();
        for ids in ids.iter().filter(|ids| ids.first <= ids.last) {
            while let Some((&id, _)) = unsettled.range(ids.first..=ids.last).next() {
                settled.extend(unsettled.remove(&id));
            }
        }
        drop(unsettled);
        let span = |delivered: Delivered| {
            let place = (&*delivered.partition, delivered.offset);
            let span = self.span(traces, (name, "settle"), place);
            let span = span
                .with_kind(SpanKind::Client)
                .with_links(vec![Link::with_context(delivered.created)]);
            traces.begin(span, &delivered.delivered)
        };
        Settling(settled.into_iter().map(span).collect())
    }

    fn trace(&self, traces: &Traces, delivery: &Delivery, created: SpanContext) {
        let (item, partition) = (delivery.item(), &delivery.partition);
        let stream = self
            .call
            .trace
            .as_ref()
            .map(|trace| trace.span().span_context().clone());
        let links = [created.clone()]
            .into_iter()
            .chain(stream.filter(SpanContext::is_sampled));
        let span = self
            .span(traces, ("deliver", "process"), (partition, item.offset))
            .with_kind(SpanKind::Consumer)
            .with_links(links.map(Link::with_context).collect());
        let parent = Context::new().with_remote_span_context(created.clone());
        let delivered = traces.begin(span, &parent);
        let details = [
            KeyValue::new("messaging.message.id", item.event.id().to_string()),
            KeyValue::new("tidings.delivery.attempt", i64::from(delivery.attempt)),
        ];
        delivered.span().set_attributes(details);
        delivered.span().end();
        let mut unsettled = self.unsettled();
        if unsettled.len() >= MOST {
            unsettled.pop_first();
        }
        let delivered = Delivered {
            created,
            delivered,
            partition: Arc::clone(partition),
            offset: item.offset,
        };
        unsettled.insert(delivery.id, delivered);
    }

    fn span(
        &self,
        traces: &Traces,
        (name, kind): (&'static str, &'static str),
        (partition, offset): (&TopicPartition, i64),
    ) -> SpanBuilder {
        let TopicPartition { topic, partition } = partition;
        SpanBuilder::from_name(format!("{name} {topic}")).with_attributes([
            traces.system.clone(),
            KeyValue::new("messaging.operation.name", name),
            KeyValue::new("messaging.operation.type", kind),
            KeyValue::new("messaging.destination.name", topic.to_string()),
            KeyValue::new("messaging.destination.partition.id", partition.to_string()),
            KeyValue::new(traces.offset, offset),
            KeyValue::new("messaging.consumer.group.name", self.group.to_string()),
        ])
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn unsettled(&self) -> MutexGuard<'_, BTreeMap<u64, Delivered>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
