//! Groups as things of their own: their records in the compacted topic `tidings.groups`, the same on every replica.

mod active;
mod store;
mod view;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::active::Active;
use self::store::Store;
pub use self::view::{GroupInfo, GroupPartition};
use crate::{
    error::{Error, Reason, Result},
    log::{Log, LogTime},
    name::{Group, Topic},
};

/// What belongs to the group, and not to one of its streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// Sorted, each once.
    pub topics: Vec<Topic>,
    pub on_gap: OnGap,
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
}

/// All groups that this replica knows, and those it serves.
pub(super) struct Groups {
    store: Arc<Store>,
    pub(super) active: Arc<Active>,
}

impl Groups {
    /// Begins to read the records; they are followed until `stop`.
    pub(super) fn start(log: Arc<dyn Log>, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let (store, active) = (Store::start(log, tasks, stop), Arc::<Active>::default());
        tasks.spawn(tell_changes(Arc::clone(&store), Arc::clone(&active), stop.clone()));
        Self { store, active }
    }

    /// The group's record, also if another replica has just created it.
    pub(super) async fn find(&self, group: &Group) -> Result<Option<Arc<GroupRecord>>> {
        self.store.find(group).await
    }

    /// By name, those after `after`, at most `count`.
    pub(super) async fn list(&self, after: Option<&Group>, count: usize) -> Result<Vec<(Group, Arc<GroupRecord>)>> {
        self.store.list(after, count).await
    }

    /// Writes a record, durably. Call it only while holding the group's lock (`Active::lock`).
    pub(super) async fn put(&self, group: &Group, record: GroupRecord) -> Result<Arc<GroupRecord>> {
        self.store.put(group, record).await
    }
}

/// Tells the groups that are served here what other replicas have changed about them.
async fn tell_changes(store: Arc<Store>, active: Arc<Active>, stop: CancellationToken) {
    let mut changes = store.changes();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        for (group, handle) in active.all() {
            if let Some(record) = store.known(&group) {
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
    #[serde(default)]
    on_gap: OnGap,
    created_ms: i64,
}

impl GroupRecord {
    fn to_bytes(&self) -> Vec<u8> {
        let stored = Stored {
            revision: self.revision,
            topics: self.settings.topics.iter().map(Topic::to_string).collect(),
            on_gap: self.settings.on_gap,
            created_ms: self.created.0,
        };
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let damaged = |cause: String| Error::new(Reason::LogDamaged, format!("read a group's record: {cause}"));
        let stored: Stored = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        let topics = stored
            .topics
            .iter()
            .map(|topic| Topic::new(topic))
            .collect::<Result<_>>()?;
        Ok(Self {
            offset: 0,
            revision: stored.revision,
            settings: GroupSettings {
                topics,
                on_gap: stored.on_gap,
            },
            created: LogTime(stored.created_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let topics = ["a", "b.c"].map(|topic| Topic::new(topic).expect("valid")).to_vec();
        let record = GroupRecord {
            offset: 0,
            revision: 3,
            settings: GroupSettings {
                topics,
                on_gap: OnGap::Fail,
            },
            created: LogTime(17),
        };
        assert_eq!(GroupRecord::from_bytes(&record.to_bytes()).expect("readable"), record);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_record_or_an_error(bytes in vec(any::<u8>(), 0..100)) {
            let _ = GroupRecord::from_bytes(&bytes);
        }
    }
}
