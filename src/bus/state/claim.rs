//! Who takes the snapshot of a topic: the first to say so, until it is done or has said nothing for a while.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    create::NewSnapshot,
    info::{Alive, SnapshotInfo},
    name::SnapshotName,
    row::{Creation, SnapshotRow},
    shelf::{self, Found},
};
use crate::{
    bus::Inner,
    error::{Error, Reason, Result},
    log::LogTime,
    name::Topic,
};

/// Who takes a snapshot says so in between.
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_secs(3);
/// Who has said nothing for so long is believed to be gone.
const BELIEVED_MS: i64 = 15_000;
/// Between two looks at whether it is.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What comes of a call.
pub(super) enum Claim {
    /// The snapshot is ours to take.
    Ours(Box<SnapshotRow>),
    /// The call was made before, and this came of it.
    Done(Box<SnapshotInfo>),
}

impl Inner {
    /// `SNAPSHOT_ACTIVE` if another call takes one. Waits where it is the same call.
    pub(super) async fn claim_snapshot(&self, new: &NewSnapshot) -> Result<Claim> {
        let key = SnapshotRow::key(&new.topic);
        loop {
            let known = self.snapshots.newest(&key).await?;
            if let Some(known) = &known {
                if let Some(done) = self.done_before(new, known).await? {
                    return Ok(Claim::Done(Box::new(done)));
                }
                if self.takes(&new.topic, known) == Alive::Yes {
                    if known.request_id != new.request_id {
                        return Err(active(&new.topic, &known.id));
                    }
                    self.wait_for_news().await;
                    continue;
                }
            }
            let row = self.first_row(new, known.as_deref());
            if self.snapshots.put(&key, &row).await?.id == row.id {
                return Ok(Claim::Ours(Box::new(row)));
            }
        }
    }

    /// Whether somebody takes the snapshot that this row tells of.
    pub(super) fn takes(&self, topic: &Topic, row: &SnapshotRow) -> Alive {
        // Where nobody else uses the log, whoever else has written this is gone.
        let is_gone = !self.log.is_shared() && row.replica_id != self.replica_id;
        let key = SnapshotRow::key(topic);
        let said = self.snapshots.under(&key).into_iter().find(|(known, ..)| *known == key);
        let is_recent = said.is_some_and(|(.., time)| LogTime::now().0.saturating_sub(time.0) < BELIEVED_MS);
        match row.is_active() && !is_gone && is_recent {
            true => Alive::Yes,
            false => Alive::No,
        }
    }

    /// The snapshot that the same call has taken, also where its end was not told any more.
    async fn done_before(&self, new: &NewSnapshot, known: &SnapshotRow) -> Result<Option<SnapshotInfo>> {
        let objects = self.objects()?;
        if let Some(id) = known.taken_by(&new.request_id) {
            return match shelf::find(objects, &new.topic, id).await? {
                Found::Ready(manifest) => Ok(Some(SnapshotInfo::ready(&manifest))),
                Found::Damaged(what) => Err(shelf::damaged(&new.topic, id, &what)),
                Found::Nothing => Err(SnapshotName::of(&new.topic, id).not_found()),
            };
        }
        let is_cut_off = known.is_active() && known.request_id == new.request_id;
        if !is_cut_off || self.takes(&new.topic, known) == Alive::Yes {
            return Ok(None);
        }
        let Found::Ready(manifest) = shelf::find(objects, &new.topic, &known.id).await? else {
            return Ok(None);
        };
        let mut row = known.clone();
        row.end(None);
        self.snapshots.put(&SnapshotRow::key(&new.topic), &row).await?;
        Ok(Some(SnapshotInfo::ready(&manifest)))
    }

    fn first_row(&self, new: &NewSnapshot, known: Option<&SnapshotRow>) -> SnapshotRow {
        SnapshotRow {
            term: known.map_or(0, |known| known.term) + 1,
            id: uuid::Uuid::now_v7().simple().to_string(),
            replica_id: self.replica_id.clone(),
            request_id: new.request_id.clone(),
            reason: new.reason.clone(),
            by: new.by.clone(),
            begun: LogTime::now(),
            state: Creation::Active(0),
            offsets: Vec::new(),
            base: None,
            read: 0,
            total: 0,
            keys: 0,
            bytes: 0,
            done: known.map_or_else(Vec::new, |known| known.done.clone()),
        }
    }

    async fn wait_for_news(&self) {
        let mut changes = self.snapshots.changes();
        // Nothing may be said any more: then it is looked at whether it is over.
        let _ = timeout(LOOK_AGAIN, changes.changed()).await;
    }

    /// Whether the row is still that of this snapshot.
    pub(super) async fn is_ours(&self, topic: &Topic, row: &SnapshotRow) -> Result<()> {
        let known: Option<Arc<SnapshotRow>> = self.snapshots.newest(&SnapshotRow::key(topic)).await?;
        match known.is_some_and(|known| known.id == row.id && known.is_active()) {
            true => Ok(()),
            false => Err(superseded(topic)),
        }
    }
}

pub(super) fn superseded(topic: &Topic) -> Error {
    let text = format!("take a snapshot of {topic}: this server was silent for too long, and another has taken over");
    Error::new(Reason::LogUnavailable, text)
}

pub(super) fn active(topic: &Topic, id: &str) -> Error {
    let name = SnapshotName::of(topic, id).to_string();
    let text = format!("snapshot {name} is being taken");
    Error::new(Reason::SnapshotActive, text).resource("snapshot", &name)
}
