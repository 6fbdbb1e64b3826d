//! One call of a client, from its headers to the end of its answer: how long it took, its span, and what the log tells of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{HeaderMap, http::uri::Authority};
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanBuilder, SpanKind, Status, TraceContextExt as _},
};
use tracing::Span;

use super::{Telemetry, traces::Traces};

/// The names of the codes of gRPC, from 0 on.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
const CANCELLED: usize = 1;
const UNKNOWN: usize = 2;
/// Those that are faults of a server, by the conventions for spans.
const FAULTS: [&str; 6] = [
    "UNKNOWN",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
];

const REQUEST_ID: &str = "x-request-id";
/// Whoever calls says what it is.
const LONGEST_ID: usize = 128;

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// `package.Service/Method`, or `_OTHER`.
    pub name: &'static str,
    /// Each of its calls is told in the log when it begins and when it ends.
    pub is_told: bool,
}

/// A call that goes on. Dropped before it has ended, its client has gone.
pub struct Call {
    telemetry: Telemetry,
    method: Method,
    began: Instant,
    context: CallContext,
    log: Span,
    has_ended: bool,
}

/// What a call's handler knows of it; an extension of its request.
#[derive(Clone, Default)]
pub struct CallContext {
    /// Its span, where that matters to anybody: it is sampled, or the client's trace goes on there.
    pub(super) trace: Option<Context>,
    /// How many events went in or out.
    events: Option<Arc<AtomicU64>>,
}

impl Telemetry {
    /// A call begins.
    pub fn call(&self, method: Method, headers: &HeaderMap, authority: Option<&Authority>) -> Call {
        let trace = self
            .traces()
            .and_then(|traces| trace(traces, method, headers, authority));
        Call {
            telemetry: self.clone(),
            method,
            began: Instant::now(),
            log: log_span(headers, trace.as_ref()),
            context: CallContext {
                trace,
                events: method.is_told.then(Arc::default),
            },
            has_ended: false,
        }
    }
}

impl Call {
    /// `None` = nobody asks what becomes of it.
    pub fn context(&self) -> Option<CallContext> {
        let CallContext { trace, events } = &self.context;
        (trace.is_some() || events.is_some()).then(|| self.context.clone())
    }

    /// What is written to the log within the call is of this.
    pub fn log(&self) -> &Span {
        &self.log
    }

    /// The service has begun to answer.
    pub fn opened(&self) {
        if self.method.is_told {
            tracing::info!(parent: &self.log, method = self.method.name, "stream opened");
        }
    }

    /// Its answer has ended with this code of gRPC.
    pub fn end(&mut self, code: i32) {
        let code = usize::try_from(code).unwrap_or(UNKNOWN);
        self.ended(CODES.get(code).unwrap_or(&CODES[UNKNOWN]));
    }

    fn ended(&mut self, status: &'static str) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let (took, is_fault) = (self.began.elapsed(), FAULTS.contains(&status));
        self.telemetry.meters().called(self.method.name, status, is_fault, took);
        if let Some(trace) = &self.context.trace {
            let span = trace.span();
            span.set_attribute(KeyValue::new("rpc.response.status_code", status));
            if is_fault {
                span.set_attribute(KeyValue::new("error.type", status));
                span.set_status(Status::error(""));
            }
            span.end();
        }
        self.tell(status, took);
    }

    fn tell(&self, status: &'static str, took: Duration) {
        if let Some(events) = &self.context.events {
            tracing::info!(
                parent: &self.log,
                method = self.method.name,
                events = events.load(Ordering::Relaxed),
                duration_ms = took.as_millis() as u64,
                reason = status,
                "stream closed"
            );
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.ended(CODES[CANCELLED]);
    }
}

impl CallContext {
    /// So many events more went in or out.
    pub fn count(&self, events: usize) {
        if let Some(count) = &self.events {
            count.fetch_add(events as u64, Ordering::Relaxed);
        }
    }
}

fn trace(traces: &Traces, method: Method, headers: &HeaderMap, authority: Option<&Authority>) -> Option<Context> {
    let parent = traces.of_call(headers);
    if !parent.has_active_span() && !traces.draws() {
        return None;
    }
    let mut attributes = vec![
        KeyValue::new("rpc.system.name", "grpc"),
        KeyValue::new("rpc.method", method.name),
    ];
    if let Some(authority) = authority {
        attributes.push(KeyValue::new("server.address", authority.host().to_owned()));
        let port = authority.port_u16().map(i64::from);
        attributes.extend(port.map(|port| KeyValue::new("server.port", port)));
    }
    let span = SpanBuilder::from_name(method.name)
        .with_kind(SpanKind::Server)
        .with_attributes(attributes);
    Some(traces.begin(span, &parent))
}

/// None where there is nothing to say.
fn log_span(headers: &HeaderMap, trace: Option<&Context>) -> Span {
    let request_id = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let request_id = request_id.map(|id| &id[..id.len().min(LONGEST_ID)]);
    let sampled = trace.map(|trace| trace.span().span_context().clone());
    let sampled = sampled.filter(opentelemetry::trace::SpanContext::is_sampled);
    if request_id.is_none() && sampled.is_none() {
        return Span::none();
    }
    let trace_id = sampled.as_ref().map(|context| context.trace_id().to_string());
    let span_id = sampled.as_ref().map(|context| context.span_id().to_string());
    // Of the severest level, so that the ids stand in every line that is written.
    tracing::error_span!(
        "call",
        request_id,
        trace_id = trace_id.as_deref(),
        span_id = span_id.as_deref()
    )
}
