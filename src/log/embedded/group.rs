//! One group commit as bytes: the records of many calls, sorted by partition, become frames of the journal in one buffer.
//! No I/O here.

use std::{ops::Range, sync::Arc};

use rustc_hash::FxHashMap;

use super::{
    frame::{self, Frame},
    partition::Partition,
    record::Parts,
    state::INTERNAL,
};
use crate::log::{NewRecord, Outcome, Placed, Unwritten};

/// The records of one call and where they go.
pub(crate) struct Request {
    pub(crate) records: Vec<NewRecord>,
    /// For each record the number of its partition in `partitions`.
    pub(crate) targets: Vec<u32>,
    pub(crate) partitions: Vec<Arc<Partition>>,
}

/// Where a group begins.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    pub(crate) position: u64,
    pub(crate) durable: u64,
    pub(crate) nonce: u64,
    /// Milliseconds; a partition's records never go back in time.
    pub(crate) now: i64,
    /// The next offset of the internal partition.
    pub(crate) internal: i64,
}

/// What is to be written, and what it means once it is.
#[derive(Default)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) pieces: Vec<Piece>,
    /// For each request, for each record.
    pub(crate) outcomes: Vec<Vec<Outcome>>,
}

/// A frame's records, which will be a chunk of the partition.
pub(crate) struct Piece {
    pub(crate) partition: Arc<Partition>,
    pub(crate) range: Range<usize>,
    pub(crate) base: i64,
    pub(crate) end: i64,
    pub(crate) time: i64,
}

/// The records of a group that go to one partition: number of the request, number of the record.
struct Slot {
    partition: Arc<Partition>,
    items: Vec<(u32, u32)>,
}

/// Encodes the operations, then the records. Records of partitions that are gone get their error instead.
pub(crate) fn encode(requests: &[Request], ops: &[Vec<u8>], start: Start) -> Encoded {
    let mut slots: Vec<Slot> = Vec::new();
    let mut by_partition = FxHashMap::default();
    let mut encoded = Encoded::default();
    let mut size = ops.iter().map(|op| op.len() + 64).sum::<usize>() + frame::HEADER;
    for (request_number, request) in requests.iter().enumerate() {
        let numbers: Vec<u32> = request
            .partitions
            .iter()
            .map(|partition| {
                *by_partition
                    .entry((partition.topic, partition.number))
                    .or_insert_with(|| {
                        slots.push(Slot {
                            partition: partition.clone(),
                            items: Vec::new(),
                        });
                        slots.len() as u32 - 1
                    })
            })
            .collect();
        for (number, (record, target)) in request.records.iter().zip(&request.targets).enumerate() {
            size += Parts::from(record).encoded_len();
            let slot = &mut slots[numbers[*target as usize] as usize];
            slot.items.push((request_number as u32, number as u32));
        }
        let place = Placed {
            partition: 0,
            offset: 0,
        };
        encoded.outcomes.push(vec![Ok(place); request.records.len()]);
    }
    encoded
        .bytes
        .reserve_exact(size + (slots.len() + size / frame::FULL) * frame::HEADER);
    encode_ops(&mut encoded, ops, start);
    for slot in &slots {
        encode_slot(&mut encoded, slot, requests, start);
    }
    encoded
}

fn encode_ops(encoded: &mut Encoded, ops: &[Vec<u8>], start: Start) {
    if ops.is_empty() {
        return;
    }
    let records_at = open_frame(encoded);
    for (number, op) in ops.iter().enumerate() {
        let parts = Parts {
            key: None,
            headers: &[],
            value: Some(op),
        };
        parts.encode(start.internal + number as i64, start.now, &mut encoded.bytes);
    }
    let fields = Fields {
        topic: INTERNAL,
        partition: 0,
        base: start.internal,
        count: ops.len(),
    };
    close_frame(encoded, records_at, fields, start);
}

fn encode_slot(encoded: &mut Encoded, slot: &Slot, requests: &[Request], start: Start) {
    let (mut offset, last_time, gone) = {
        let inner = slot.partition.lock();
        (inner.end, inner.last_time, inner.gone)
    };
    if gone.is_some() {
        let error = Arc::new(crate::error::Error::no_such_topic(&slot.partition.name.topic));
        for (request, record) in &slot.items {
            let unwritten = Unwritten {
                may_be_written: false,
                error: error.clone(),
            };
            encoded.outcomes[*request as usize][*record as usize] = Err(unwritten);
        }
        return;
    }
    let time = start.now.max(last_time);
    let mut items = slot.items.iter().peekable();
    while items.peek().is_some() {
        let (records_at, base) = (open_frame(encoded), offset);
        while encoded.bytes.len() - records_at < frame::FULL
            && let Some((request, record)) = items.next()
        {
            let parts = Parts::from(&requests[*request as usize].records[*record as usize]);
            parts.encode(offset, time, &mut encoded.bytes);
            let partition = slot.partition.number;
            encoded.outcomes[*request as usize][*record as usize] = Ok(Placed { partition, offset });
            offset += 1;
        }
        let fields = Fields {
            topic: slot.partition.topic,
            partition: slot.partition.number,
            base,
            count: (offset - base) as usize,
        };
        close_frame(encoded, records_at, fields, start);
        let range = records_at..encoded.bytes.len();
        let partition = slot.partition.clone();
        encoded.pieces.push(Piece {
            partition,
            range,
            base,
            end: offset,
            time,
        });
    }
}

struct Fields {
    topic: u32,
    partition: i32,
    base: i64,
    count: usize,
}

/// Leaves room for the header and says where the records begin.
fn open_frame(encoded: &mut Encoded) -> usize {
    encoded.bytes.extend_from_slice(&[0; frame::HEADER]);
    encoded.bytes.len()
}

fn close_frame(encoded: &mut Encoded, records_at: usize, fields: Fields, start: Start) {
    let header_at = records_at - frame::HEADER;
    let frame = Frame {
        position: start.position + header_at as u64,
        durable: start.durable,
        topic: fields.topic,
        partition: fields.partition,
        base: fields.base,
        len: (encoded.bytes.len() - records_at) as u32,
        count: fields.count as u32,
    };
    encoded.bytes[header_at..records_at].copy_from_slice(&frame.encode(start.nonce));
}
