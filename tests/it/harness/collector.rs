//! A collector of OpenTelemetry: takes spans and metrics by gRPC and by HTTP, and keeps them for the test.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    metrics::v1::Metric,
    trace::v1::Span,
};
use prost::Message as _;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use super::within;

/// A running collector. Dropped, it ends.
pub(crate) struct Collector {
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    kept: Kept,
    serving: [JoinHandle<()>; 2],
}

#[derive(Clone)]
struct Kept(Arc<watch::Sender<Everything>>);

#[derive(Default)]
struct Everything {
    spans: Vec<Span>,
    metrics: Vec<Metric>,
    /// Of the last that sent something.
    resource: BTreeMap<String, String>,
    authorization: String,
}

/// An attribute's value as text; a number's digits.
pub(crate) type Attributes = BTreeMap<String, String>;

impl Collector {
    pub(crate) async fn start() -> Self {
        let kept = Kept(Arc::new(watch::Sender::new(Everything::default())));
        let (grpc, http) = (listener().await, listener().await);
        let addresses = [&grpc, &http].map(|listener| listener.local_addr().expect("an address"));
        Self {
            grpc: addresses[0],
            http: addresses[1],
            serving: [
                tokio::spawn(serve_grpc(grpc, kept.clone())),
                tokio::spawn(serve_http(http, kept.clone())),
            ],
            kept,
        }
    }

    /// The first span of this name.
    pub(crate) async fn span(&self, name: &str) -> Span {
        let found = |all: &Everything| all.spans.iter().find(|span| span.name == name).cloned();
        self.wait_for(&format!("a span {name:?}"), found).await
    }

    /// All that came until now.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.kept.0.borrow().spans.clone()
    }

    pub(crate) async fn metric(&self, name: &str) -> Metric {
        let found = |all: &Everything| all.metrics.iter().find(|metric| metric.name == name).cloned();
        self.wait_for(&format!("a metric {name:?}"), found).await
    }

    /// What the last that sent something said of itself.
    pub(crate) fn resource(&self) -> Attributes {
        self.kept.0.borrow().resource.clone()
    }

    pub(crate) fn authorization(&self) -> String {
        self.kept.0.borrow().authorization.clone()
    }

    async fn wait_for<T>(&self, what: &str, found: impl Fn(&Everything) -> Option<T>) -> T {
        let mut all = self.kept.0.subscribe();
        let all = within(what, all.wait_for(|all| found(all).is_some()))
            .await
            .expect("the collector runs");
        found(&all).expect("it was waited for")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

pub(crate) fn attributes(of: &[KeyValue]) -> Attributes {
    of.iter()
        .map(|one| (one.key.clone(), text(one.value.as_ref())))
        .collect()
}

/// As in a `traceparent`.
pub(crate) fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

impl Kept {
    fn spans(&self, request: ExportTraceServiceRequest, authorization: String) {
        self.0.send_modify(|all| {
            all.authorization = authorization;
            for of in request.resource_spans {
                all.resource = attributes(&of.resource.unwrap_or_default().attributes);
                all.spans.extend(of.scope_spans.into_iter().flat_map(|of| of.spans));
            }
        });
    }

    fn metrics(&self, request: ExportMetricsServiceRequest, authorization: String) {
        self.0.send_modify(|all| {
            all.authorization = authorization;
            for of in request.resource_metrics {
                all.resource = attributes(&of.resource.unwrap_or_default().attributes);
                all.metrics
                    .extend(of.scope_metrics.into_iter().flat_map(|of| of.metrics));
            }
        });
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let authorization = authorization(request.metadata().as_ref());
        self.spans(request.into_inner(), authorization);
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Kept {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let authorization = authorization(request.metadata().as_ref());
        self.metrics(request.into_inner(), authorization);
        Ok(Response::new(Default::default()))
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

async fn serve_grpc(listener: TcpListener, kept: Kept) {
    Server::builder()
        .add_service(TraceServiceServer::new(kept.clone()))
        .add_service(MetricsServiceServer::new(kept))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await
        .expect("serve");
}

async fn serve_http(listener: TcpListener, kept: Kept) {
    let router = Router::new()
        .route("/v1/traces", post(traces_by_http))
        .route("/v1/metrics", post(metrics_by_http))
        .with_state(kept);
    axum::serve(listener, router).await.expect("serve");
}

async fn traces_by_http(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let request = ExportTraceServiceRequest::decode(body).expect("protobuf");
    kept.spans(request, authorization(&headers));
    [(CONTENT_TYPE, "application/x-protobuf")]
}

async fn metrics_by_http(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let request = ExportMetricsServiceRequest::decode(body).expect("protobuf");
    kept.metrics(request, authorization(&headers));
    [(CONTENT_TYPE, "application/x-protobuf")]
}

fn authorization(headers: &HeaderMap) -> String {
    let value = headers.get("authorization").and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}
