//! A collector that does not take what it is sent: told once for each time that it is away, and once when it is back.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter as Exporter},
};

/// Hears how each try ended.
#[derive(Debug)]
pub(super) struct Told {
    what: &'static str,
    is_lost: AtomicBool,
}

impl Told {
    /// `what` is sent, such as spans.
    pub(super) fn of(what: &'static str) -> Self {
        let is_lost = AtomicBool::new(false);
        Self { what, is_lost }
    }

    pub(super) fn hear<E: fmt::Display>(&self, sent: &Result<(), E>) {
        let (what, was_lost) = (self.what, self.is_lost.swap(sent.is_err(), Ordering::Relaxed));
        match (sent, was_lost) {
            (Err(error), false) => tracing::warn!(%error, "cannot send {what} to the collector, and go on trying"),
            (Ok(()), true) => tracing::info!("the collector takes {what} again"),
            _ => {}
        }
    }
}

/// An exporter whose failures are told here, and not by the processor, which tells each.
#[derive(Debug)]
pub(super) struct Telling {
    exporter: SpanExporter,
    told: Told,
}

impl Telling {
    pub(super) fn new(exporter: SpanExporter) -> Self {
        let told = Told::of("spans");
        Self { exporter, told }
    }
}

impl Exporter for Telling {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.told.hear(&self.exporter.export(batch).await);
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
