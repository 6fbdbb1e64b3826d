//! A record's headers: ours to librdkafka's, and back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::BytesMut;
use rdkafka::message::{BorrowedHeaders, Header, Headers as _, OwnedHeaders};

use crate::log::{Headers, headers::encode};

/// `None` = none. Names that are not UTF-8 cannot be written; no name of ours is.
pub(super) fn to_kafka(headers: &Headers) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let mut owned = OwnedHeaders::new_with_capacity(16);
    for (name, value) in headers.slices() {
        if let Ok(key) = std::str::from_utf8(name) {
            owned = owned.insert(Header { key, value });
        }
    }
    Some(owned)
}

/// Copies the headers of a record, whoever wrote it. One whose name is not UTF-8 is left out: rdkafka panics on it, and has
/// no other way to it.
pub(super) fn copy(headers: Option<&BorrowedHeaders>, into: &mut BytesMut) {
    let Some(headers) = headers else { return };
    let start = into.len();
    let copied = catch_unwind(AssertUnwindSafe(|| {
        for header in headers.iter() {
            encode(&[header.key], header.value, into);
        }
    }));
    if copied.is_err() {
        into.truncate(start);
        for index in 0..headers.count() {
            if let Ok(Some(header)) = catch_unwind(AssertUnwindSafe(|| headers.try_get(index))) {
                encode(&[header.key], header.value, into);
            }
        }
    }
}
