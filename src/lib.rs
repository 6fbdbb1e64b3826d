//! Tidings: an event bus. CloudEvents in and out over gRPC, on Apache Kafka or on an embedded durable log.
//!
//! Modules in reading order, from the outside in; ARCHITECTURE.md tells the way of one event through them.

pub mod bus;
pub mod cli;
pub mod config;
pub mod convention;
pub mod error;
pub mod event;
pub mod grpc;
pub mod log;
pub mod name;
pub mod proto;
pub mod server;
