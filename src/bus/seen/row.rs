//! What a replica tells, as it lies in `tidings.control`.

use std::sync::Arc;

use crate::{
    bus::{
        group::GroupView,
        table::{Row, Table},
    },
    error::{Error, Reason, Result},
    name::Group,
};

pub(in crate::bus) type SeenTable = Table<SeenRow>;

/// Of more partitions than this, a replica tells of the first only, so that a row stays below the size of an event.
const MOST_PARTITIONS: usize = 2_000;
const LISTENS: &str = "listens";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bus) enum SeenRow {
    /// The replica lives, and nothing has changed that it has not written.
    Lives,
    /// The same, and streams on it take commands.
    Listens,
    /// It serves a group, and sees this of it.
    Serves(Arc<GroupView>),
}

impl SeenRow {
    pub(super) fn of(mut view: GroupView) -> Self {
        view.partitions.truncate(MOST_PARTITIONS);
        Self::Serves(Arc::new(view))
    }
}

/// Under which key a replica's sign of life lies; those of its groups begin with it.
pub(super) fn sign_key(replica_id: &str) -> String {
    format!("{}{replica_id}", SeenRow::PREFIX)
}

pub(super) fn key(replica_id: &str, group: &Group) -> String {
    format!("{}{replica_id}/{group}", SeenRow::PREFIX)
}

/// The replica of a key, and the group if it has one.
pub(super) fn place_of(key: &str) -> Option<(&str, Option<&str>)> {
    let place = key.strip_prefix(SeenRow::PREFIX)?;
    Some(match place.split_once('/') {
        Some((replica_id, group)) => (replica_id, Some(group)),
        None => (place, None),
    })
}

impl Row for SeenRow {
    const TOPIC: &'static str = "tidings.control";
    const PREFIX: &'static str = "seen/";

    /// Each replica has rows of its own.
    fn supersedes(&self, _known: &Self) -> bool {
        true
    }

    fn to_bytes(&self) -> Vec<u8> {
        let written = match self {
            Self::Lives => serde_json::to_vec(&()),
            Self::Listens => serde_json::to_vec(LISTENS),
            Self::Serves(view) => serde_json::to_vec(&**view),
        };
        written.unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8], _offset: i64) -> Result<Self> {
        let damaged = |error| Error::new(Reason::LogDamaged, format!("read what a replica sees: {error}"));
        if serde_json::from_slice(bytes).is_ok_and(|word: &str| word == LISTENS) {
            return Ok(Self::Listens);
        }
        let view: Option<GroupView> = serde_json::from_slice(bytes).map_err(damaged)?;
        Ok(view.map_or(Self::Lives, |view| Self::Serves(Arc::new(view))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        bus::group::{OldestRow, PartitionRow, StreamRow},
        log::{LogTime, TopicPartition},
        name::Topic,
    };

    fn view() -> GroupView {
        let topic = Topic::new("t").expect("valid");
        GroupView {
            streams: 1,
            open: vec![StreamRow {
                stream_id: "s".to_owned(),
                client_id: "c".to_owned(),
                outstanding: 3,
                opened: LogTime(4),
            }],
            last_commit: Some(LogTime(5)),
            partitions: vec![PartitionRow {
                partition: TopicPartition { topic, partition: 2 },
                committed: 6,
                next_time: Some(LogTime(5)),
                acked_above: 7,
                outstanding: 8,
                oldest: Some(OldestRow {
                    offset: 9,
                    since: LogTime(10),
                    key_hash: u64::MAX,
                    attempt: 11,
                }),
            }],
        }
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        for written in [SeenRow::Lives, SeenRow::Listens, SeenRow::of(view())] {
            assert_eq!(SeenRow::from_bytes(&written.to_bytes(), 0).expect("readable"), written);
        }
        assert!(SeenRow::from_bytes(b"other", 0).is_err());
    }

    #[test]
    fn a_row_tells_of_so_many_partitions_only() {
        let mut view = view();
        view.partitions = vec![view.partitions[0].clone(); MOST_PARTITIONS + 1];
        let row = SeenRow::of(view);
        assert!(matches!(&row, SeenRow::Serves(view) if view.partitions.len() == MOST_PARTITIONS));
        assert!(row.to_bytes().len() < 1 << 20);
    }

    #[test]
    fn keys_say_whose_they_are() {
        let group = Group::new("a.b").expect("valid");
        assert_eq!(place_of(&key("r1", &group)), Some(("r1", Some("a.b"))));
        assert_eq!(place_of(&sign_key("r1")), Some(("r1", None)));
        assert_eq!(place_of("moved/r1"), None);
    }
}
