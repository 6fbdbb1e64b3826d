//! A generation as it lies in the store: a line with a checksum, then JSON; any bytes give one, or say what is wrong with them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CheckpointInfo, Tie};
use crate::{
    log::{LogTime, TopicPartition},
    name::{CheckpointName, Group, Topic},
};

/// How every manifest begins; the checksum of what follows the line comes next.
const HEAD: &str = "tidings-checkpoint 1 ";

/// What a generation is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Stored(Box<Manifest>),
    /// The checkpoint was deleted. This keeps its generations from being counted anew.
    Deleted(Tombstone),
}

/// A checkpoint, and where its bytes lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) info: CheckpointInfo,
    /// The folder of its parts.
    pub(super) upload: String,
    pub(super) parts: Vec<Part>,
}

/// A piece of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) size: u32,
    pub(super) crc32: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tombstone {
    pub(super) request_id: String,
    pub(super) reason: String,
    pub(super) by: String,
    pub(super) time_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stored {
    Checkpoint(StoredManifest),
    Deleted(Tombstone),
}

#[derive(Serialize, Deserialize)]
struct Named<T> {
    name: String,
    generation: u64,
    #[serde(flatten)]
    entry: T,
}

#[derive(Serialize, Deserialize)]
struct StoredManifest {
    positions: Vec<(Topic, i32, i64)>,
    size: u64,
    sha256: [u8; 32],
    content_type: String,
    labels: BTreeMap<String, String>,
    tie: Option<StoredTie>,
    created_ms: i64,
    by: String,
    request_id: String,
    upload: String,
    parts: Vec<Part>,
}

#[derive(Serialize, Deserialize)]
struct StoredTie {
    group: Group,
    epoch: u64,
    id: u64,
}

impl Entry {
    pub(super) fn to_bytes(&self, name: &CheckpointName, generation: u64) -> Vec<u8> {
        let entry = match self {
            Self::Stored(manifest) => Stored::Checkpoint(stored(manifest)),
            Self::Deleted(tombstone) => Stored::Deleted(tombstone.clone()),
        };
        let name = name.to_string();
        let named = Named {
            name,
            generation,
            entry,
        };
        let body = serde_json::to_vec(&named).unwrap_or_default();
        let mut bytes = format!("{HEAD}{:08x}\n", crc32fast::hash(&body)).into_bytes();
        bytes.extend(body);
        bytes
    }

    /// `Err` says what is wrong with it.
    pub(super) fn from_bytes(bytes: &[u8], name: &CheckpointName, generation: u64) -> Result<Self, String> {
        let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        let (head, body) = bytes.split_at((line + 1).min(bytes.len()));
        let crc = std::str::from_utf8(head).ok().and_then(|head| head.strip_prefix(HEAD));
        let crc = crc.and_then(|crc| u32::from_str_radix(crc.trim_end(), 16).ok());
        let crc = crc.ok_or("it is no manifest of a checkpoint that this version reads")?;
        if crc != crc32fast::hash(body) {
            return Err("its checksum is wrong".to_owned());
        }
        let named: Named<Stored> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if (named.name.as_str(), named.generation) != (name.as_str(), generation) {
            return Err(format!("it is that of {}@{}", named.name, named.generation));
        }
        match named.entry {
            Stored::Deleted(tombstone) => Ok(Self::Deleted(tombstone)),
            Stored::Checkpoint(stored) => {
                let manifest = manifest(stored, name, generation);
                manifest
                    .is_sound()
                    .then(|| Self::Stored(Box::new(manifest)))
                    .ok_or_else(|| "its parts are not as large as it is".to_owned())
            }
        }
    }

    /// The call that made it.
    pub(super) fn request_id(&self) -> &str {
        match self {
            Self::Stored(manifest) => &manifest.info.request_id,
            Self::Deleted(tombstone) => &tombstone.request_id,
        }
    }
}

impl Manifest {
    fn is_sound(&self) -> bool {
        let sum: u64 = self.parts.iter().map(|part| u64::from(part.size)).sum();
        sum == self.info.size
    }
}

fn stored(manifest: &Manifest) -> StoredManifest {
    let info = &manifest.info;
    let position = |(at, offset): &(TopicPartition, i64)| (at.topic.clone(), at.partition, *offset);
    let tie = info.tie.as_ref().map(|tie| StoredTie {
        group: tie.group.clone(),
        epoch: tie.epoch,
        id: tie.id,
    });
    StoredManifest {
        positions: info.positions.iter().map(position).collect(),
        size: info.size,
        sha256: info.sha256,
        content_type: info.content_type.clone(),
        labels: info.labels.clone(),
        tie,
        created_ms: info.created.0,
        by: info.by.clone(),
        request_id: info.request_id.clone(),
        upload: manifest.upload.clone(),
        parts: manifest.parts.clone(),
    }
}

fn manifest(stored: StoredManifest, name: &CheckpointName, generation: u64) -> Manifest {
    let position = |(topic, partition, offset)| (TopicPartition { topic, partition }, offset);
    Manifest {
        info: CheckpointInfo {
            name: name.clone(),
            generation,
            positions: stored.positions.into_iter().map(position).collect(),
            size: stored.size,
            sha256: stored.sha256,
            content_type: stored.content_type,
            labels: stored.labels,
            tie: stored.tie.map(|tie| Tie {
                group: tie.group,
                epoch: tie.epoch,
                id: tie.id,
            }),
            created: LogTime(stored.created_ms),
            by: stored.by,
            request_id: stored.request_id,
        },
        upload: stored.upload,
        parts: stored.parts,
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn name() -> CheckpointName {
        CheckpointName::new("orders", "name").expect("valid")
    }

    fn entries() -> [Entry; 2] {
        let topic = Topic::new("t").expect("valid");
        let info = CheckpointInfo {
            name: name(),
            generation: 7,
            positions: vec![(TopicPartition { topic, partition: 2 }, 40)],
            size: 30,
            sha256: [9; 32],
            content_type: "application/json".to_owned(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            tie: Some(Tie {
                group: Group::new("g").expect("valid"),
                epoch: 3,
                id: u64::MAX,
            }),
            created: LogTime(5),
            by: "somebody".to_owned(),
            request_id: "r".to_owned(),
        };
        let part = |size| Part { size, crc32: u32::MAX };
        let manifest = Manifest {
            info,
            upload: "u".to_owned(),
            parts: vec![part(20), part(10)],
        };
        let tombstone = Tombstone {
            request_id: "q".to_owned(),
            reason: "why".to_owned(),
            by: "nobody".to_owned(),
            time_ms: 1,
        };
        [Entry::Stored(Box::new(manifest)), Entry::Deleted(tombstone)]
    }

    #[test]
    fn an_entry_is_read_as_it_was_written_and_under_its_own_name_only() {
        for entry in entries() {
            let bytes = entry.to_bytes(&name(), 7);
            assert_eq!(Entry::from_bytes(&bytes, &name(), 7), Ok(entry));
            let other = CheckpointName::new("others", "name").expect("valid");
            assert!(Entry::from_bytes(&bytes, &other, 7).is_err() && Entry::from_bytes(&bytes, &name(), 8).is_err());
        }
    }

    #[test]
    fn parts_that_are_missing_are_noticed() {
        let [Entry::Stored(mut manifest), _] = entries() else {
            panic!("no manifest")
        };
        manifest.parts.pop();
        let bytes = Entry::Stored(manifest).to_bytes(&name(), 7);
        assert!(Entry::from_bytes(&bytes, &name(), 7).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_entry_or_an_error(bytes in vec(any::<u8>(), 0..200), at in 0usize..400, flip in 1u8..) {
            let _ = Entry::from_bytes(&bytes, &name(), 7);
            for entry in entries() {
                let mut bytes = entry.to_bytes(&name(), 7);
                let at = at % bytes.len();
                bytes[at] ^= flip;
                // The digits of the checksum may be written in upper case, and the line may end in other white space.
                if let Ok(read) = Entry::from_bytes(&bytes, &name(), 7) {
                    prop_assert_eq!(read, entry);
                }
                bytes.truncate(at);
                prop_assert!(Entry::from_bytes(&bytes, &name(), 7).is_err());
            }
        }
    }
}
