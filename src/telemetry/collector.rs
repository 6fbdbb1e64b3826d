//! The collector of OpenTelemetry that spans and metrics are sent to, by OTLP over gRPC or HTTP.

use std::{collections::HashMap, fmt, time::Duration};

use hyper::HeaderMap;
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
    tonic_types::metadata::MetadataMap,
};

use super::{failed, http::Client};
use crate::error::Result;

/// Where it is, and what it is sent.
#[derive(Clone)]
pub struct Collector {
    /// For HTTP without the path.
    pub endpoint: String,
    pub transport: Transport,
    /// With all that is sent; secrets are among them.
    pub headers: Vec<(String, String)>,
    /// For one answer.
    pub timeout: Duration,
    pub service_name: String,
    pub takes_traces: bool,
    /// How often it is sent metrics; `None` = never.
    pub takes_metrics: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Grpc,
    Http,
}

impl Collector {
    pub(super) fn span_exporter(&self) -> Result<SpanExporter> {
        let built = match self.transport {
            Transport::Grpc => self.by_grpc(SpanExporter::builder().with_tonic())?.build(),
            Transport::Http => self.by_http(SpanExporter::builder().with_http(), "v1/traces")?.build(),
        };
        built.map_err(|error| bad(&error))
    }

    pub(super) fn metric_exporter(&self) -> Result<MetricExporter> {
        let built = match self.transport {
            Transport::Grpc => self.by_grpc(MetricExporter::builder().with_tonic())?.build(),
            Transport::Http => self
                .by_http(MetricExporter::builder().with_http(), "v1/metrics")?
                .build(),
        };
        built.map_err(|error| bad(&error))
    }

    fn by_grpc<B: WithExportConfig + WithTonicConfig>(&self, builder: B) -> Result<B> {
        let headers: HeaderMap = (&self.header_map())
            .try_into()
            .map_err(|error: hyper::http::Error| failed("read telemetry.otlp.headers", error))?;
        Ok(builder
            .with_endpoint(&self.endpoint)
            .with_timeout(self.timeout)
            .with_retry_policy(RetryPolicy::recommended())
            .with_metadata(MetadataMap::from_headers(headers)))
    }

    fn by_http<B: WithExportConfig + WithHttpConfig>(&self, builder: B, path: &str) -> Result<B> {
        let base = self.endpoint.trim_end_matches('/');
        Ok(builder
            .with_endpoint(format!("{base}/{path}"))
            .with_timeout(self.timeout)
            .with_retry_policy(RetryPolicy::recommended())
            .with_headers(self.header_map())
            .with_http_client(Client::new(self.timeout)?))
    }

    fn header_map(&self) -> HashMap<String, String> {
        self.headers.iter().cloned().collect()
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector")
            .field("endpoint", &self.endpoint)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

fn bad(error: &ExporterBuildError) -> crate::error::Error {
    failed("set up telemetry.otlp", error)
}
