//! From the configuration to the values that each part is told.

use std::{sync::Arc, time::Duration};

use tracing::level_filters::LevelFilter;

use crate::{
    bus::{
        AfterDeadLetter, CheckpointRules, CommandSettings, DeliveryRule, DeliveryRules, Schedule, Settings,
        SnapshotSettings, Stores,
        delivery::{Credit, RetryPolicy},
    },
    config::{self, Backend, Config, Fsync, LogFormat, LogLevel, OtlpProtocol},
    convention::routes::{RouteSpec, Routes},
    error::{Error, Reason, Result},
    grpc::Limits,
    log::{
        AppendTimes, Log,
        embedded::{self, EmbeddedLog},
        kafka::{self, KafkaLog},
    },
    objects::{self, Objects},
    scratch::Scratch,
    telemetry::{self, Collector, LogLines, Transport},
};

/// The log, and its name for those who ask.
pub(super) async fn open_log(config: &Config, times: &AppendTimes) -> Result<(Arc<dyn Log>, &'static str)> {
    match config.log.backend {
        Backend::Embedded => Ok((open_embedded(config, times).await?, "embedded")),
        Backend::Kafka => Ok((open_kafka(config, times).await?, "kafka")),
    }
}

async fn open_kafka(config: &Config, times: &AppendTimes) -> Result<Arc<KafkaLog>> {
    let kafka = &config.log.kafka;
    let options = kafka::Options {
        bootstrap_servers: kafka.bootstrap_servers.clone(),
        topic_prefix: kafka.topic_prefix.clone(),
        group_id: kafka.group_id.clone(),
        max_record_bytes: bytes(config.limits.max_event_bytes.0),
        queue_bytes: bytes(kafka.queue_bytes.0),
        fetch_bytes: bytes(kafka.fetch_bytes.0),
        properties: kafka.properties.clone(),
        append_times: times.clone(),
    };
    let log = KafkaLog::open(options).await?;
    tracing::info!(bootstrap_servers = kafka.bootstrap_servers, "the log is on Kafka");
    Ok(log)
}

async fn open_embedded(config: &Config, times: &AppendTimes) -> Result<Arc<EmbeddedLog>> {
    let embedded = &config.log.embedded;
    let options = embedded::Options {
        directory: embedded.directory.clone(),
        fsync: match embedded.fsync {
            Fsync::Always => embedded::Fsync::Always,
            Fsync::Interval(interval) => embedded::Fsync::Interval(interval),
        },
        journal_bytes: embedded.journal_bytes.0,
        segment_bytes: embedded.segment_bytes.0,
        queue_bytes: bytes(embedded.queue_bytes.0),
        cache_bytes: bytes(embedded.cache_bytes.0),
        open_files: count(embedded.open_files),
        append_times: times.clone(),
    };
    let log = EmbeddedLog::open(options).await?;
    tracing::info!(directory = %embedded.directory.display(), "opened the embedded log");
    Ok(log)
}

pub(super) fn routes(config: &Config) -> Result<Routes> {
    let spec = |route: &crate::config::RouteConfig| RouteSpec {
        type_pattern: route.type_pattern.clone(),
        topic: route.topic.as_str().to_owned(),
        key: route.key.clone(),
    };
    let specs = config.routes.iter().map(spec).collect();
    Routes::new(specs).map_err(|faults| Error::faults(Reason::RequestInvalid, faults))
}

/// What lies beside the log, which need not be reachable yet.
pub(super) fn stores(config: &Config) -> Result<Stores> {
    let snapshots = &config.snapshots;
    let beside_log = (config.log.backend == Backend::Embedded).then_some(&config.log.embedded.directory);
    let objects = match (&snapshots.store, beside_log) {
        (Some(url), _) => Some(Objects::open(&objects::Options {
            url: url.clone(),
            options: snapshots.options.clone(),
        })?),
        (None, Some(directory)) => Some(Objects::in_directory(directory.join("snapshots"))?),
        (None, None) => None,
    };
    let spill = match (&snapshots.spill_directory, beside_log) {
        (Some(directory), _) => directory.clone(),
        (None, Some(directory)) => directory.join("spill"),
        (None, None) => std::env::temp_dir(),
    };
    Ok(Stores::new(objects, Scratch::new(spill)))
}

pub(super) fn bus_settings(config: &Config) -> Settings {
    let (limits, delivery) = (&config.limits, &config.delivery);
    Settings {
        max_event_bytes: bytes(limits.max_event_bytes.0),
        publish_bytes: bytes(limits.publish_bytes.0),
        streams: count(limits.streams),
        groups: count(limits.groups),
        group_buffer_bytes: bytes(limits.group_buffer_bytes.0),
        feed_bytes: bytes(limits.feed_bytes.0),
        max_credit: Credit {
            events: i64::from(limits.max_credit_events),
            bytes: Some(i64::try_from(limits.max_credit_bytes.0).unwrap_or(i64::MAX)),
        },
        window: i64::from(delivery.window),
        commit_interval: delivery.commit_interval,
        commit_count: count(delivery.commit_count),
        plan_lifetime: delivery.plan_lifetime,
        delivery: delivery_rules(delivery),
        dead_letter_topic: delivery.dead_letter_topic.clone(),
        after_dead_letter: match delivery.after_dead_letter {
            config::AfterDeadLetter::Continue => AfterDeadLetter::Continue,
            config::AfterDeadLetter::Quarantine => AfterDeadLetter::Quarantine,
        },
        snapshots: snapshot_settings(&config.snapshots),
        auto_create: config.topics.auto_create,
        default_partitions: i32::try_from(config.topics.default_partitions).unwrap_or(i32::MAX),
        checkpoints: CheckpointRules {
            keep: count(config.checkpoints.keep),
            max_bytes: config.checkpoints.max_bytes.0,
            transfers: count(config.checkpoints.transfers),
        },
        metric_groups: count(config.telemetry.max_metric_groups),
        commands: command_settings(&config.commands),
        tenancy: Arc::new(config.tenants.clone()),
        drain_timeout: config.server.drain_timeout,
    }
}

fn snapshot_settings(snapshots: &config::Snapshots) -> SnapshotSettings {
    let schedule = |one: &config::Schedule| Schedule {
        topic: one.topic.clone(),
        interval: one.interval,
    };
    SnapshotSettings {
        memory: bytes(snapshots.memory.0),
        restores: count(snapshots.restores),
        keep: count(snapshots.keep),
        max_age: snapshots.max_age,
        schedule: snapshots.schedule.iter().map(schedule).collect(),
    }
}

fn command_settings(commands: &config::Commands) -> CommandSettings {
    CommandSettings {
        topic: commands.topic.clone(),
        retention: commands.retention,
        max_timeout: commands.max_timeout,
        outstanding: count(commands.outstanding),
    }
}

fn delivery_rules(delivery: &config::Delivery) -> DeliveryRules {
    let rule = |lease: Duration, retry: &config::Retry| DeliveryRule {
        lease: (!lease.is_zero()).then_some(lease),
        retry: RetryPolicy {
            initial: retry.initial,
            factor: retry.factor,
            maximum: retry.maximum,
            jitter: retry.jitter,
            max_attempts: retry.max_attempts,
            max_abandons: retry.max_abandons,
        },
    };
    let of_some = |some: &config::GroupRule| (some.group.clone(), rule(some.lease, &some.retry));
    DeliveryRules {
        groups: delivery.groups.iter().map(of_some).collect(),
        others: rule(delivery.lease, &delivery.retry),
        max_lease: delivery.max_lease,
    }
}

pub(super) fn request_limits(config: &Config) -> Limits {
    let limits = &config.limits;
    Limits {
        max_request_bytes: bytes(limits.max_request_bytes.0),
        max_request_events: count(limits.max_request_events),
        publish_timeout: limits.publish_timeout,
        publish_stream_bytes: bytes(limits.publish_stream_bytes.0),
    }
}

pub(super) fn telemetry_settings(config: &Config, log: &'static str) -> telemetry::Settings {
    let (settings, otlp) = (&config.telemetry, &config.telemetry.otlp);
    let header = |(name, value): &(String, config::Secret)| (name.clone(), value.0.clone());
    let collector = |endpoint: &String| Collector {
        endpoint: endpoint.clone(),
        transport: match otlp.protocol {
            OtlpProtocol::Grpc => Transport::Grpc,
            OtlpProtocol::Http => Transport::Http,
        },
        headers: otlp.headers.iter().map(header).collect(),
        timeout: otlp.timeout,
        service_name: otlp.service_name.clone(),
        takes_traces: otlp.traces,
        takes_metrics: otlp.metrics.then_some(otlp.metrics_interval),
    };
    telemetry::Settings {
        log,
        topics: count(settings.max_metric_topics),
        sample_ratio: settings.sample_ratio,
        add_traceparent: settings.add_traceparent,
        collector: otlp.endpoint.as_ref().map(collector),
    }
}

pub(super) fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

pub(super) fn lines(format: LogFormat) -> LogLines {
    match format {
        LogFormat::Text => LogLines::Text,
        LogFormat::Json => LogLines::Json,
    }
}

fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
