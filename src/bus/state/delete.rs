//! Removing a snapshot: written down first, so that the same call can be repeated wherever it was cut off.

use serde::Serialize;

use super::{
    claim::active,
    info::Alive,
    name::SnapshotName,
    row::{Deletion, SnapshotRow},
    shelf,
};
use crate::{
    bus::{Bus, Inner, audit::Act},
    error::Result,
    log::LogTime,
    name::Topic,
};

/// Calls are remembered for so long, in milliseconds.
const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1_000;

/// What is to go.
#[derive(Clone, Debug)]
pub struct DeleteSnapshot {
    pub topic: Topic,
    pub id: String,
    pub reason: String,
    pub by: String,
    pub request_id: String,
}

#[derive(Serialize)]
struct Details<'a> {
    snapshot: &'a str,
    request_id: &'a str,
}

impl Bus {
    /// Removes a snapshot, a damaged one too.
    pub async fn delete_snapshot(&self, asked: &DeleteSnapshot) -> Result<()> {
        let bus = &self.0;
        let objects = bus.objects()?;
        let name = SnapshotName::of(&asked.topic, &asked.id);
        let key = Deletion::key(&name.to_string(), &asked.request_id);
        bus.refuse_while_taken(asked).await?;
        let is_repeated = bus.deletions.newest(&key).await?.is_some();
        let has_any = shelf::has_any(objects, &asked.topic, &asked.id).await?;
        if !has_any && !is_repeated {
            return Err(name.not_found());
        }
        bus.forget_old_deletions().await;
        let row = Deletion {
            by: asked.by.clone(),
            reason: asked.reason.clone(),
            at: LogTime::now(),
        };
        bus.deletions.put(&key, &row).await?;
        if has_any {
            bus.write_down(&name, asked).await?;
        }
        shelf::remove(objects, &asked.topic, &asked.id).await
    }
}

impl Inner {
    async fn refuse_while_taken(&self, asked: &DeleteSnapshot) -> Result<()> {
        let row = self.snapshots.newest(&SnapshotRow::key(&asked.topic)).await?;
        let is_taken = |row: &SnapshotRow| row.id == asked.id && self.takes(&asked.topic, row) == Alive::Yes;
        match row.is_some_and(|row| is_taken(&row)) {
            true => Err(active(&asked.topic, &asked.id)),
            false => Ok(()),
        }
    }

    async fn write_down(&self, name: &SnapshotName, asked: &DeleteSnapshot) -> Result<()> {
        let snapshot = name.to_string();
        let act = Act {
            id: &format!("{snapshot}/{}", asked.request_id),
            ty: "tidings.snapshots.deleted",
            subject: asked.topic.as_str(),
            by: &asked.by,
            reason: &asked.reason,
            details: &Details {
                snapshot: &snapshot,
                request_id: &asked.request_id,
            },
        };
        self.audit(&act).await
    }

    async fn forget_old_deletions(&self) {
        let oldest = LogTime::now().0.saturating_sub(REMEMBERED_MS);
        let all = self.deletions.all().into_iter();
        let old: Vec<String> = all.filter(|(_, row)| row.at.0 < oldest).map(|(key, _)| key).collect();
        if let Err(error) = self.deletions.remove_all(&old).await {
            tracing::debug!(%error, "cannot forget old deletions of snapshots");
        }
    }
}
