//! A group's record in `tidings.groups`: its settings, where it starts, and the reset that is being carried out.
//!
//! Each change is the next version of the one before; of replicas that change a group at once, the first one's record holds.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{GroupSettings, OnGap, Undecodable, deleting::Deletion};
use crate::{
    bus::{rules::RetryOverride, table::Row},
    error::{Error, Reason, Result},
    filter::{Filter, FilterSpec},
    log::{LogTime, TopicPartition},
    name::{Pattern, Selector, Selectors, Topic},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bus) struct GroupRecord {
    /// Where it lies in `tidings.groups`: a later one holds.
    pub(in crate::bus) offset: i64,
    /// Rises with each change of the record.
    pub(in crate::bus) version: u64,
    /// Rises with each change of the settings.
    pub(in crate::bus) revision: u64,
    /// Rises with each reset.
    pub(in crate::bus) epoch: u64,
    pub(in crate::bus) settings: GroupSettings,
    pub(in crate::bus) created: LogTime,
    /// Tells the group from another of its name, which another replica creates in the same moment.
    pub(in crate::bus) id: u64,
    /// Where the group starts, until that is committed.
    pub(in crate::bus) start: Option<Vec<(TopicPartition, i64)>>,
    /// The reset that made it this epoch, until every partition of it is moved.
    pub(in crate::bus) reset: Option<Arc<ActiveReset>>,
    /// The one that was finished last.
    pub(in crate::bus) last_reset: Option<String>,
    /// The replay that runs beside its deliveries.
    pub(in crate::bus) replay: Option<String>,
    /// That it was deleted, or the last one of its name before it.
    pub(in crate::bus) deletion: Option<Arc<Deletion>>,
}

/// A reset that was accepted: from now on it is carried out, whoever lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bus) struct ActiveReset {
    pub(in crate::bus) id: String,
    pub(in crate::bus) request_id: String,
    pub(in crate::bus) reason: String,
    /// Who asked.
    pub(in crate::bus) by: String,
    pub(in crate::bus) accepted_ms: i64,
    /// The reset that it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bus) undoes: Option<String>,
    /// Where each partition shall stand, in order.
    pub(in crate::bus) moves: Vec<(TopicPartition, i64)>,
}

impl ActiveReset {
    /// Where the partition shall stand; `None` = it is not moved.
    pub(in crate::bus) fn target(&self, partition: &TopicPartition) -> Option<i64> {
        let at = self.moves.binary_search_by(|(moved, _)| moved.cmp(partition)).ok()?;
        Some(self.moves[at].1)
    }
}

impl GroupRecord {
    /// Of a group that is created.
    pub(in crate::bus) fn first(settings: GroupSettings, start: Vec<(TopicPartition, i64)>) -> Self {
        Self {
            offset: 0,
            version: 1,
            revision: 1,
            epoch: 0,
            settings,
            created: LogTime::now(),
            id: fastrand::u64(..),
            start: Some(start),
            reset: None,
            last_reset: None,
            replay: None,
            deletion: None,
        }
    }

    /// The record that is to follow this one.
    pub(in crate::bus) fn next(&self) -> Self {
        Self {
            offset: 0,
            version: self.version + 1,
            start: None,
            ..self.clone()
        }
    }

    /// The reset that a partition still waits for whose note has this epoch, and where it shall stand.
    pub(in crate::bus) fn due(&self, partition: &TopicPartition, epoch: u64) -> Option<(&Arc<ActiveReset>, i64)> {
        let reset = self.reset.as_ref().filter(|_| epoch < self.epoch)?;
        Some((reset, reset.target(partition)?))
    }
}

/// The record as it lies on the log; fields of later versions are kept out of this one's way.
#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default)]
    version: u64,
    revision: u64,
    #[serde(default)]
    epoch: u64,
    topics: Vec<String>,
    /// What their patterns are bound to, by the rights of who named them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<FilterSpec>,
    #[serde(default)]
    on_gap: OnGap,
    #[serde(default)]
    undecodable: Undecodable,
    #[serde(default)]
    retry: RetryOverride,
    created_ms: i64,
    #[serde(default)]
    id: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Vec<Place>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reset: Option<ActiveReset>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_reset: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replay: Option<String>,
    deletion: Option<Deletion>,
}

/// Topic, partition, offset.
type Place = (String, i32, i64);

impl Row for GroupRecord {
    const TOPIC: &'static str = "tidings.groups";

    /// A change is a change of the group that is known; another group takes its place once it is deleted.
    fn supersedes(&self, known: &Self) -> bool {
        let is_same = || {
            let at = |offset: i64, record: &Self| Self {
                offset,
                ..record.clone()
            };
            at(0, self) == at(0, known)
        };
        if self.id != known.id {
            return self.version == 1 && known.leaves_the_name();
        }
        self.version > known.version || (self.version == known.version && is_same())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let stored = Stored {
            version: self.version,
            revision: self.revision,
            epoch: self.epoch,
            topics: self.settings.topics.iter().map(Selector::to_string).collect(),
            within: (self.settings.topics.within())
                .map(|within| within.iter().map(|pattern| pattern.as_str().to_owned()).collect()),
            filter: self.settings.filter.as_ref().map(|filter| filter.spec().clone()),
            on_gap: self.settings.on_gap,
            undecodable: self.settings.undecodable,
            retry: self.settings.retry,
            created_ms: self.created.0,
            id: self.id,
            start: self.start.as_ref().map(|start| start.iter().map(place).collect()),
            reset: self.reset.as_deref().cloned(),
            last_reset: self.last_reset.clone(),
            replay: self.replay.clone(),
            deletion: self.deletion.as_deref().cloned(),
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8], offset: i64) -> Result<Self> {
        let damaged = |cause: String| Error::new(Reason::LogDamaged, format!("read a group's record: {cause}"));
        let stored: Stored = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        let filter = stored.filter.map(|spec| Filter::compile(spec, "filter"));
        let topics = stored.topics.iter().map(|text| Selector::new(text));
        let topics = Selectors::new(topics.collect::<Result<_>>()?);
        let within = stored
            .within
            .map(|texts| texts.iter().map(|text| Pattern::new(text)).collect());
        let within: Option<Vec<Pattern>> = within.transpose().map_err(damaged)?;
        Ok(Self {
            offset,
            version: stored.version.max(stored.revision),
            revision: stored.revision,
            epoch: stored.epoch,
            settings: GroupSettings {
                topics: match within {
                    Some(within) => topics.only_within(within.into()),
                    None => topics,
                },
                filter: filter.transpose()?,
                on_gap: stored.on_gap,
                undecodable: stored.undecodable,
                retry: stored.retry,
            },
            created: LogTime(stored.created_ms),
            id: stored.id,
            start: stored.start.map(at_places).transpose()?,
            reset: stored.reset.map(Arc::new),
            last_reset: stored.last_reset,
            replay: stored.replay,
            deletion: stored.deletion.map(Arc::new),
        })
    }
}

fn place((at, offset): &(TopicPartition, i64)) -> Place {
    (at.topic.to_string(), at.partition, *offset)
}

fn at_places(places: Vec<Place>) -> Result<Vec<(TopicPartition, i64)>> {
    let at_place = |(topic, partition, offset): Place| {
        let topic = Topic::new(&topic)?;
        Ok((TopicPartition { topic, partition }, offset))
    };
    places.into_iter().map(at_place).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn record(version: u64, id: u64, start: Option<i64>) -> GroupRecord {
        let topics = ["a", "b.c", "d.**", "re:e|f"].map(|text| Selector::new(text).expect("valid"));
        GroupRecord {
            offset: 7,
            version,
            revision: 1,
            epoch: 2,
            settings: GroupSettings {
                topics: Selectors::new(topics.to_vec()),
                filter: Some(Filter::compile(FilterSpec::Cesql("id = '1'".into()), "filter").expect("sound")),
                on_gap: OnGap::Fail,
                undecodable: Undecodable::DeadLetter,
                retry: RetryOverride {
                    factor: Some(1.5),
                    max_attempts: Some(0),
                    ..RetryOverride::default()
                },
            },
            created: LogTime(5),
            id,
            start: start.map(|offset| vec![(partition(2), offset)]),
            reset: None,
            last_reset: None,
            replay: Some("p".to_owned()),
            deletion: None,
        }
    }

    fn partition(partition: i32) -> TopicPartition {
        let topic = Topic::new("b.c").expect("valid");
        TopicPartition { topic, partition }
    }

    fn resetting(version: u64, id: &str) -> GroupRecord {
        let reset = ActiveReset {
            id: id.to_owned(),
            request_id: "q".to_owned(),
            reason: "why".to_owned(),
            by: "somebody".to_owned(),
            accepted_ms: 8,
            undoes: None,
            moves: vec![(partition(1), 10), (partition(3), 30)],
        };
        GroupRecord {
            epoch: 3,
            reset: Some(Arc::new(reset)),
            ..record(version, 17, None)
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for written in [record(3, 17, None), record(1, 17, Some(40)), resetting(4, "r")] {
            let read = GroupRecord::from_bytes(&written.to_bytes(), 7).expect("readable");
            assert_eq!(read, written);
        }
    }

    #[test]
    fn the_first_of_two_creations_holds_and_a_change_takes_its_place() {
        let first = record(1, 17, Some(40));
        assert!(!record(1, 18, Some(40)).supersedes(&first));
        assert!(!record(2, 18, Some(40)).supersedes(&first));
        assert!(!record(1, 17, Some(41)).supersedes(&first));
        assert!(record(2, 17, None).supersedes(&first));
        assert!(!first.supersedes(&record(2, 17, None)));
    }

    #[test]
    fn the_first_of_two_resets_holds() {
        let first = resetting(4, "first");
        assert!(first.supersedes(&record(3, 17, None)));
        assert!(first.supersedes(&first));
        assert!(!resetting(4, "second").supersedes(&first));
        assert!(!record(4, 17, None).supersedes(&first));
    }

    #[test]
    fn a_partition_is_due_until_its_note_has_the_epoch() {
        let record = resetting(4, "r");
        let target = |partition: &TopicPartition, epoch| record.due(partition, epoch).map(|(_, target)| target);
        assert_eq!(target(&partition(3), 2), Some(30));
        assert_eq!(target(&partition(3), 3), None);
        assert_eq!(target(&partition(2), 2), None);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_record_or_an_error(bytes in vec(any::<u8>(), 0..100)) {
            let _ = GroupRecord::from_bytes(&bytes, 0);
        }
    }
}
