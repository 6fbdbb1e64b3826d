//! `[telemetry]`: log lines, metrics, traces, and the collector that is sent what is measured and traced.

use std::{fmt, time::Duration};

use super::{
    layer::Raw,
    reader::Reader,
    sections::longer_than_zero,
    setting::{Setting, Word},
};

/// `[telemetry]`
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    pub log_level: LogLevel,
    pub log_format: LogFormat,
    pub max_metric_groups: u32,
    pub max_metric_topics: u32,
    /// 0 to 1, of calls that come without a decision.
    pub sample_ratio: f64,
    pub add_traceparent: bool,
    pub otlp: Otlp,
}

/// `[telemetry.otlp]`
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// `None` = nothing is sent, and nothing traced.
    pub endpoint: Option<String>,
    pub protocol: OtlpProtocol,
    pub headers: Vec<(String, Secret)>,
    pub timeout: Duration,
    pub service_name: String,
    pub traces: bool,
    pub metrics: bool,
    pub metrics_interval: Duration,
}

/// How the collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    Grpc,
    Http,
}

/// The least severe log lines that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// What nobody is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

const HEADERS: &str = "telemetry.otlp.headers";

pub(super) fn read(reader: &mut Reader) -> Telemetry {
    let most = |count: u32| count <= 100_000;
    Telemetry {
        log_level: reader.take("telemetry.log_level"),
        log_format: reader.take("telemetry.log_format"),
        max_metric_groups: reader.take_if("telemetry.max_metric_groups", most, "at most 100000"),
        max_metric_topics: reader.take_if("telemetry.max_metric_topics", most, "at most 100000"),
        sample_ratio: reader.take_if(
            "telemetry.sample_ratio",
            |ratio: f64| (0.0..=1.0).contains(&ratio),
            "from 0 to 1",
        ),
        add_traceparent: reader.take("telemetry.add_traceparent"),
        otlp: otlp(reader),
    }
}

fn otlp(reader: &mut Reader) -> Otlp {
    let endpoint = reader.optional::<String>("telemetry.otlp.endpoint");
    reader.demand(
        "telemetry.otlp.endpoint",
        endpoint.as_deref().is_none_or(is_base),
        "must begin with http:// or https://, and have a host and no user",
    );
    Otlp {
        endpoint,
        protocol: reader.take("telemetry.otlp.protocol"),
        timeout: reader.take_if("telemetry.otlp.timeout", longer_than_zero, "longer than 0"),
        service_name: reader.take("telemetry.otlp.service_name"),
        traces: reader.take("telemetry.otlp.traces"),
        metrics: reader.take("telemetry.otlp.metrics"),
        metrics_interval: reader.take_if("telemetry.otlp.metrics_interval", longer_than_zero, "longer than 0"),
        headers: reader.take_all(HEADERS, |name| (!is_header(name)).then(|| HEADER_RULE.to_owned())),
    }
}

const HEADER_RULE: &str = "is no name of a header: lower-case letters, digits and -";

fn is_header(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.bytes().all(is_part)
}

/// Whoever the collector is told by headers that it is must not stand in the URL, which is shown.
fn is_base(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split('/').next());
    host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
}

/// What is not for everybody's eyes.
pub(super) fn is_secret(key: &str) -> bool {
    key.strip_prefix(HEADERS).is_some_and(|rest| rest.starts_with('.'))
}

impl Word for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Word for OtlpProtocol {
    const WORDS: &'static [(&'static str, Self)] = &[("grpc", Self::Grpc), ("http", Self::Http)];
}

impl Word for LogLevel {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

impl Setting for Secret {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) | Raw::Bare(text) if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
                Ok(Self(text.clone()))
            }
            _ => Err("must be text of printable ASCII characters in quotes".to_owned()),
        }
    }

    fn show(&self) -> String {
        "(secret)".to_owned().show()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
