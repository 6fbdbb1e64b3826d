//! Telemetry: what the bus tells of itself, as metrics of OpenTelemetry; read when somebody asks, and not before.
//!
//! ```text
//! Bus::observe ──▶ Snapshots ──▶ instruments, each with a callback ──▶ OpenTelemetry ──▶ text for Prometheus
//! ```

mod instruments;
mod rows;
mod snapshots;

use std::{fmt::Display, sync::Arc};

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::{
    Resource,
    metrics::{Instrument, SdkMeterProvider, Stream},
};
use prometheus::{Registry, TextEncoder};

use self::{rows::most_series, snapshots::Snapshots};
use crate::{
    bus::Bus,
    error::{Error, Reason, Result},
};

/// The media type of [`Metrics::text`].
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics there are; docs/metrics.md lists them.
pub struct Metrics {
    registry: Registry,
    /// Instruments tell something for as long as it is there.
    _provider: SdkMeterProvider,
}

impl Metrics {
    /// Of this bus, whose log has this name.
    pub fn of(bus: &Bus, log: &'static str) -> Result<Self> {
        let registry = Registry::new();
        // Every metric is ours, and of one resource: to say so on each line makes lines long.
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .map_err(|error| failed("set up", error))?;
        let groups = bus.settings().metric_groups;
        // Without a limit of its own, OpenTelemetry puts all series of an instrument beyond 2,000 into one.
        let limited = move |instrument: &Instrument| {
            let most = most_series(instrument.name(), groups);
            Stream::builder().with_cardinality_limit(most).build().ok()
        };
        let provider = SdkMeterProvider::builder()
            .with_resource(Resource::builder_empty().with_service_name("tidings").build())
            .with_reader(reader)
            .with_view(limited)
            .build();
        let snapshots = Arc::new(Snapshots::of(bus.clone()));
        instruments::make(&provider.meter("tidings"), &snapshots, log);
        Ok(Self {
            registry,
            _provider: provider,
        })
    }

    /// All values, as Prometheus reads them. With a thousand groups it takes a hundred milliseconds and gives a megabyte.
    pub fn text(&self) -> Result<String> {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .map_err(|error| failed("write", error))
    }
}

fn failed(what: &str, error: impl Display) -> Error {
    Error::new(Reason::Internal, format!("{what} the metrics: {error}"))
}
