//! Telemetry: what the bus tells of itself, as metrics and spans of OpenTelemetry, and as log lines.
//!
//! ```text
//! Bus::observe ──▶ Snapshots ──▶ instruments with callbacks ──┐
//! calls, publishes, deliveries, appends ──▶ Meters ───────────┴─▶ OpenTelemetry ──▶ text for Prometheus
//!                                      └──▶ Traces ───────────────▶ spans ─────┴──▶ OTLP, where a collector is configured
//! ```

mod logs;
mod instruments;
mod rows;
mod snapshots;
mod meters;
mod told;
mod topics;
mod traces;
mod calls;
mod publishing;
mod delivering;
mod collector;
mod sending;
mod http;

use std::{
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use opentelemetry::{KeyValue, metrics::MeterProvider as _};
use opentelemetry_sdk::{
    Resource,
    metrics::{Aggregation, Instrument, InstrumentKind, SdkMeterProvider, Stream},
};
use prometheus::{Registry, TextEncoder};
use tokio::{task::spawn_blocking, time::timeout};

pub use self::{
    calls::{Call, CallContext, Method},
    collector::{Collector, Transport},
    delivering::{Delivering, Settling},
    logs::{LogLevels, LogLines},
    publishing::Publishing,
};
use self::{
    meters::Meters,
    rows::Most,
    sending::{Reader, Sending},
    snapshots::Snapshots,
    traces::Traces,
};
use crate::{
    bus::Bus,
    error::{Error, Reason, Result},
};

/// The media type of [`Telemetry::text`].
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The scope of our instruments.
const OURS: &str = "tidings";

/// For the last spans and metrics on their way to the collector.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What is told, and to whom.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the log.
    pub log: &'static str,
    /// The most topics that are told one by one.
    pub topics: usize,
    /// Of calls that come without a trace context, the share that is traced.
    pub sample_ratio: f64,
    /// Events without a trace context get that of their publish.
    pub add_traceparent: bool,
    /// `None` = nothing is traced.
    pub collector: Option<Collector>,
}

/// All that is told, by all that have something to tell. Cloning it is cheap.
#[derive(Clone)]
pub struct Telemetry(Arc<Inner>);

struct Inner {
    registry: Registry,
    /// Instruments tell something for as long as it is there.
    provider: SdkMeterProvider,
    meters: Meters,
    /// `None` = nothing is traced.
    traces: Option<Traces>,
    /// Metrics, to a collector, until they stop.
    sending: Mutex<Option<Sending>>,
}

impl Telemetry {
    /// Of this bus. Where there is a collector, the runtime that this is called on sends to it.
    pub fn start(bus: &Bus, settings: &Settings) -> Result<Self> {
        let registry = Registry::new();
        let resource = resource(settings, bus.replica_id());
        let mut builder = SdkMeterProvider::builder()
            .with_resource(resource.clone())
            .with_view(limited(Most {
                groups: bus.settings().metric_groups,
                topics: settings.topics,
            }));
        let reader = reader(&registry)?;
        builder = builder.with_reader(reader.clone());
        let provider = builder.build();
        let collector = settings.collector.as_ref();
        let metrics = collector.and_then(|collector| collector.takes_metrics.map(|interval| (collector, interval)));
        let sending = match metrics {
            Some((collector, interval)) => Some(Sending::start(reader, collector.metric_exporter()?, interval)),
            None => None,
        };
        let traces = match &settings.collector {
            Some(collector) if collector.takes_traces => Some(Traces::start(collector, settings, resource)?),
            _ => None,
        };
        let meter = provider.meter(OURS);
        instruments::make(&meter, &Arc::new(Snapshots::of(bus.clone())), settings.log);
        Ok(Self(Arc::new(Inner {
            registry,
            meters: Meters::new(&meter, settings),
            provider,
            traces,
            sending: Mutex::new(sending),
        })))
    }

    /// All metrics, as Prometheus reads them. With a thousand groups it takes a hundred milliseconds and gives a megabyte.
    pub fn text(&self) -> Result<String> {
        TextEncoder::new()
            .encode_to_string(&self.0.registry.gather())
            .map_err(|error| failed("write the metrics", error))
    }

    /// What hears how long appends took.
    pub fn append_listener(&self) -> impl Fn(Duration) + Send + Sync + use<> {
        let telemetry = self.clone();
        move |took| telemetry.meters().appended(took)
    }

    /// What quotas refuse is told from now on.
    pub fn quotas(&self, refused: impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + 'static) {
        instruments::quotas(&self.0.provider.meter(OURS), refused);
    }

    /// Clients have so many connections open.
    pub fn connections(&self, open: usize) {
        self.meters().connections(open);
    }

    /// They may have so many.
    pub fn connections_limit(&self, most: u32) {
        self.meters().connections_limit(most);
    }

    /// A connection was closed as it came: there were as many as there may be.
    pub fn connection_refused(&self) {
        self.meters().connection_refused();
    }

    /// Sends what was not sent yet, for a moment; nothing is told after that.
    pub async fn stop(&self) {
        let (metrics, traces) = (self.clone(), self.clone());
        let sending = self.0.sending.lock().unwrap_or_else(PoisonError::into_inner).take();
        let metrics = async {
            if let Some(sending) = sending {
                sending.stop().await;
            }
            spawn_blocking(move || metrics.0.provider.shutdown()).await
        };
        let traces = spawn_blocking(move || traces.traces().map_or(Ok(()), Traces::stop));
        let Ok((metrics, traces)) = timeout(LAST_WORDS, async { tokio::join!(metrics, traces) }).await else {
            tracing::warn!("the collector took too long to take the last of the telemetry");
            return;
        };
        for error in [metrics, traces]
            .into_iter()
            .flatten()
            .filter_map(std::result::Result::err)
        {
            tracing::warn!(%error, "cannot send the last of the telemetry");
        }
    }

    fn meters(&self) -> &Meters {
        &self.0.meters
    }

    fn traces(&self) -> Option<&Traces> {
        self.0.traces.as_ref()
    }
}

fn reader(registry: &Registry) -> Result<Reader> {
    // To say on each line of whom it is makes lines long: it is one server that is asked.
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .without_target_info()
        .build();
    exporter
        .map(Reader::new)
        .map_err(|error| failed("set up the metrics", error))
}

/// Without a limit of its own, OpenTelemetry puts all series of an instrument beyond 2,000 into one.
fn limited(most: Most) -> impl Fn(&Instrument) -> Option<Stream> + Send + Sync + 'static {
    move |instrument| {
        let stream = Stream::builder().with_cardinality_limit(most.series(instrument.name()));
        let stream = match instrument.kind() {
            InstrumentKind::Histogram => stream.with_aggregation(Aggregation::ExplicitBucketHistogram {
                boundaries: rows::boundaries(instrument.name()).to_vec(),
                record_min_max: false,
            }),
            _ => stream,
        };
        stream.build().ok()
    }
}

/// Who tells. Without a collector nobody asks.
fn resource(settings: &Settings, replica_id: &str) -> Resource {
    let Some(collector) = &settings.collector else {
        return Resource::builder_empty().build();
    };
    Resource::builder()
        .with_service_name(collector.service_name.clone())
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", replica_id.to_owned()),
        ])
        .build()
}

fn failed(what: &str, error: impl Display) -> Error {
    Error::new(Reason::Internal, format!("{what}: {error}"))
}
