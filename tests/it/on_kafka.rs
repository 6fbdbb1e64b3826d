//! The tests of `main.rs` on Kafka: the same files but for what is about the embedded log, and what only Kafka can do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails right there")]

mod harness;

/// What stands behind the servers of this test program.
const LOG: harness::Backend = harness::Backend::Kafka;

mod acks;
mod bad_events;
mod checkpoints;
mod cli;
mod commands;
mod crash;
mod dead_letters;
mod credits;
mod deadlines;
mod drain;
mod limits;
mod metrics;
mod log;
mod kafka;
mod filters;
mod foreign;
mod frames;
mod gaps;
mod groups;
mod harness_works;
mod heartbeats;
mod patterns;
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
mod telemetry;
mod topics;
