//! Checkpoints that cover events of the group: all below their positions is settled, whoever has it, and committed at once.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use super::{Command, Handle, owned::Owned, task::Task};
use crate::{
    bus::{
        covers::{Cover, key},
        delivery::PartitionId,
    },
    log::TopicPartition,
};

/// What checkpoints cover, until it is committed.
#[derive(Default)]
pub(super) struct Covering {
    uncommitted: FxHashMap<PartitionId, Arc<Cover>>,
    /// Those who need the group to be served, whether it has streams or not.
    stays: FuturesUnordered<oneshot::Receiver<()>>,
}

/// Keeps a group's task alive until it is dropped.
pub(in crate::bus) struct Stay(#[expect(dead_code, reason = "only its drop matters")] oneshot::Sender<()>);

impl Handle {
    /// A checkpoint covers events of the group.
    pub(in crate::bus) async fn cover(&self, cover: Arc<Cover>) {
        // A task that has ended finds it when it is started again.
        let _ = self.commands.send(Command::Cover(cover)).await;
    }

    /// Has the task stay in the group; `None` if it has just ended.
    pub(in crate::bus) async fn stay(&self) -> Option<Stay> {
        let (stay, until) = oneshot::channel();
        self.commands.send(Command::Stay(until)).await.ok()?;
        Some(Stay(stay))
    }
}

impl Covering {
    pub(super) fn stay(&mut self, until: oneshot::Receiver<()>) {
        self.stays.push(until);
    }

    /// Somebody needs the group to be served.
    pub(super) fn is_needed(&self) -> bool {
        !self.stays.is_empty()
    }

    /// Ready when somebody does not need it any more; never while there is nobody.
    pub(super) async fn left(&mut self) {
        if self.stays.next().await.is_none() {
            std::future::pending().await
        }
    }

    /// The partition is not ours any more: whoever has it next goes on.
    pub(super) fn forget(&mut self, id: PartitionId) {
        self.uncommitted.remove(&id);
    }
}

impl Task {
    /// Does nothing for a partition that is not ours, or that a reset has moved or is about to.
    pub(super) fn cover(&mut self, cover: Arc<Cover>) {
        let is_it = |(_, owned): &(&PartitionId, &Owned)| *owned.partition == cover.partition;
        let Some((&id, owned)) = self.owned.iter().find(is_it) else {
            return self.go_on_behind_gap(&cover.partition);
        };
        if !cover.holds_for(&self.identity.record, owned.epoch) {
            return;
        }
        let is_behind = self
            .dispatch
            .partition(id)
            .is_some_and(|view| view.committed < cover.offset);
        if is_behind {
            // What no client has read must not reach it any more.
            self.take_back_all();
        }
        let settled = self.dispatch.settle_below(id, cover.offset);
        let (group, topic, partition) = (&self.identity.group, &cover.partition.topic, cover.partition.partition);
        tracing::debug!(%group, %topic, partition, offset = cover.offset, settled, checkpoint = cover.checkpoint, "covered");
        self.watch.tally.acks.add(settled);
        self.version += 1;
        if let Some(owned) = self.owned.get_mut(&id) {
            owned.changed = self.version;
        }
        self.commits.changes += 1;
        self.commits.is_urgent = true;
        self.commits.covering.uncommitted.insert(id, cover);
        self.jump(id);
        self.tell_covered();
    }

    /// Where the group failed at a gap, the partition is assigned anew, and begins behind what is covered.
    fn go_on_behind_gap(&mut self, partition: &TopicPartition) {
        if self.failed_at.take_if(|gap| gap.partition == *partition).is_some() {
            self.retire_all();
        }
    }

    /// Where the group stands in a partition that has just come, with what a checkpoint covers.
    pub(super) fn covered_up_to(&self, partition: &TopicPartition, (epoch, committed): (u64, i64)) -> i64 {
        let cover = self.bus.covers.known(&key(&self.identity.group, partition));
        let cover = cover.filter(|cover| cover.holds_for(&self.identity.record, epoch));
        cover.map_or(committed, |cover| cover.offset.max(committed))
    }

    /// A partition has just come.
    pub(super) fn cover_assigned(&mut self, partition: &TopicPartition) {
        if let Some(cover) = self.bus.covers.known(&key(&self.identity.group, partition)) {
            self.cover(cover);
        }
    }

    /// A reader need not read what is covered. Elsewhere it stays: on Kafka, a new one has to seek.
    pub(super) fn jump(&mut self, id: PartitionId) {
        let Some(cover) = self.commits.covering.uncommitted.get(&id) else {
            return;
        };
        if let Some(owned) = self.owned.get_mut(&id)
            && owned
                .parked
                .as_ref()
                .is_some_and(|reader| reader.position() < cover.offset)
        {
            owned.parked = Some(self.bus.feeds.reader((*owned.partition).clone(), cover.offset, None));
        }
    }

    /// What is committed need not be carried out by anybody.
    pub(super) fn tell_covered(&mut self) {
        let owned = &self.owned;
        let is_done =
            |id: &PartitionId, cover: &Arc<Cover>| owned.get(id).is_some_and(|owned| owned.durable >= cover.offset);
        let done = self
            .commits
            .covering
            .uncommitted
            .extract_if(|id, cover| is_done(id, cover));
        let row =
            |(_, cover): (PartitionId, Arc<Cover>)| (key(&self.identity.group, &cover.partition), cover.committed());
        let rows: Vec<(String, Cover)> = done.map(row).collect();
        if rows.is_empty() {
            return;
        }
        let bus = Arc::clone(&self.bus);
        self.bus.tasks.spawn(async move {
            // If it cannot be written, the next owner finds that there is nothing left to do.
            if let Err(error) = bus.covers.put_all(&rows).await {
                tracing::debug!(%error, "cannot note that what a checkpoint covers is committed");
            }
        });
    }
}
