//! Groups as things of their own: their records in the compacted topic `tidings.groups`, the same on every replica.

mod active;
mod deleting;
mod foreign;
mod lately;
mod listing;
mod losses;
mod record;
mod view;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::deleting::{DeleteGroup, OpenStreams};
pub use self::view::{GroupInfo, GroupKind, GroupPartition, GroupStream, Served};
pub(super) use self::{
    active::Active,
    lately::LogAnswers,
    losses::Losses,
    record::{ActiveReset, GroupRecord},
};
use super::{
    rules::RetryOverride,
    table::{Table, follow},
};
use crate::{
    error::Result,
    filter::Filter,
    log::Log,
    name::{Group, Selectors},
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
        let (table, active) = (Table::new(log), Arc::<Active>::default());
        follow(vec![Arc::<Table<GroupRecord>>::clone(&table)], followers, ended);
        tasks.spawn(tell_changes(Arc::clone(&table), Arc::clone(&active), stop.clone()));
        Self { table, active }
    }

    /// The group's record, also if another replica has just created it.
    pub(super) async fn find(&self, group: &Group) -> Result<Option<Arc<GroupRecord>>> {
        Ok(self
            .table
            .find(group.as_str())
            .await?
            .filter(|record| !record.is_deleted()))
    }

    /// The group's record with everything that was written before this call.
    pub(super) async fn newest(&self, group: &Group) -> Result<Option<Arc<GroupRecord>>> {
        let newest = self.newest_of_all(group).await?;
        Ok(newest.filter(|record| !record.is_deleted()))
    }

    /// The same, of a group that was deleted too.
    async fn newest_of_all(&self, group: &Group) -> Result<Option<Arc<GroupRecord>>> {
        self.table.newest(group.as_str()).await
    }

    /// Its record as far as this replica knows, of a group that was deleted too.
    pub(super) fn known(&self, group: &Group) -> Option<Arc<GroupRecord>> {
        self.table.known(group.as_str())
    }

    /// By name, those after `after`, at most `count`.
    pub(super) async fn list(
        &self,
        after: Option<&Group>,
        (count, may): (usize, impl Fn(&Group) -> bool),
    ) -> Result<Vec<(Group, Arc<GroupRecord>)>> {
        self.table.catch_up().await?;
        let is_there = |record: &GroupRecord| !record.is_deleted();
        let rows = self
            .table
            .list(after.map(Group::as_str), is_there, usize::MAX)
            .into_iter();
        let rows = rows.map(|(name, record)| Ok((Group::new(&name)?, record)));
        let is_shown = |row: &Result<(Group, _)>| match row {
            Ok((group, _)) => may(group),
            Err(_) => true,
        };
        rows.filter(is_shown).take(count).collect()
    }

    /// Writes a record, durably. Returns the one that holds then: another replica's if that was first. Call it only while
    /// holding the group's lock (`Active::lock`).
    pub(super) async fn put(&self, group: &Group, record: &GroupRecord) -> Result<Arc<GroupRecord>> {
        self.table.put(group.as_str(), record).await
    }

    /// Waits until everything is known that was written before this call.
    pub(super) async fn catch_up(&self) -> Result<()> {
        self.table.catch_up().await
    }

    /// Changes whenever a record may have changed.
    pub(super) fn changes(&self) -> watch::Receiver<i64> {
        self.table.changes()
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
