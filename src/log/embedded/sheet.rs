//! Small files that are replaced whole: the manifest and the checkpoint, as JSON under a line with kind, version and CRC32.
//!
//! The manifest says which journals there must be and which checkpoint counts. A checkpoint says what lay in the segments,
//! synced, when the journals before `replay_from` became superfluous.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

use super::{files::SegmentName, state::State};

const VERSION: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// The oldest journal that is needed.
    pub(crate) first: u64,
    /// The one that is written to.
    pub(crate) last: u64,
    /// How long each journal between them is.
    pub(crate) sealed: BTreeMap<u64, u64>,
    /// 0 = none yet.
    pub(crate) checkpoint: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) state: State,
    pub(crate) internal_end: i64,
    /// Those that ever had a record.
    pub(crate) partitions: Vec<PartitionSheet>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartitionSheet {
    pub(crate) topic: u32,
    pub(crate) partition: i32,
    pub(crate) end: i64,
    pub(crate) last_time: i64,
    pub(crate) segments: Vec<Segment>,
}

/// What is known of a segment's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    pub(crate) base: i64,
    pub(crate) generation: u32,
    /// Bytes, header included.
    pub(crate) len: u64,
    /// Behind its last record.
    pub(crate) end: i64,
    pub(crate) first_time: i64,
    pub(crate) last_time: i64,
    /// Entries in its side file.
    pub(crate) indexed: u64,
    /// The place that the last index entry points at.
    pub(crate) index_place: u64,
}

impl Segment {
    pub(crate) fn name(&self, topic: u32, partition: i32) -> SegmentName {
        SegmentName {
            topic,
            partition,
            base: self.base,
            generation: self.generation,
        }
    }
}

/// A thing that is written as a sheet.
pub(crate) trait Sheet: Serialize + DeserializeOwned {
    const KIND: &'static str;
}

impl Sheet for Manifest {
    const KIND: &'static str = "manifest";
}

impl Sheet for Checkpoint {
    const KIND: &'static str = "checkpoint";
}

pub(crate) fn encode<S: Sheet>(sheet: &S) -> Vec<u8> {
    let body = serde_json::to_vec(sheet).expect("maps with plain keys become JSON");
    let crc = crc32fast::hash(&body);
    let mut bytes = format!("tidings log {} {VERSION} {crc:08x}\n", S::KIND).into_bytes();
    bytes.extend(body);
    bytes
}

pub(crate) fn decode<S: Sheet>(bytes: &[u8]) -> Result<S, String> {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or("its first line is missing")?;
    let (line, body) = (String::from_utf8_lossy(&bytes[..end]), &bytes[end + 1..]);
    let known = format!("tidings log {} {VERSION} ", S::KIND);
    let Some(crc) = line.strip_prefix(&known) else {
        return Err(format!("it does not begin with {known:?}"));
    };
    if crc != format!("{:08x}", crc32fast::hash(body)) {
        return Err("its checksum does not match".into());
    }
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_read_and_no_flipped_bit_passes(last in any::<u64>(), bit in any::<prop::sample::Index>()) {
            let manifest = Manifest { first: 1, last, sealed: [(1, 5)].into(), checkpoint: 2 };
            let mut bytes = encode(&manifest);
            prop_assert_eq!(decode::<Manifest>(&bytes), Ok(manifest));
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode::<Manifest>(&bytes).is_err());
        }

        #[test]
        fn any_bytes_give_a_sheet_or_a_reason(bytes in vec(any::<u8>(), 0..100)) {
            prop_assert!(decode::<Checkpoint>(&bytes).is_err());
        }
    }
}
