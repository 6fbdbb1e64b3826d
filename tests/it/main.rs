//! Integration tests, one file per capability.

mod harness;

mod harness_works;
mod tidy;
