//! The manifest of a snapshot: what it holds, where, and at which positions; a snapshot exists as soon as it does.
//!
//! One line with kind, version and checksum, then JSON. Fields that a later version adds are passed over.

use serde::{Deserialize, Serialize};

use crate::{log::LogTime, name::Topic};

const KIND: &str = "tidings-snapshot";
const VERSION: u32 = 1;
/// The largest that is read: 100,000 chunks and more.
pub(super) const MOST_BYTES: u64 = 64 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bus) struct Manifest {
    pub(super) topic: Topic,
    pub(super) id: String,
    /// In order.
    pub(super) partitions: Vec<Held>,
    /// The newest record that it covers, by the log's clock: in a topic that was made anew later, all are newer.
    pub(super) newest: Option<LogTime>,
    /// When the topic was created, where the log knows it.
    pub(super) topic_created: Option<LogTime>,
    pub(super) begun: LogTime,
    pub(super) finished: LogTime,
    /// The snapshot that it was made from.
    pub(super) base: Option<String>,
    pub(super) reason: String,
    pub(super) by: String,
    pub(super) read: u64,
    pub(super) total: u64,
    pub(super) keyless: u64,
}

/// What is held of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    pub(super) partition: i32,
    /// The state is that before this offset.
    pub(super) offset: i64,
    pub(super) keys: u64,
    /// Events were gone before they were read: all of them lie in these offsets.
    pub(super) missing: Option<(i64, i64)>,
    /// The last time that all keys were deleted, by an event of this partition.
    pub(super) mark: Option<Mark>,
    /// In the order of their keys.
    pub(super) chunks: Vec<Chunk>,
}

/// An event that deletes all keys of its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) offset: i64,
    pub(super) time: LogTime,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Chunk {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) crc32: u32,
}

impl Manifest {
    pub(super) fn name(&self) -> String {
        format!("{}@{}", self.topic, self.id)
    }

    pub(super) fn partition(&self, partition: i32) -> Option<&Held> {
        self.partitions.iter().find(|held| held.partition == partition)
    }

    pub(super) fn keys(&self) -> u64 {
        self.partitions.iter().map(|held| held.keys).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.chunks().map(|chunk| chunk.bytes).sum()
    }

    pub(super) fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.partitions.iter().flat_map(|held| &held.chunks)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = format!("{KIND} {VERSION} {:08x}\n", crc32fast::hash(&json)).into_bytes();
        bytes.extend_from_slice(&json);
        bytes
    }

    /// `Err` has what is wrong with it.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let line = bytes.iter().position(|byte| *byte == b'\n').ok_or("it is cut")?;
        let head = std::str::from_utf8(&bytes[..line]).map_err(|_| "it is no manifest")?;
        let json = &bytes[line + 1..];
        let [kind, version, checksum] = head.split(' ').collect::<Vec<_>>()[..] else {
            return Err("it is no manifest".to_owned());
        };
        if kind != KIND {
            return Err("it is no manifest".to_owned());
        }
        if version != VERSION.to_string() {
            return Err(format!(
                "its format is version {version}; this server reads version {VERSION}"
            ));
        }
        if checksum != format!("{:08x}", crc32fast::hash(json)) {
            return Err("its checksum is another".to_owned());
        }
        serde_json::from_slice(json).map_err(|error| format!("it makes no sense: {error}"))
    }
}

/// All of what is missing, as one range.
pub(super) fn join(one: Option<(i64, i64)>, other: Option<(i64, i64)>) -> Option<(i64, i64)> {
    match (one, other) {
        (Some((from, to)), Some((other_from, other_to))) => Some((from.min(other_from), to.max(other_to))),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn manifest() -> Manifest {
        let chunk = Chunk {
            name: "00000-000000".to_owned(),
            bytes: 10,
            crc32: 7,
        };
        let mark = Mark {
            offset: 3,
            time: LogTime(9),
        };
        let held = Held {
            partition: 0,
            offset: 5,
            keys: 2,
            missing: Some((1, 2)),
            mark: Some(mark),
            chunks: vec![chunk],
        };
        Manifest {
            topic: Topic::new("orders").expect("valid"),
            id: "0".repeat(32),
            partitions: vec![held],
            newest: Some(LogTime(8)),
            topic_created: None,
            begun: LogTime(10),
            finished: LogTime(11),
            base: None,
            reason: "r".to_owned(),
            by: "b".to_owned(),
            read: 5,
            total: 5,
            keyless: 0,
        }
    }

    #[test]
    fn what_was_written_is_read_and_all_damage_is_found() {
        let (written, bytes) = (manifest(), manifest().to_bytes());
        assert_eq!(Manifest::from_bytes(&bytes), Ok(written));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Manifest::from_bytes(&damaged).is_err(), "byte {at}");
            assert!(Manifest::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
        }
        let newer = String::from_utf8(bytes).expect("text").replacen(" 1 ", " 2 ", 1);
        assert!(
            Manifest::from_bytes(newer.as_bytes())
                .expect_err("newer")
                .contains("version 2")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_manifest_or_an_error(json in vec(any::<u8>(), 0..200), bytes in vec(any::<u8>(), 0..200)) {
            let mut sealed = format!("{KIND} {VERSION} {:08x}\n", crc32fast::hash(&json)).into_bytes();
            sealed.extend(json);
            let _ = (Manifest::from_bytes(&sealed), Manifest::from_bytes(&bytes));
        }
    }

    #[test]
    fn what_is_missing_is_one_range() {
        assert_eq!(join(None, None), None);
        assert_eq!(join(Some((1, 2)), None), Some((1, 2)));
        assert_eq!(join(Some((5, 9)), Some((1, 2))), Some((1, 9)));
    }
}
