//! Integration tests, one file per capability.

mod harness;

mod cli;
mod docs;
mod log;
mod embedded;
mod harness_works;
mod subscribe;
mod tidy;
