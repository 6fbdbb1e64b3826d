//! Integration tests, one file per capability.

mod log;
mod embedded;
