//! Traces: one goes from the publish to the ack, as the conventions of OpenTelemetry say, and as far as it is sampled.

mod logs;
mod sending;

use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use tidings::proto::{
    io::cloudevents::v1::{
        CloudEvent, cloud_event::CloudEventAttributeValue, cloud_event::cloud_event_attribute_value::Attr,
    },
    tidings::v1::{Delivery, PublishRequest},
};
use tonic::Request;

use crate::{
    LOG,
    harness::{
        Server,
        backend::Backend,
        clients::{ORDERS, open, order, request, text},
        collector::{Collector, attributes, hex},
        within,
    },
};

const PUBLISH: &str = "tidings.v1.PublisherService/Publish";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A server that sends its spans to this collector.
async fn tracing_to(collector: &Collector, telemetry: &str) -> Server {
    let otlp = format!("endpoint = \"http://{}\"\nmetrics = false\n", collector.grpc);
    Server::start_with(&format!("[telemetry]\n{telemetry}\n[telemetry.otlp]\n{otlp}")).await
}

/// In this trace, sampled where `flags` is 01.
fn traceparent(span: &str, flags: &str) -> String {
    format!("00-{TRACE}-{span}-{flags}")
}

/// A publish whose call has this trace context.
async fn publish_in(server: &Server, context: Option<&str>, event: CloudEvent) {
    let mut call: Request<PublishRequest> = Request::new(request([event]));
    if let Some(context) = context {
        let metadata = call.metadata_mut();
        metadata.insert("traceparent", context.parse().expect("ASCII"));
        metadata.insert("tracestate", "vendor=call".parse().expect("ASCII"));
    }
    within("a publish", server.publisher().publish(call))
        .await
        .expect("publish");
}

fn created_in(event: CloudEvent, context: &str) -> CloudEvent {
    let mut event = event;
    event.attributes.insert("traceparent".to_owned(), text(context));
    event.attributes.insert("tracestate".to_owned(), text("vendor=event"));
    event
}

/// What stands in an attribute of a delivered event.
fn attribute(delivery: &Delivery, name: &str) -> Option<String> {
    let CloudEventAttributeValue { attr } = delivery.event.as_ref()?.attributes.get(name)?;
    match attr {
        Some(Attr::CeString(text)) => Some(text.clone()),
        other => panic!("{name} is no string: {other:?}"),
    }
}

fn links(span: &Span) -> Vec<String> {
    span.links.iter().map(|link| hex(&link.span_id)).collect()
}

fn check<const N: usize>(span: &Span, kind: SpanKind, wanted: [(&str, &str); N]) {
    assert_eq!((span.kind(), hex(&span.trace_id).as_str()), (kind, TRACE), "{span:?}");
    let attributes = attributes(&span.attributes);
    for (name, value) in wanted {
        assert_eq!(
            attributes.get(name).map(String::as_str),
            Some(value),
            "{name} of {attributes:?}"
        );
    }
}

fn system() -> (&'static str, &'static str) {
    match LOG {
        Backend::Embedded => ("messaging.system", "tidings"),
        Backend::Kafka => ("messaging.system", "kafka"),
    }
}

fn offset() -> &'static str {
    match LOG {
        Backend::Embedded => "tidings.offset",
        Backend::Kafka => "messaging.kafka.offset",
    }
}

#[tokio::test]
async fn one_trace_goes_from_the_publish_to_the_ack_and_links_to_what_the_producer_said() {
    let (caller, producer) = ("00000000000000aa", "00000000000000bb");
    let collector = Collector::start().await;
    let server = tracing_to(&collector, "").await;
    let context = traceparent(producer, "01");
    publish_in(
        &server,
        Some(&traceparent(caller, "01")),
        created_in(order("1", "a"), &context),
    )
    .await;
    let mut stream = server.subscribe(open("billing")).await;
    let got = stream.deliveries(1).await;
    assert_eq!(attribute(&got[0], "traceparent"), Some(context));
    assert_eq!(attribute(&got[0], "tracestate").as_deref(), Some("vendor=event"));
    stream.ack(&got);

    let call = collector.span(PUBLISH).await;
    let named = [
        ("rpc.system.name", "grpc"),
        ("rpc.method", PUBLISH),
        ("rpc.response.status_code", "OK"),
    ];
    check(&call, SpanKind::Server, named);
    assert_eq!(hex(&call.parent_span_id), caller);
    let at = [
        system(),
        ("messaging.destination.name", ORDERS),
        ("messaging.message.id", "1"),
        (offset(), "0"),
    ];
    let send = collector.span(&format!("send {ORDERS}")).await;
    check(&send, SpanKind::Client, at);
    check(
        &send,
        SpanKind::Client,
        [
            ("messaging.operation.name", "send"),
            ("messaging.operation.type", "send"),
        ],
    );
    assert_eq!(
        (send.parent_span_id.clone(), links(&send)),
        (call.span_id, vec![producer.to_owned()])
    );
    let group = [("messaging.consumer.group.name", "billing")];
    let deliver = collector.span(&format!("deliver {ORDERS}")).await;
    check(&deliver, SpanKind::Consumer, at);
    check(&deliver, SpanKind::Consumer, group);
    check(&deliver, SpanKind::Consumer, [("messaging.operation.type", "process")]);
    assert_eq!(
        (hex(&deliver.parent_span_id).as_str(), links(&deliver)),
        (producer, vec![producer.to_owned()])
    );
    let ack = collector.span(&format!("ack {ORDERS}")).await;
    check(&ack, SpanKind::Client, group);
    check(
        &ack,
        SpanKind::Client,
        [("messaging.operation.type", "settle"), (offset(), "0")],
    );
    assert_eq!(
        (ack.parent_span_id.clone(), links(&ack)),
        (deliver.span_id, vec![producer.to_owned()])
    );
}

#[tokio::test]
async fn an_event_without_a_context_gets_that_of_its_publish() {
    let collector = Collector::start().await;
    let server = tracing_to(&collector, "").await;
    publish_in(&server, Some(&traceparent("00000000000000aa", "01")), order("1", "a")).await;
    let got = server.subscribe(open("billing")).await.deliveries(1).await;
    let send = collector.span(&format!("send {ORDERS}")).await;
    check(&send, SpanKind::Producer, [system()]);
    assert_eq!(
        attribute(&got[0], "traceparent"),
        Some(traceparent(&hex(&send.span_id), "01"))
    );
    assert_eq!(attribute(&got[0], "tracestate").as_deref(), Some("vendor=call"));
    let deliver = collector.span(&format!("deliver {ORDERS}")).await;
    assert_eq!(deliver.parent_span_id, send.span_id);
}

#[tokio::test]
async fn events_stay_as_they_are_where_nothing_is_to_be_added() {
    let collector = Collector::start().await;
    let untraced = Server::start().await;
    let unwanted = tracing_to(&collector, "add_traceparent = false").await;
    for server in [&untraced, &unwanted] {
        publish_in(server, Some(&traceparent("00000000000000aa", "01")), order("1", "a")).await;
        let got = server.subscribe(open("billing")).await.deliveries(1).await;
        assert_eq!(attribute(&got[0], "traceparent"), None);
    }
    collector.span(&format!("send {ORDERS}")).await;
}

#[tokio::test]
async fn calls_are_traced_as_their_callers_have_decided_or_else_by_the_ratio() {
    let collector = Collector::start().await;
    let server = tracing_to(&collector, "sample_ratio = 0").await;
    publish_in(&server, None, order("none", "a")).await;
    publish_in(
        &server,
        Some(&traceparent("00000000000000cc", "00")),
        order("unsampled", "a"),
    )
    .await;
    publish_in(
        &server,
        Some(&traceparent("00000000000000aa", "01")),
        order("sampled", "a"),
    )
    .await;
    let mut stream = server.subscribe(open("billing")).await;
    let mut got = stream.deliveries(1).await;
    assert_eq!(attribute(&got[0], "traceparent"), None);
    stream.ack(&got);
    got = stream.deliveries(1).await;
    // That the trace is not sampled is what others are to know.
    let context = attribute(&got[0], "traceparent").expect("a context");
    assert!(
        context.starts_with(&format!("00-{TRACE}-")) && context.ends_with("-00"),
        "{context}"
    );
    stream.ack(&got);
    let got = stream.deliveries(1).await;
    stream.ack(&got);
    collector.span(&format!("ack {ORDERS}")).await;
    let names: Vec<String> = collector.spans().into_iter().map(|span| span.name).collect();
    assert_eq!(names.iter().filter(|name| *name == PUBLISH).count(), 1, "{names:?}");
    assert_eq!(
        names.iter().filter(|name| name.starts_with("deliver")).count(),
        1,
        "{names:?}"
    );

    let all = Collector::start().await;
    let server = tracing_to(&all, "sample_ratio = 1").await;
    publish_in(&server, None, order("1", "a")).await;
    assert_eq!(all.span(PUBLISH).await.parent_span_id, Vec::<u8>::new());
}

#[tokio::test]
async fn a_publish_that_fails_is_a_failed_span() {
    let collector = Collector::start().await;
    let server = tracing_to(&collector, "").await;
    let mut call = Request::new(PublishRequest::default());
    let context = traceparent("00000000000000aa", "01");
    call.metadata_mut()
        .insert("traceparent", context.parse().expect("ASCII"));
    within("a refusal", server.publisher().publish(call))
        .await
        .expect_err("no events");
    let call = collector.span(PUBLISH).await;
    check(
        &call,
        SpanKind::Server,
        [("rpc.response.status_code", "INVALID_ARGUMENT")],
    );
    // It is the caller's.
    assert_eq!(call.status.unwrap_or_default().code, 0);
}
