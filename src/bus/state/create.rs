//! Taking a snapshot: the state of a topic is read, written in chunks, and exists with its manifest.
//!
//! ```text
//! claim ─▶ remove what a crash left ─▶ read, merge ─▶ chunks ─▶ still ours? ─▶ manifest ─▶ told ─▶ old ones are retired
//! ```

use std::sync::Arc;

use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};

use super::{
    claim::{Claim, SIGN_OF_LIFE, superseded},
    info::SnapshotInfo,
    manifest::Manifest,
    row::SnapshotRow,
    shelf::{self, Found},
    writing::{Written, write},
};
use crate::{
    bus::{Bus, Inner, draining},
    error::{Error, Reason, Result},
    log::LogTime,
    name::Topic,
    objects::Objects,
};

/// What is to be taken.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    pub topic: Topic,
    pub reason: String,
    pub by: String,
    pub request_id: String,
}

impl Bus {
    /// Takes a snapshot, durably. It goes on where this is cancelled.
    pub async fn create_snapshot(&self, new: NewSnapshot) -> Result<SnapshotInfo> {
        let bus = Arc::clone(&self.0);
        bus.objects()?;
        if bus.log.partitions(&new.topic).await?.is_none() {
            return Err(Error::no_such_topic(&new.topic));
        }
        if bus.draining.is_cancelled() {
            return Err(draining());
        }
        let (answer, answered) = oneshot::channel();
        let tasks = bus.tasks.clone();
        tasks.spawn(async move {
            // Nobody may wait for it any more.
            let _ = answer.send(bus.take_snapshot(new).await);
        });
        answered.await.unwrap_or_else(|_| Err(draining()))
    }
}

impl Inner {
    async fn take_snapshot(self: &Arc<Self>, new: NewSnapshot) -> Result<SnapshotInfo> {
        let claim = tokio::select! {
            claim = self.claim_snapshot(&new) => claim?,
            () = self.draining.cancelled() => return Err(draining()),
        };
        let mut row = match claim {
            Claim::Done(info) => return Ok(*info),
            Claim::Ours(row) => *row,
        };
        let taken = tokio::select! {
            taken = self.carry_out(&new.topic, &mut row) => taken,
            () = self.draining.cancelled() => Err(draining()),
        };
        let ended = self.end(&new.topic, row, &taken).await;
        let manifest = taken?;
        // It is durable, whether that was told or not: the same call finds it.
        if let Err(error) = ended {
            tracing::warn!(snapshot = manifest.name(), %error, "cannot tell that a snapshot is ready");
        }
        self.retire(&new.topic).await;
        Ok(SnapshotInfo::ready(&manifest))
    }

    async fn carry_out(self: &Arc<Self>, topic: &Topic, row: &mut SnapshotRow) -> Result<Manifest> {
        let objects = self.objects()?;
        self.remove_unfinished(objects, topic, &row.id).await?;
        let written = Arc::new(Written::default());
        let writing = write(self, topic, row.clone(), Arc::clone(&written));
        tokio::pin!(writing);
        let mut signs = interval(SIGN_OF_LIFE);
        signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let manifest = loop {
            tokio::select! {
                manifest = &mut writing => break manifest?,
                _ = signs.tick() => {
                    row.say_again();
                    written.tell(row);
                    if self.snapshots.put(&SnapshotRow::key(topic), row).await?.id != row.id {
                        return Err(superseded(topic));
                    }
                }
            }
        };
        written.tell(row);
        self.is_ours(topic, row).await?;
        shelf::put(objects, &manifest).await?;
        tracing::info!(
            snapshot = manifest.name(),
            keys = manifest.keys(),
            bytes = manifest.bytes(),
            read = manifest.read,
            "took a snapshot"
        );
        Ok(manifest)
    }

    async fn end(&self, topic: &Topic, mut row: SnapshotRow, taken: &Result<Manifest>) -> Result<()> {
        let failure = taken.as_ref().err();
        if let (Some(error), Ok(objects)) = (failure, self.objects()) {
            tracing::warn!(%topic, %error, "could not take a snapshot");
            // What is left the next one removes.
            let _ = shelf::remove(objects, topic, &row.id).await;
        }
        row.end(failure.map(|error| error.text().to_owned()));
        self.snapshots.put(&SnapshotRow::key(topic), &row).await.map(|_| ())
    }

    /// What a crash has left.
    async fn remove_unfinished(&self, objects: &Objects, topic: &Topic, own: &str) -> Result<()> {
        for id in shelf::ids(objects, topic).await? {
            if id != own && matches!(shelf::find(objects, topic, &id).await?, Found::Nothing) {
                tracing::info!(%topic, id, "removing what is left of a snapshot that was not finished");
                shelf::remove(objects, topic, &id).await?;
            }
        }
        Ok(())
    }

    /// Removes old snapshots of a topic, by count and age, never the newest. What cannot be removed now is later.
    pub(super) async fn retire(&self, topic: &Topic) {
        if let Err(error) = self.try_to_retire(topic).await {
            tracing::warn!(%topic, %error, "cannot remove old snapshots");
        }
    }

    async fn try_to_retire(&self, topic: &Topic) -> Result<()> {
        let (objects, settings) = (self.objects()?, &self.settings.snapshots);
        let max_age = i64::try_from(settings.max_age.as_millis()).unwrap_or(i64::MAX);
        let oldest = LogTime::now().0.saturating_sub(max_age);
        let mut newer = 0;
        for id in shelf::ids(objects, topic).await? {
            let found = shelf::find(objects, topic, &id).await?;
            let is_old = match &found {
                Found::Nothing => continue,
                Found::Damaged(_) => false,
                Found::Ready(manifest) => max_age > 0 && newer > 0 && manifest.finished.0 < oldest,
            };
            if is_old || (settings.keep > 0 && newer >= settings.keep) {
                tracing::info!(%topic, id, "removing an old snapshot");
                shelf::remove(objects, topic, &id).await?;
            } else if matches!(found, Found::Ready(_)) {
                newer += 1;
            }
        }
        Ok(())
    }
}

/// The task that takes a part of it was aborted.
pub(super) fn aborted() -> Error {
    Error::new(Reason::Internal, "take a snapshot: a task was aborted")
}
