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
use crate::{
    error::Error,
    log::{NewRecord, Outcome, Placed, Unwritten},
};

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
    let (slots, size) = sort(requests);
    let ops_size: usize = ops.iter().map(|op| op.len() + 64).sum();
    let placeholder = Placed {
        partition: 0,
        offset: 0,
    };
    let mut encoded = Encoded {
        bytes: Vec::with_capacity(size + ops_size + (slots.len() + size / frame::FULL + 1) * frame::HEADER),
        outcomes: requests
            .iter()
            .map(|request| vec![Ok(placeholder); request.records.len()])
            .collect(),
        pieces: Vec::new(),
    };
    encode_ops(&mut encoded, ops, start);
    for slot in &slots {
        encode_slot(&mut encoded, slot, requests, start);
    }
    encoded
}

/// The records by partition, and how many bytes they will be.
fn sort(requests: &[Request]) -> (Vec<Slot>, usize) {
    let mut slots: Vec<Slot> = Vec::new();
    let mut known = FxHashMap::default();
    let mut size = 0;
    for (request_number, request) in requests.iter().enumerate() {
        let mut slot_of = |partition: &Arc<Partition>| {
            *known.entry((partition.topic, partition.number)).or_insert_with(|| {
                slots.push(Slot::new(partition.clone()));
                slots.len() - 1
            })
        };
        let numbers: Vec<usize> = request.partitions.iter().map(&mut slot_of).collect();
        for (number, (record, target)) in request.records.iter().zip(&request.targets).enumerate() {
            size += Parts::from(record).encoded_len();
            let slot = &mut slots[numbers[*target as usize]];
            slot.items.push((request_number as u32, number as u32));
        }
    }
    (slots, size)
}

impl Slot {
    fn new(partition: Arc<Partition>) -> Self {
        Self {
            partition,
            items: Vec::new(),
        }
    }
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
        return refuse_slot(encoded, slot);
    }
    let time = start.now.max(last_time);
    let partition = slot.partition.number;
    let mut items = slot.items.iter().peekable();
    while items.peek().is_some() {
        let (records_at, base) = (open_frame(encoded), offset);
        while encoded.bytes.len() - records_at < frame::FULL
            && let Some((request, record)) = items.next()
        {
            let parts = Parts::from(&requests[*request as usize].records[*record as usize]);
            parts.encode(offset, time, &mut encoded.bytes);
            encoded.outcomes[*request as usize][*record as usize] = Ok(Placed { partition, offset });
            offset += 1;
        }
        let piece = Piece {
            partition: slot.partition.clone(),
            range: records_at..encoded.bytes.len(),
            base,
            end: offset,
            time,
        };
        close_frame(encoded, records_at, Fields::of(&piece), start);
        encoded.pieces.push(piece);
    }
}

impl Fields {
    fn of(piece: &Piece) -> Self {
        Self {
            topic: piece.partition.topic,
            partition: piece.partition.number,
            base: piece.base,
            count: (piece.end - piece.base) as usize,
        }
    }
}

fn refuse_slot(encoded: &mut Encoded, slot: &Slot) {
    let error = Arc::new(Error::no_such_topic(&slot.partition.name.topic));
    for (request, record) in &slot.items {
        encoded.outcomes[*request as usize][*record as usize] = Err(Unwritten {
            may_be_written: false,
            error: error.clone(),
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
