//! Partitions that leave this replica: handed over once what is in flight is settled, or lost at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustc_hash::FxHashSet;

use super::{owned::Owned, task::Task};
use crate::{
    bus::delivery::PartitionId,
    log::{Release, TopicPartition},
};

/// How long events of a partition that moves may still be acked.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct AssignmentChange {
    pub gained: Vec<TopicPartition>,
    pub lost: Vec<(TopicPartition, LossReason)>,
    /// How long acks of what is lost still count.
    pub grace: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    Rebalanced,
    TopicDeleted,
    GroupChanged,
}

impl Task {
    /// The partitions move: nothing more of them is sent, and what is in flight has a while to be acked.
    pub(super) fn revoke(&mut self, partitions: &[TopicPartition], release: Release) {
        self.retire(partitions, Some(Arc::new(release)), LossReason::Rebalanced);
    }

    fn retire(&mut self, partitions: &[TopicPartition], release: Option<Arc<Release>>, reason: LossReason) {
        let partitions: FxHashSet<&TopicPartition> = partitions.iter().collect();
        self.pending.retain(|partition, _| !partitions.contains(partition));
        self.take_back_all();
        let until = Instant::now() + GRACE;
        let mut lost = Vec::new();
        for (id, owned) in &mut self.owned {
            if partitions.contains(&*owned.partition) {
                self.dispatch.retire(*id);
                owned.parked = None;
                owned.releasing = Some((release.clone(), until));
                lost.push(((*owned.partition).clone(), reason));
            }
        }
        self.tell_assignment(Vec::new(), lost, GRACE);
    }

    /// The group has other topics now: what is in flight has a while to be acked, then the group is joined anew.
    pub(super) fn retire_all(&mut self) {
        let all: Vec<TopicPartition> = self.owned.values().map(|owned| (*owned.partition).clone()).collect();
        self.pending.clear();
        self.starting.clear();
        self.retire(&all, None, LossReason::GroupChanged);
        self.rejoin_when_released = true;
    }

    /// Lets go of revoked partitions that have nothing in flight any more, or whose time is over. What was acked in time is
    /// committed first, if the log lets it be.
    pub(super) fn release_partitions(&mut self, now: Instant) {
        if self.commits.in_flight.is_some() {
            return;
        }
        let has_failed = self.commits.has_failed();
        let is_over = |owned: &Owned| owned.releasing.as_ref().is_some_and(|(_, until)| now >= *until);
        let ready: Vec<PartitionId> = (self.owned.iter())
            .filter(|(_, owned)| owned.releasing.is_some())
            .filter(|(id, owned)| {
                let view = self.dispatch.partition(**id);
                let is_noted = view.is_none_or(|view| view.committed == owned.durable && view.version == owned.noted);
                let is_idle = view.is_none_or(|view| view.in_flight == 0) && self.commits.letters.is_empty();
                let is_idle = is_idle && self.is_replay_noted(**id);
                (is_noted && is_idle) || (is_over(owned) && (is_noted || has_failed))
            })
            .map(|(id, _)| *id)
            .collect();
        for id in ready {
            self.unassign(id);
            self.owned.remove(&id);
        }
        if self.rejoin_when_released && self.owned.is_empty() {
            self.rejoin_when_released = false;
            self.leave_log(LossReason::GroupChanged);
            self.rejoin_at = Some(now);
        }
    }

    pub(super) fn release_at(&self) -> Option<Instant> {
        if self.commits.in_flight.is_some() {
            return None;
        }
        self.owned
            .values()
            .filter_map(|owned| owned.releasing.as_ref().map(|(_, until)| *until))
            .min()
    }

    /// The partitions are gone: acks of them are stale.
    pub(super) fn lose(&mut self, partitions: &[TopicPartition], reason: LossReason) {
        let partitions: FxHashSet<&TopicPartition> = partitions.iter().collect();
        self.pending.retain(|partition, _| !partitions.contains(partition));
        self.take_back_all();
        let gone = self
            .owned
            .iter()
            .filter(|(_, owned)| partitions.contains(&*owned.partition));
        let gone: Vec<PartitionId> = gone.map(|(id, _)| *id).collect();
        let mut lost = Vec::new();
        for id in gone {
            self.unassign(id);
            if let Some(owned) = self.owned.remove(&id) {
                self.bus.feeds.forget(&owned.partition);
                lost.push(((*owned.partition).clone(), reason));
            }
        }
        if !lost.is_empty() {
            self.tell_assignment(Vec::new(), lost, Duration::ZERO);
        }
    }

    /// The partition is not ours any more.
    pub(super) fn unassign(&mut self, id: PartitionId) {
        self.dispatch.unassign(id);
        self.graves.heads.retain(|(of, _), _| *of != id);
        self.redrives.forget(id);
        self.commits.covering.forget(id);
        self.replaying.forget(id);
    }
}
