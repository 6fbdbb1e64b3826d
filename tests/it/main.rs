//! Integration tests, one file per capability.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails right there")]

mod harness;

mod acks;
mod bad_events;
mod cli;
mod credits;
mod deadlines;
mod docs;
mod log;
mod embedded;
mod fanout;
mod frames;
mod groups;
mod harness_works;
mod heartbeats;
mod publish;
mod publish_stream;
mod sizes;
mod subscribe;
mod tidy;
