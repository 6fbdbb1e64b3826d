//! Tidings: an event bus. CloudEvents in and out over gRPC, on Apache Kafka or on an embedded durable log.
//!
//! Modules in reading order, from the outside in; ARCHITECTURE.md tells the way of one event through them.

pub mod cli;
pub mod server;
pub mod grpc;
pub mod auth;
pub mod telemetry;
pub mod bus;
pub mod convention;
pub mod filter;
pub mod event;
pub mod log;
pub mod objects;
pub mod scratch;
pub mod tab;
pub mod config;
pub mod name;
pub mod error;
pub mod proto;
