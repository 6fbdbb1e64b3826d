//! Spans, and the trace contexts that they stand in: of a call's metadata, and of events (`traceparent`, `tracestate`).

use std::time::Duration;

use hyper::HeaderMap;
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{SpanBuilder, SpanContext, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};

use super::{Collector, Settings, meters::system, told::Telling};
use crate::{
    error::Result,
    event::{Event, Value},
};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// Less than the process waits for it.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(super) struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    propagator: TraceContextPropagator,
    sample_ratio: f64,
    pub(super) adds_to_events: bool,
    pub(super) system: KeyValue,
    /// What an offset is called in this system.
    pub(super) offset: &'static str,
}

impl Traces {
    pub(super) fn start(collector: &Collector, settings: &Settings, resource: Resource) -> Result<Self> {
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Telling::new(collector.span_exporter()?))
            // What has no parent is a call that was drawn.
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_resource(resource)
            .build();
        Ok(Self {
            tracer: provider.tracer("tidings"),
            provider,
            propagator: TraceContextPropagator::new(),
            sample_ratio: settings.sample_ratio,
            adds_to_events: settings.add_traceparent,
            system: system(settings.log),
            offset: match settings.log {
                "kafka" => "messaging.kafka.offset",
                _ => "tidings.offset",
            },
        })
    }

    pub(super) fn stop(&self) -> OTelSdkResult {
        self.provider.shutdown_with_timeout(LAST_WORDS)
    }

    /// Whether a call without a trace context is traced. For one that is not, nothing else is done.
    pub(super) fn draws(&self) -> bool {
        fastrand::f64() < self.sample_ratio
    }

    /// Begins a span; it ends with the last of the contexts that it is in, or before.
    pub(super) fn begin(&self, span: SpanBuilder, parent: &Context) -> Context {
        parent.with_span(self.tracer.build_with_context(span, parent))
    }

    /// What the metadata of a call says; without a span where it says nothing.
    pub(super) fn of_call(&self, headers: &HeaderMap) -> Context {
        self.propagator.extract_with_context(&Context::new(), &Headers(headers))
    }

    /// In what an event was created; `None` = it does not say, or not well.
    pub(super) fn of_event(&self, event: &Event) -> Option<SpanContext> {
        event.attribute(TRACEPARENT)?;
        let context = self
            .propagator
            .extract_with_context(&Context::new(), &Attributes(event));
        let found = context.span().span_context().clone();
        found.is_valid().then_some(found)
    }

    /// The same, where it says that it is sampled.
    pub(super) fn of_sampled_event(&self, event: &Event) -> Option<SpanContext> {
        // Most are not: look at the last digit before all are read.
        let text = event.attribute(TRACEPARENT).and_then(Value::as_text)?;
        let flags = text.as_bytes().last().and_then(|digit| char::from(*digit).to_digit(16));
        match flags {
            Some(flags) if flags % 2 == 1 => self.of_event(event).filter(SpanContext::is_sampled),
            _ => None,
        }
    }
}

/// Whether the producer, or whoever had the event before, says in what it was created.
pub(super) fn has_context(event: &Event) -> bool {
    [TRACEPARENT, TRACESTATE]
        .iter()
        .any(|name| event.attribute(name).is_some())
}

/// The attributes that say that an event was created in this.
pub(super) fn attributes(context: &SpanContext) -> Vec<(&'static str, String)> {
    let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags().to_u8());
    let state = context.trace_state().header();
    let parent = (TRACEPARENT, format!("00-{trace}-{span}-{flags:02x}"));
    [parent]
        .into_iter()
        .chain((!state.is_empty()).then_some((TRACESTATE, state)))
        .collect()
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(hyper::header::HeaderName::as_str).collect()
    }
}

struct Attributes<'a>(&'a Event);

impl Extractor for Attributes<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.attribute(name)?.as_text().map(|text| &**text)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.attributes().iter().map(|(name, _)| &**name).collect()
    }
}
