//! Carrying a reset out: waiting for the owners of partitions, moving those that nobody has, and finishing once all are moved.

use std::{sync::Arc, time::Duration};

use super::{
    moved::{Moved, Mover, key},
    row::{Applied, MovedPartition},
    standing::Standing,
};
use crate::{
    bus::{
        Inner, draining,
        groups::{ActiveReset, GroupRecord},
        notes,
    },
    error::{Reason, Result},
    log::{Commit, Committed, LogTime, TopicPartition},
    name::Group,
};

/// Between two looks at what is committed.
const LOOK: Duration = Duration::from_millis(50);
/// After so many looks, it is tried again whether the group is without members.
const LOOKS: u32 = 10;

/// A partition that is not moved yet, and what is committed there.
type Unmoved = (TopicPartition, i64, Option<Committed>);

impl Inner {
    /// Waits until a reset is carried out, and does what nobody else does.
    pub(super) async fn drive(&self, group: &Group, id: &str) -> Result<()> {
        let mut looks = 0;
        loop {
            let Some((record, reset)) = self.active_reset(group, id).await? else {
                return Ok(());
            };
            let unmoved = self.unmoved(group, &record, &reset).await?;
            if unmoved.is_empty() {
                self.finish(group, &record, &reset).await?;
                continue;
            }
            if looks % LOOKS == 0 {
                self.move_unowned(group, (&reset, record.epoch), unmoved).await?;
            }
            looks += 1;
            tokio::select! {
                () = self.draining.cancelled() => return Err(draining()),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// After the owner of partitions has moved them: the last of all finishes.
    pub(in crate::bus) async fn finish_if_done(&self, group: &Group) {
        let finish = async {
            let Some(record) = self.groups.newest(group).await? else {
                return Ok(());
            };
            let Some(reset) = record.reset.clone() else {
                return Ok(());
            };
            match self.unmoved(group, &record, &reset).await?.is_empty() {
                true => self.finish(group, &record, &reset).await,
                false => Ok(()),
            }
        };
        let finished: Result<()> = finish.await;
        if let Err(error) = finished {
            // Whoever was asked for the reset finishes it, or who is asked for the next one.
            tracing::warn!(%group, %error, "cannot finish a reset");
        }
    }

    /// The group's record and this reset, if that is not finished.
    async fn active_reset(&self, group: &Group, id: &str) -> Result<Option<(Arc<GroupRecord>, Arc<ActiveReset>)>> {
        let Some(record) = self.groups.newest(group).await? else {
            return Ok(None);
        };
        let reset = record.reset.clone().filter(|reset| reset.id == id);
        Ok(reset.map(|reset| (record, reset)))
    }

    /// Partitions of the group whose note does not have the epoch.
    async fn unmoved(&self, group: &Group, record: &GroupRecord, reset: &ActiveReset) -> Result<Vec<Unmoved>> {
        // Nobody moves what was deleted, or what is no longer the group's.
        let existing = self.existing_partitions(&record.settings.topics).await?;
        let (partitions, targets): (Vec<_>, Vec<_>) = (existing.into_iter())
            .filter_map(|partition| reset.target(&partition).map(|target| (partition, target)))
            .unzip();
        let committed = self.log.committed(group, &partitions).await?;
        let rows = partitions.into_iter().zip(targets).zip(committed);
        Ok(rows
            .filter(|(_, committed)| committed.as_ref().map_or(0, notes::epoch) < record.epoch)
            .map(|((partition, target), committed)| (partition, target, committed))
            .collect())
    }

    /// Moves partitions of a group without members. With members they move them themselves.
    async fn move_unowned(
        &self,
        group: &Group,
        (reset, epoch): (&ActiveReset, u64),
        unmoved: Vec<Unmoved>,
    ) -> Result<()> {
        if self.groups.active.get(group).is_some() {
            return Ok(());
        }
        self.moves.catch_up().await?;
        let row = |(partition, target, committed): Unmoved| {
            let key = key(group, &partition);
            let last = self.moves.known(&key);
            let stood = committed.map_or(Standing::new(target, []), |committed| {
                notes::standing(&committed, last.as_deref())
            });
            (
                key,
                Moved::by(Mover::Anybody, (reset, epoch), (target, stood), last.as_deref()),
            )
        };
        let partitions: Vec<TopicPartition> = unmoved.iter().map(|(partition, _, _)| partition.clone()).collect();
        let rows: Vec<(String, Moved)> = unmoved.into_iter().map(row).collect();
        self.moves.put_all(&rows).await?;
        // An owner that died before it committed knew better where the group stood.
        let holds = rows
            .into_iter()
            .map(|(key, row)| self.moves.known(&key).map_or(row, |holds| (*holds).clone()));
        let commits = partitions.into_iter().zip(holds).map(|(partition, moved)| Commit {
            partition,
            offset: moved.after.offset,
            note: notes::of_epoch(moved.after.offset, epoch),
        });
        match self.log.commit(group, commits.collect()).await {
            Err(error) if error.reason() != Reason::GroupInUse && !error.reason().is_retryable() => Err(error),
            _ => Ok(()),
        }
    }

    /// All is moved: what was done is kept for good, and the group has no reset any more.
    async fn finish(&self, group: &Group, record: &GroupRecord, reset: &ActiveReset) -> Result<()> {
        let row = self.reset_row(&reset.id, Reason::ResetNotFound).await?;
        self.moves.catch_up().await?;
        let moved = |(partition, _): &(TopicPartition, i64)| {
            let moved = self
                .moves
                .known(&key(group, partition))
                .filter(|moved| moved.reset_id == reset.id)?;
            Some(MovedPartition {
                partition: partition.clone(),
                before: moved.before.clone(),
                after: moved.after.clone(),
            })
        };
        let done = Applied {
            finished: Some(LogTime::now()),
            partitions: reset.moves.iter().filter_map(moved).collect(),
            ..Applied::accepted(reset, record.epoch)
        };
        self.note(&row.plan, done).await?;
        let finished = GroupRecord {
            reset: None,
            ..record.next()
        };
        self.groups.put(group, &finished).await?;
        tracing::info!(%group, reset = reset.id, epoch = record.epoch, "reset finished");
        Ok(())
    }
}
