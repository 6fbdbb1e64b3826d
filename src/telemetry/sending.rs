//! Metrics on their way to a collector, at an interval: they are what /metrics tells, read where it reads, so that each thing is
//! measured once, whoever asks for it.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use opentelemetry_otlp::MetricExporter;
use opentelemetry_prometheus::PrometheusExporter;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    metrics::{
        InstrumentKind, Pipeline, Temporality, data::ResourceMetrics, exporter::PushMetricExporter as _,
        reader::MetricReader,
    },
};
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::told::Told;

/// What is measured, for the provider to keep and for others to read.
#[derive(Clone, Debug)]
pub(super) struct Reader(Arc<PrometheusExporter>);

impl Reader {
    pub(super) fn new(exporter: PrometheusExporter) -> Self {
        Self(Arc::new(exporter))
    }
}

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

/// The task that sends them, until this is dropped; then once more.
pub(super) struct Sending {
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Sending {
    pub(super) fn start(reader: Reader, exporter: MetricExporter, interval: Duration) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(send(reader, exporter, interval, stop.clone()));
        let stop = stop.drop_guard();
        Self { stop, task }
    }

    /// Waits until they were sent once more.
    pub(super) async fn stop(self) {
        drop(self.stop);
        let _ = self.task.await;
    }
}

async fn send(reader: Reader, exporter: MetricExporter, interval: Duration, stop: CancellationToken) {
    let mut ticks = interval_at(Instant::now() + interval, interval);
    // A slow collector is not sent them more often afterwards.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let told = Told::of("metrics");
    loop {
        let is_last = tokio::select! {
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        let sent = send_once(reader.clone(), &exporter).await;
        told.hear(&sent);
        if is_last {
            break;
        }
    }
}

async fn send_once(reader: Reader, exporter: &MetricExporter) -> Result<(), String> {
    let collect = move || {
        let mut metrics = ResourceMetrics::default();
        reader.collect(&mut metrics).map(|()| metrics)
    };
    // With thousands of groups that takes a while.
    let metrics = spawn_blocking(collect).await.map_err(|error| error.to_string())?;
    let metrics = metrics.map_err(|error| error.to_string())?;
    exporter.export(&metrics).await.map_err(|error| error.to_string())
}
