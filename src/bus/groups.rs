//! Groups as things of their own: their records in the compacted topic `tidings.groups`, the same on every replica.

mod active;
mod view;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::active::Active;
pub use self::view::{GroupInfo, GroupPartition};
use super::{
    rules::RetryOverride,
    table::{Row, Table},
};
use crate::{
    error::{Error, Reason, Result},
    filter::{Filter, FilterSpec},
    log::{Log, LogTime, TopicPartition},
    name::{Group, Selector, Selectors, Topic},
};

/// What belongs to the group, and not to one of its streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    pub topics: Selectors,
    /// Which events the group gets; `None` = all.
    pub filter: Option<Filter>,
    pub on_gap: OnGap,
    pub undecodable: Undecodable,
    pub retry: RetryOverride,
}

/// What to do with records that are no events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undecodable {
    /// Deliver them with their fault.
    #[default]
    Deliver,
    /// Make dead letters of them, and of events that fit into no message to the client.
    DeadLetter,
}

/// What to do where events that come next are gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnGap {
    /// Say so, and go on with the oldest there is.
    #[default]
    Continue,
    /// End the stream with `POSITION_GONE`.
    Fail,
}

/// A group's record: its settings, and how often they changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GroupRecord {
    /// Where it lies in `tidings.groups`: a later one holds.
    pub(super) offset: i64,
    pub(super) revision: u64,
    pub(super) settings: GroupSettings,
    pub(super) created: LogTime,
    /// Tells the group from another of its name, which another replica creates in the same moment.
    pub(super) id: u64,
    /// Where the group starts, until that is committed.
    pub(super) start: Option<Vec<(TopicPartition, i64)>>,
}

/// All groups that this replica knows, and those it serves.
pub(super) struct Groups {
    table: Arc<Table<GroupRecord>>,
    pub(super) active: Arc<Active>,
}

impl Groups {
    /// Begins to read the records. Groups hear of changes until `stop`, and the records are followed until `ended`.
    pub(super) fn start(
        log: Arc<dyn Log>,
        (tasks, stop): (&TaskTracker, &CancellationToken),
        (followers, ended): (&TaskTracker, &CancellationToken),
    ) -> Self {
        let (table, active) = (Table::start(log, followers, ended), Arc::<Active>::default());
        tasks.spawn(tell_changes(Arc::clone(&table), Arc::clone(&active), stop.clone()));
        Self { table, active }
    }

    /// The group's record, also if another replica has just created it.
    pub(super) async fn find(&self, group: &Group) -> Result<Option<Arc<GroupRecord>>> {
        self.table.find(group.as_str()).await
    }

    /// The group's record with everything that was written before this call.
    pub(super) async fn newest(&self, group: &Group) -> Result<Option<Arc<GroupRecord>>> {
        self.table.newest(group.as_str()).await
    }

    /// By name, those after `after`, at most `count`.
    pub(super) async fn list(&self, after: Option<&Group>, count: usize) -> Result<Vec<(Group, Arc<GroupRecord>)>> {
        let rows = self.table.list(after.map(Group::as_str), count).await?;
        rows.into_iter()
            .map(|(name, record)| Ok((Group::new(&name)?, record)))
            .collect()
    }

    /// Writes a record, durably. Returns the one that holds then: another replica's if that was first. Call it only while
    /// holding the group's lock (`Active::lock`).
    pub(super) async fn put(&self, group: &Group, record: &GroupRecord) -> Result<Arc<GroupRecord>> {
        self.table.put(group.as_str(), record).await
    }

    /// Forgets a group.
    pub(super) async fn remove(&self, group: &Group) -> Result<()> {
        self.table.remove(group.as_str()).await
    }
}

/// Tells the groups that are served here what other replicas have changed about them.
async fn tell_changes(table: Arc<Table<GroupRecord>>, active: Arc<Active>, stop: CancellationToken) {
    let mut changes = table.changes();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        for (group, handle) in active.all() {
            if let Some(record) = table.known(group.as_str()) {
                handle.replace(record).await;
            }
        }
    }
}

/// The record as it lies on the log; fields of later versions are kept out of this one's way.
#[derive(Serialize, Deserialize)]
struct Stored {
    revision: u64,
    topics: Vec<String>,
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
    start: Option<Vec<(String, i32, i64)>>,
}

impl Row for GroupRecord {
    const TOPIC: &'static str = "tidings.groups";

    /// Of two replicas that create or change a group at once, the first one's record holds.
    fn supersedes(&self, known: &Self) -> bool {
        let is_same = (self.revision, self.id) == (known.revision, known.id) && self.settings == known.settings;
        self.revision > known.revision || (is_same && (self.start.is_none() || self.start == known.start))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let place = |(at, offset): &(TopicPartition, i64)| (at.topic.to_string(), at.partition, *offset);
        let stored = Stored {
            revision: self.revision,
            topics: self.settings.topics.iter().map(Selector::to_string).collect(),
            filter: self.settings.filter.as_ref().map(|filter| filter.spec().clone()),
            on_gap: self.settings.on_gap,
            undecodable: self.settings.undecodable,
            retry: self.settings.retry,
            created_ms: self.created.0,
            id: self.id,
            start: self.start.as_ref().map(|start| start.iter().map(place).collect()),
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8], offset: i64) -> Result<Self> {
        let damaged = |cause: String| Error::new(Reason::LogDamaged, format!("read a group's record: {cause}"));
        let stored: Stored = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        let place = |(topic, partition, offset): (String, i32, i64)| {
            let topic = Topic::new(&topic)?;
            Ok((TopicPartition { topic, partition }, offset))
        };
        let start = stored
            .start
            .map(|start| start.into_iter().map(place).collect::<Result<_>>());
        let filter = stored.filter.map(|spec| Filter::compile(spec, "filter"));
        let topics = stored.topics.iter().map(|text| Selector::new(text));
        Ok(Self {
            offset,
            revision: stored.revision,
            settings: GroupSettings {
                topics: Selectors::new(topics.collect::<Result<_>>()?),
                filter: filter.transpose()?,
                on_gap: stored.on_gap,
                undecodable: stored.undecodable,
                retry: stored.retry,
            },
            created: LogTime(stored.created_ms),
            id: stored.id,
            start: start.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn record(revision: u64, id: u64, start: Option<i64>) -> GroupRecord {
        let topics = ["a", "b.c", "d.**", "re:e|f"].map(|text| Selector::new(text).expect("valid"));
        let topic = Topic::new("b.c").expect("valid");
        GroupRecord {
            offset: 7,
            revision,
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
            start: start.map(|offset| vec![(TopicPartition { topic, partition: 2 }, offset)]),
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for written in [record(3, 17, None), record(1, 17, Some(40))] {
            let read = GroupRecord::from_bytes(&written.to_bytes(), 7).expect("readable");
            assert_eq!(read, written);
        }
    }

    #[test]
    fn the_first_of_two_creations_holds_and_a_change_takes_its_place() {
        let first = record(1, 17, Some(40));
        assert!(!record(1, 18, Some(40)).supersedes(&first));
        assert!(!record(1, 17, Some(41)).supersedes(&first));
        assert!(record(1, 17, None).supersedes(&first));
        assert!(!first.supersedes(&record(1, 17, None)));
        assert!(record(2, 17, None).supersedes(&first));
        assert!(!first.supersedes(&record(2, 17, None)));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_record_or_an_error(bytes in vec(any::<u8>(), 0..100)) {
            let _ = GroupRecord::from_bytes(&bytes, 0);
        }
    }
}
