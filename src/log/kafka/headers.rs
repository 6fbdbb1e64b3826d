//! A record's headers: ours to librdkafka's, and back.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::message::{BorrowedHeaders, Header, Headers as _, OwnedHeaders};

use crate::log::{Headers, HeadersBuilder};

/// `None` = none. Names that are not UTF-8 cannot be written; no name of ours is.
pub(super) fn to_kafka(headers: &Headers) -> Option<OwnedHeaders> {
    if headers.is_empty() {
        return None;
    }
    let mut owned = OwnedHeaders::new_with_capacity(16);
    for (name, value) in headers.iter() {
        if let Ok(key) = std::str::from_utf8(&name) {
            owned = owned.insert(Header {
                key,
                value: value.as_deref(),
            });
        }
    }
    Some(owned)
}

/// The headers of a record of whoever wrote it. One whose name is not UTF-8 is left out: rdkafka panics on it, and has no
/// other way to it.
pub(super) fn from_kafka(headers: Option<&BorrowedHeaders>) -> Headers {
    let Some(headers) = headers else {
        return Headers::default();
    };
    catch_unwind(AssertUnwindSafe(|| all(headers))).unwrap_or_else(|_| one_by_one(headers))
}

fn all(headers: &BorrowedHeaders) -> Headers {
    let mut builder = HeadersBuilder::with_capacity(512);
    for header in headers.iter() {
        builder.add_parts(&[header.key], header.value);
    }
    builder.build()
}

fn one_by_one(headers: &BorrowedHeaders) -> Headers {
    let mut builder = HeadersBuilder::default();
    for index in 0..headers.count() {
        if let Ok(Some(header)) = catch_unwind(AssertUnwindSafe(|| headers.try_get(index))) {
            builder.add_parts(&[header.key], header.value);
        }
    }
    builder.build()
}
