//! Deleting a group: its record says so, its tasks end wherever they run, then what it stood on is forgotten.
//!
//! ```text
//! the record, deleted ─▶ streams end, replicas leave ─▶ offsets, moved/…, stands/…, covers/…, tries/… forgotten ─▶ the record, forgotten
//! ```
//!
//! From the first record on the group does not exist. Who dies on the way leaves the rest to whoever is asked next: for the same
//! deletion, or to create a group of the name, which begins only when everything is forgotten.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::GroupRecord;
use crate::{
    bus::{Bus, Inner, audit::Act, covers, draining, resets, stands},
    error::{Error, Reason, Result},
    log::LogTime,
    name::Group,
};

/// How often others may change the group before the deletion is given up.
const MOST_TRIES: usize = 10;
/// For replicas to leave the group. One that died does so when its session is over.
const PATIENCE: Duration = Duration::from_secs(60);
/// For tasks of the group that have no stream any more.
const LINGERING: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// What is to be deleted.
#[derive(Clone, Debug)]
pub struct DeleteGroup {
    pub group: Group,
    pub streams: OpenStreams,
    pub reason: String,
    /// Makes the call repeatable.
    pub request_id: String,
    /// Who asks.
    pub by: String,
}

/// What if the group has streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenStreams {
    Refuse,
    End,
}

/// That a group was deleted, in its record for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bus) struct Deletion {
    /// The id of the group; one that was created later has another.
    pub(super) id: u64,
    request_id: String,
    pub(super) reason: String,
    by: String,
    time_ms: i64,
    /// Nothing is left of it.
    pub(super) is_forgotten: bool,
}

impl Bus {
    /// Returns when nothing is left of the group but its dead letters, and says how many these are. Once it has begun it goes
    /// on, whether the caller waits for it or not; asked again with the same id it gives the same answer.
    pub async fn delete_group(&self, delete: DeleteGroup) -> Result<usize> {
        if self.0.draining.is_cancelled() {
            return Err(draining());
        }
        let bus = Arc::clone(&self.0);
        let deleting = self.0.tasks.spawn(async move { bus.delete_group(delete).await });
        let failed = |error| Error::new(Reason::Internal, "delete a group").caused_by(error);
        deleting.await.map_err(failed)?
    }
}

impl Inner {
    async fn delete_group(&self, delete: DeleteGroup) -> Result<usize> {
        let group = &delete.group;
        let _one_at_a_time = self.groups.active.lock(group).await;
        let record = match self.groups.newest_of_all(group).await? {
            Some(record) if record.was_deleted_by(&delete.request_id) => record,
            Some(record) if !record.is_deleted() => self.mark_deleted(&delete).await?,
            _ => return Err(Error::no_such_group(group)),
        };
        if record.is_deleted() {
            self.forget_group(group, &record).await?;
        }
        self.letters_left(group).await
    }

    /// From this record on the group does not exist.
    async fn mark_deleted(&self, delete: &DeleteGroup) -> Result<Arc<GroupRecord>> {
        let group = &delete.group;
        if delete.streams == OpenStreams::Refuse {
            self.check_unused(group).await?;
        }
        for _ in 0..MOST_TRIES {
            let record = self.groups.newest(group).await?;
            let record = record.ok_or_else(|| Error::no_such_group(group))?;
            if let Some(reset) = &record.reset {
                let text = format!(
                    "delete group {group}: it is being moved by reset {}; wait for it",
                    reset.id
                );
                return Err(Error::new(Reason::ResetActive, text).resource("reset", &reset.id));
            }
            let deletion = Deletion::of(&record, delete);
            let holds = self.groups.put(group, &record.deleted(deletion)).await?;
            if holds.was_deleted_by(&delete.request_id) {
                tracing::info!(%group, by = delete.by, reason = delete.reason, "group deleted");
                return Ok(holds);
            }
        }
        let text = format!("delete group {group}: others change it all the time");
        Err(Error::new(Reason::GroupConflict, text).resource("group", group.as_str()))
    }

    /// That no replica has a stream of the group. One whose last stream has just left stays in it a little longer.
    async fn check_unused(&self, group: &Group) -> Result<()> {
        let until = Instant::now() + LINGERING;
        loop {
            let sights = self.sights(group, &self.others()).await;
            let streams: usize = sights.iter().map(|sight| sight.view.streams).sum();
            if streams == 0 && !self.log.has_members(group).await? {
                return Ok(());
            }
            if streams > 0 || Instant::now() >= until {
                let text =
                    format!("delete group {group}: it has {streams} open streams; end them, or delete it with force");
                return Err(Error::new(Reason::GroupInUse, text).resource("group", group.as_str()));
            }
            sleep(PAUSE).await;
        }
    }

    /// What the group of a deleted record stood on is removed, if that is not done yet.
    pub(in crate::bus) async fn forget_group(&self, group: &Group, record: &GroupRecord) -> Result<()> {
        let Some(forgotten) = record.forgotten() else {
            return Ok(());
        };
        if let Some(handle) = self.groups.active.get(group) {
            handle.replace(Arc::new(record.clone())).await;
        }
        let until = Instant::now() + PATIENCE;
        loop {
            match self.log.forget(group).await {
                Ok(()) => break,
                Err(error) if error.reason() == Reason::GroupInUse && Instant::now() < until => sleep(PAUSE).await,
                Err(error) => return Err(error),
            }
        }
        self.moves.catch_up().await?;
        self.moves
            .remove_all(&self.moves.keys_under(&resets::keys_of(group)))
            .await?;
        self.stands
            .remove_all(&self.stands.keys_under(&stands::keys_of(group)))
            .await?;
        self.covers
            .remove_all(&self.covers.keys_under(&covers::keys_of(group)))
            .await?;
        self.notes.forget(group).await?;
        self.audit_deletion(group, record).await?;
        self.groups.put(group, &forgotten).await?;
        Ok(())
    }

    async fn audit_deletion(&self, group: &Group, record: &GroupRecord) -> Result<()> {
        let Some(deletion) = &record.deletion else {
            return Ok(());
        };
        let act = Act {
            id: &format!("deleted-{:016x}", deletion.id),
            ty: "tidings.groups.deleted",
            subject: group.as_str(),
            by: &deletion.by,
            reason: &deletion.reason,
            details: &**deletion,
        };
        self.audit(&act).await
    }

    async fn letters_left(&self, group: &Group) -> Result<usize> {
        match self.log.partitions(&self.dead_letters.topic(group)?).await? {
            Some(_) => Ok(self.letters_of(group).await?.waiting()),
            None => Ok(0),
        }
    }
}

impl Deletion {
    fn of(record: &GroupRecord, delete: &DeleteGroup) -> Self {
        Self {
            id: record.id,
            request_id: delete.request_id.clone(),
            reason: delete.reason.clone(),
            by: delete.by.clone(),
            time_ms: LogTime::now().0,
            is_forgotten: false,
        }
    }
}

impl GroupRecord {
    pub(in crate::bus) fn is_deleted(&self) -> bool {
        self.deletion.as_ref().is_some_and(|deletion| deletion.id == self.id)
    }

    /// What whoever uses the group is told.
    pub(in crate::bus) fn deletion_error(&self, group: &Group) -> Error {
        let reason = self.deletion.as_ref().map_or("", |deletion| deletion.reason.as_str());
        let text = format!("group {group} was deleted: {reason}");
        Error::new(Reason::GroupNotFound, text).resource("group", group.as_str())
    }

    /// Also if a group of the name was created since.
    fn was_deleted_by(&self, request_id: &str) -> bool {
        let deletion = self.deletion.as_ref();
        deletion.is_some_and(|deletion| deletion.request_id == request_id)
    }

    fn deleted(&self, deletion: Deletion) -> Self {
        let deletion = Some(Arc::new(deletion));
        Self {
            deletion,
            ..self.next()
        }
    }

    /// The record that follows once nothing is left of the deleted group; `None` = it is this, or none is deleted.
    fn forgotten(&self) -> Option<Self> {
        let deletion = self
            .deletion
            .as_deref()
            .filter(|deletion| self.is_deleted() && !deletion.is_forgotten)?;
        let is_forgotten = true;
        Some(self.deleted(Deletion {
            is_forgotten,
            ..deletion.clone()
        }))
    }

    /// Whether a group may be created in its place.
    pub(super) fn leaves_the_name(&self) -> bool {
        self.is_deleted() && self.forgotten().is_none()
    }
}
