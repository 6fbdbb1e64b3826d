//! One publish: how long it takes, its span (`send`), and the trace context of its events.

use std::time::Instant;

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _},
};

use super::{
    CallContext, Telemetry,
    traces::{Traces, attributes, has_context},
};
use crate::{
    bus::{PublishError, Written},
    event::Event,
    name::Topic,
};

/// As many as OpenTelemetry takes of one span.
const MOST_LINKS: usize = 128;

/// A publish that goes on.
pub struct Publishing {
    telemetry: Telemetry,
    call: CallContext,
    began: Instant,
    events: usize,
    trace: Option<Context>,
}

impl Telemetry {
    /// Events are published within a call. Those without a trace context get that of this, if there is one and it is wanted.
    pub fn publish(&self, call: &CallContext, events: &mut [Event]) -> Publishing {
        let traces = self.traces().zip(call.trace.as_ref());
        Publishing {
            telemetry: self.clone(),
            call: call.clone(),
            began: Instant::now(),
            events: events.len(),
            trace: traces.and_then(|(traces, parent)| begin(traces, parent, events)),
        }
    }
}

impl Publishing {
    /// What became of the events; `reason` = the name of what they failed with.
    pub fn done(self, outcome: &Result<Vec<Written>, PublishError>, reason: Option<&'static str>) {
        let meters = self.telemetry.meters();
        match outcome {
            Ok(written) => {
                self.call.count(self.events);
                let runs = written.chunk_by(|one, next| one.topic == next.topic);
                meters.published(runs.map(|run| (&run[0].topic, run.len())), None, self.began.elapsed());
            }
            Err(failure) => {
                let runs = failure.topics.chunk_by(|one, next| one == next);
                meters.published(runs.map(|run| (&run[0], run.len())), reason, self.began.elapsed());
            }
        }
        if let Some(trace) = self.trace.filter(|trace| trace.span().is_recording())
            && let Some(traces) = self.telemetry.traces()
        {
            tell(traces, &trace, outcome, reason);
        }
    }
}

fn begin(traces: &Traces, parent: &Context, events: &mut [Event]) -> Option<Context> {
    let gives_context = traces.adds_to_events && !events.iter().all(has_context);
    if !gives_context && !parent.span().is_recording() {
        return None;
    }
    let mut span = SpanBuilder::from_name("send")
        // The context of this is what the events were created in; or it only asks the log to keep them.
        .with_kind(if gives_context {
            SpanKind::Producer
        } else {
            SpanKind::Client
        });
    if parent.span().is_recording() {
        let mut attributes = vec![
            traces.system.clone(),
            KeyValue::new("messaging.operation.name", "send"),
            KeyValue::new("messaging.operation.type", "send"),
        ];
        match &events {
            [event] => attributes.push(KeyValue::new("messaging.message.id", event.id().to_string())),
            _ => attributes.push(KeyValue::new("messaging.batch.message_count", events.len() as i64)),
        }
        span = span.with_attributes(attributes).with_links(links(traces, events));
    }
    let context = traces.begin(span, parent);
    if gives_context {
        let given = self::attributes(context.span().span_context());
        for event in events.iter_mut().filter(|event| !has_context(event)) {
            given.iter().for_each(|(name, text)| event.add(name, text));
        }
    }
    Some(context)
}

/// To what the events were created in, each once.
fn links(traces: &Traces, events: &[Event]) -> Vec<Link> {
    let mut found: Vec<SpanContext> = Vec::new();
    for context in events.iter().filter_map(|event| traces.of_event(event)) {
        if found.len() < MOST_LINKS && !found.contains(&context) {
            found.push(context);
        }
    }
    found.into_iter().map(Link::with_context).collect()
}

fn tell(traces: &Traces, trace: &Context, outcome: &Result<Vec<Written>, PublishError>, reason: Option<&'static str>) {
    let span = trace.span();
    let topics: Vec<&Topic> = match outcome {
        Ok(written) => written.iter().map(|written| &written.topic).collect(),
        Err(failure) => failure.topics.iter().collect(),
    };
    if let Some(topic) = topics
        .first()
        .filter(|first| topics.iter().all(|topic| topic == *first))
    {
        span.update_name(format!("send {topic}"));
        span.set_attribute(KeyValue::new("messaging.destination.name", topic.to_string()));
    }
    match outcome {
        Ok(written) => {
            if let [one] = &written[..] {
                span.set_attribute(KeyValue::new(
                    "messaging.destination.partition.id",
                    one.place.partition.to_string(),
                ));
                span.set_attribute(KeyValue::new(traces.offset, one.place.offset));
            }
        }
        Err(_) => {
            span.set_attribute(KeyValue::new("error.type", reason.unwrap_or("_OTHER")));
            span.set_status(Status::error(""));
        }
    }
    span.end();
}
