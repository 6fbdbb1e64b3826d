//! The sections of the configuration, each read and checked by one function.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    kafka::{self, Kafka},
    reader::Reader,
    units::ByteSize,
};
use crate::name::RouteTopic;

/// `[server]`
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    pub listen: SocketAddr,
    pub ops: SocketAddr,
    pub insecure: bool,
    pub ops_open: bool,
    pub drain_timeout: Duration,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    pub backend: Backend,
    pub embedded: Embedded,
    pub kafka: Kafka,
}

/// What stands behind the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Embedded,
    Kafka,
}

/// `[log.embedded]`
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    pub directory: PathBuf,
    pub fsync: Fsync,
    pub journal_bytes: ByteSize,
    pub segment_bytes: ByteSize,
    pub open_files: u32,
    pub cache_bytes: ByteSize,
    pub queue_bytes: ByteSize,
}

/// When an append is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// After an fsync.
    Always,
    /// At once; an fsync follows within this time.
    Interval(Duration),
}

/// One of `[[routes]]`, as written; the patterns are checked by whoever compiles them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    pub type_pattern: String,
    pub topic: RouteTopic,
    /// The attribute that is the key.
    pub key: Option<String>,
}

/// `[topics]`
#[derive(Clone, Debug, PartialEq)]
pub struct Topics {
    pub auto_create: bool,
    pub default_partitions: u32,
}

/// What happens to later events of a dead letter's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterDeadLetter {
    /// They are delivered.
    Continue,
    /// They join it.
    Quarantine,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    pub max_event_bytes: ByteSize,
    pub max_request_bytes: ByteSize,
    pub max_request_events: u32,
    pub publish_timeout: Duration,
    pub publish_bytes: ByteSize,
    pub publish_stream_bytes: ByteSize,
    pub connections: u32,
    pub streams: u32,
    pub streams_per_connection: u32,
    pub groups: u32,
    pub group_buffer_bytes: ByteSize,
    pub feed_bytes: ByteSize,
    pub max_credit_events: u32,
    pub max_credit_bytes: ByteSize,
}

pub(super) fn server(reader: &mut Reader) -> Server {
    Server {
        insecure: reader.take("server.insecure"),
        ops_open: reader.take("server.ops_open"),
        listen: reader.take("server.listen"),
        ops: reader.take("server.ops"),
        drain_timeout: reader.take("server.drain_timeout"),
    }
}

/// What listens beyond this machine lets no stranger in; `is_closed`: clients show who they are. The ops listener asks nobody.
pub(super) fn doors(reader: &mut Reader, server: &Server, is_closed: bool) {
    for (key, address, is_fine, way_out) in [
        (
            "server.listen",
            server.listen,
            is_closed,
            ", without TLS and authentication; set server.insecure",
        ),
        ("server.ops", server.ops, server.ops_open, "; set server.ops_open"),
    ] {
        reader.demand(
            key,
            server.insecure || address.ip().is_loopback() || is_fine,
            format!("{address} is open to other machines{way_out} = true to allow it"),
        );
    }
}

pub(super) fn log(reader: &mut Reader) -> Log {
    Log {
        backend: reader.take("log.backend"),
        embedded: embedded(reader),
        kafka: kafka::read(reader),
    }
}

fn embedded(reader: &mut Reader) -> Embedded {
    let file_size = |size: ByteSize| size.0 >= ByteSize::MIB;
    Embedded {
        directory: reader.take("log.embedded.directory"),
        fsync: reader.take("log.embedded.fsync"),
        journal_bytes: reader.take_if("log.embedded.journal_bytes", file_size, "at least 1MiB"),
        segment_bytes: reader.take_if("log.embedded.segment_bytes", file_size, "at least 1MiB"),
        open_files: reader.take_if("log.embedded.open_files", |count: u32| count >= 16, "at least 16"),
        cache_bytes: reader.take("log.embedded.cache_bytes"),
        queue_bytes: reader.take("log.embedded.queue_bytes"),
    }
}

pub(super) fn routes(reader: &mut Reader) -> Vec<RouteConfig> {
    let mut routes = Vec::new();
    for mut table in reader.take_tables("routes") {
        let type_pattern = table.require("type");
        let topic = table.require("topic");
        let key = table.optional("key");
        reader.finish_table(table);
        if let (Some(type_pattern), Some(topic)) = (type_pattern, topic) {
            routes.push(RouteConfig {
                type_pattern,
                topic,
                key,
            });
        }
    }
    routes
}

pub(super) fn topics(reader: &mut Reader, backend: Backend) -> Topics {
    Topics {
        auto_create: reader.take_or("topics.auto_create", backend == Backend::Embedded),
        default_partitions: reader.take_if(
            "topics.default_partitions",
            |n: u32| (1..=1000).contains(&n),
            "1 to 1000",
        ),
    }
}

pub(super) fn limits(reader: &mut Reader) -> Limits {
    // An event of 64 KiB must pass in its largest encoding, headers and all.
    let event_size = |size: ByteSize| size.0 >= 96 * ByteSize::KIB && size.0 <= 1 << 30;
    Limits {
        max_event_bytes: reader.take_if("limits.max_event_bytes", event_size, "96KiB to 1GiB"),
        max_request_bytes: reader.take("limits.max_request_bytes"),
        max_request_events: reader.take_if("limits.max_request_events", one_or_more, "at least 1"),
        publish_timeout: reader.take_if("limits.publish_timeout", longer_than_zero, "longer than 0"),
        publish_bytes: reader.take("limits.publish_bytes"),
        publish_stream_bytes: reader.take("limits.publish_stream_bytes"),
        connections: reader.take_if("limits.connections", one_or_more, "at least 1"),
        streams: reader.take_if("limits.streams", one_or_more, "at least 1"),
        streams_per_connection: reader.take_if("limits.streams_per_connection", one_or_more, "at least 1"),
        groups: reader.take_if("limits.groups", one_or_more, "at least 1"),
        group_buffer_bytes: reader.take("limits.group_buffer_bytes"),
        feed_bytes: reader.take("limits.feed_bytes"),
        max_credit_events: reader.take_if("limits.max_credit_events", one_or_more, "at least 1"),
        max_credit_bytes: reader.take_if("limits.max_credit_bytes", |size: ByteSize| size.0 >= 1, "at least 1"),
    }
}

/// What is handed on must fit where it goes, or it would wait for ever.
pub(super) fn capacities(reader: &mut Reader, limits: &Limits, log: &Log) {
    let event = (limits.max_event_bytes, "limits.max_event_bytes");
    let request = (limits.max_request_bytes, "limits.max_request_bytes");
    let stream = (limits.publish_stream_bytes, "limits.publish_stream_bytes");
    for (key, size, (least, least_key)) in [
        ("limits.max_request_bytes", limits.max_request_bytes, event),
        ("limits.publish_stream_bytes", limits.publish_stream_bytes, request),
        ("limits.publish_bytes", limits.publish_bytes, stream),
        ("limits.group_buffer_bytes", limits.group_buffer_bytes, event),
        ("limits.feed_bytes", limits.feed_bytes, event),
        ("log.embedded.queue_bytes", log.embedded.queue_bytes, request),
        ("log.kafka.queue_bytes", log.kafka.queue_bytes, request),
    ] {
        reader.demand(
            key,
            size >= least,
            format!("must be at least {least_key} ({least}), not {size}"),
        );
    }
}

pub(super) fn one_or_more(count: u32) -> bool {
    count >= 1
}

pub(super) fn longer_than_zero(duration: Duration) -> bool {
    !duration.is_zero()
}
