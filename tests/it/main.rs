//! Integration tests, one file per capability.

mod harness;

mod docs;
mod harness_works;
mod tidy;
