//! A batch in the making: records copied out of librdkafka's memory, all into one piece of ours.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use rdkafka::message::{BorrowedMessage, Message as _};

use crate::log::{Headers, LogTime, Record, kafka::headers};

/// A batch ends with the record that reaches this.
const MOST_BYTES: usize = 256 << 10;

pub(super) struct Building {
    next: i64,
    until: i64,
    /// A record behind the range has come.
    is_over: bool,
    bytes: BytesMut,
    records: Vec<Parts>,
}

/// Where a record's parts lie.
struct Parts {
    offset: i64,
    time: LogTime,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

impl Building {
    pub(super) fn new(next: i64, until: i64) -> Self {
        Self {
            next,
            until,
            is_over: false,
            bytes: BytesMut::new(),
            records: Vec::new(),
        }
    }

    /// Whether there is room for more.
    pub(super) fn add(&mut self, message: &BorrowedMessage<'_>) -> bool {
        let offset = message.offset();
        if offset >= self.until {
            self.is_over = true;
            return false;
        }
        if offset < self.next {
            return true;
        }
        self.next = offset + 1;
        let key = message.key().map(|key| self.copy(key));
        let value = message.payload().map(|value| self.copy(value));
        let start = self.bytes.len();
        headers::copy(message.headers(), &mut self.bytes);
        self.records.push(Parts {
            offset,
            time: LogTime(message.timestamp().to_millis().unwrap_or_default()),
            key,
            value,
            headers: start..self.bytes.len(),
        });
        self.bytes.len() < MOST_BYTES && self.next < self.until
    }

    /// Nothing more of the range will come.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn finish(self) -> Vec<Record> {
        let bytes = self.bytes.freeze();
        let slice = |range: Range<usize>| {
            if range.is_empty() {
                Bytes::new()
            } else {
                bytes.slice(range)
            }
        };
        let record = |parts: Parts| Record {
            offset: parts.offset,
            time: parts.time,
            key: parts.key.map(slice),
            value: parts.value.map(slice),
            headers: Headers::from_encoded(slice(parts.headers)),
        };
        self.records.into_iter().map(record).collect()
    }

    fn copy(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        start..self.bytes.len()
    }
}
