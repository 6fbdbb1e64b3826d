//! Integration tests, one file per capability.
