//! Integration tests, one file per capability, on the embedded log; on Kafka they run by `on_kafka.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails right there")]

mod harness;

/// What stands behind the servers of this test program; `on_kafka.rs` is the other.
const LOG: harness::Backend = harness::Backend::Embedded;

mod acks;
mod auth;
mod bad_events;
mod checkpoints;
mod cli;
mod commands;
mod crash;
mod dead_letters;
mod credits;
mod deadlines;
mod drain;
mod docs;
mod limits;
mod metrics;
mod log;
mod embedded;
mod fanout;
mod filters;
mod floods;
mod foreign;
mod frames;
mod gaps;
mod groups;
mod harness_works;
mod heartbeats;
mod patterns;
mod policies;
mod portal;
mod publish;
mod publish_stream;
mod read;
mod replays;
mod resets;
mod retries;
mod rivals;
mod server;
mod sharing;
mod sizes;
mod state;
mod subscribe;
mod tenants;
mod telemetry;
mod tidy;
mod tls;
mod topics;
