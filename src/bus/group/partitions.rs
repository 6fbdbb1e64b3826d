//! The partitions of a group on this replica: they come, are read, and go.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    AssignmentChange, Frame, LossReason,
    owned::Owned,
    task::{RETRY, Task},
};
use crate::{
    bus::{
        Inner,
        dead_letters::Store,
        delivery::PartitionId,
        groups::OnGap,
        notes::{self, Remembered},
        start::Gap,
    },
    error::{Reason, Result},
    log::{Assigned, Bounds, Change, Log, TopicPartition},
    name::Group,
};

/// Why the group begins with partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The log assigned them.
    Assigned,
    /// They are ours still: a reset has moved them, or they were made anew.
    Moved,
}

/// Partitions that were assigned, and their bounds.
pub(super) struct Started {
    serial: u64,
    cause: Cause,
    assigned: Vec<Assigned>,
    known: Result<Vec<(Bounds, Remembered)>>,
}

impl Task {
    pub(super) fn changed(&mut self, change: Option<Change>) {
        if let Some(Change::Revoked { partitions, .. } | Change::Lost(partitions) | Change::Deleted(partitions)) =
            &change
        {
            self.forget_gap(partitions);
        }
        match change {
            // This membership, for the topics of before, is about to be given up.
            Some(Change::Assigned(_)) if self.rejoin_when_released => {}
            Some(Change::Assigned(assigned)) => self.begin(assigned, Cause::Assigned),
            Some(Change::Revoked { partitions, release }) => self.revoke(&partitions, release),
            Some(Change::Lost(partitions)) => self.lose(&partitions, LossReason::Rebalanced),
            Some(Change::Deleted(partitions)) => self.lose(&partitions, LossReason::TopicDeleted),
            Some(Change::Failed(error)) => {
                tracing::warn!(group = %self.identity.group, %error, "the membership ended");
                self.leave_log(LossReason::Rebalanced);
                self.fail_all(|| error.repeated());
                self.rejoin_at = Some(Instant::now() + RETRY);
            }
            None => {
                // The log ended the membership; what it had is not ours any more.
                self.leave_log(LossReason::Rebalanced);
                self.rejoin_at = Some(Instant::now() + RETRY);
            }
        }
    }

    /// Gives the membership up.
    pub(super) fn leave_log(&mut self, reason: LossReason) {
        (self.changes, self.member, self.joining, self.matching) = (None, None, None, None);
        self.starting.clear();
        self.pending.clear();
        let all: Vec<TopicPartition> = self.owned.values().map(|owned| (*owned.partition).clone()).collect();
        self.lose(&all, reason);
    }

    /// Asks the log where the assigned partitions begin and end; `started` goes on.
    pub(super) fn begin(&mut self, assigned: Vec<Assigned>, cause: Cause) {
        let bus = Arc::clone(&self.bus);
        let (letters, group) = (Arc::clone(&self.letters), self.identity.group.clone());
        self.serial += 1;
        let serial = self.serial;
        self.pending
            .extend(assigned.iter().map(|assigned| (assigned.partition.clone(), serial)));
        self.starting.push(Box::pin(async move {
            let partitions: Vec<TopicPartition> = assigned.iter().map(|assigned| assigned.partition.clone()).collect();
            let known = match known(&*bus.log, &letters, &partitions).await {
                Ok(bounds) => remembered(&bus, &group, &assigned)
                    .await
                    .map(|notes| bounds.into_iter().zip(notes).collect()),
                Err(error) => Err(error),
            };
            if known.is_err() {
                tokio::time::sleep(RETRY).await;
            }
            Started {
                serial,
                cause,
                assigned,
                known,
            }
        }));
    }

    pub(super) fn started(&mut self, started: Started) {
        let Started {
            serial,
            cause,
            assigned,
            known,
        } = started;
        let known = match known {
            Ok(known) => known,
            Err(error) => return self.begin_again(assigned, (serial, cause), error.reason()),
        };
        let mut gained = Vec::new();
        for (assigned, known) in assigned.into_iter().zip(known) {
            if self.is_pending(&assigned, serial) {
                self.pending.remove(&assigned.partition);
                if cause == Cause::Assigned {
                    gained.push(assigned.partition.clone());
                }
                self.take_up(assigned, known, serial);
            }
        }
        tracing::debug!(group = %self.identity.group, partitions = gained.len(), "partitions assigned");
        if self.identity.record.reset.is_some() && cause == Cause::Assigned && self.moves.is_idle() {
            self.finish_reset();
        }
        if !gained.is_empty() || cause == Cause::Assigned {
            self.tell_assignment(gained, Vec::new(), Duration::ZERO);
        }
    }

    /// What was asked for may have left meanwhile.
    fn is_pending(&self, assigned: &Assigned, serial: u64) -> bool {
        self.pending.get(&assigned.partition) == Some(&serial)
    }

    /// The bounds could not be had. One missing topic must not hold the others up: each is asked for alone.
    fn begin_again(&mut self, mut assigned: Vec<Assigned>, (serial, cause): (u64, Cause), reason: Reason) {
        assigned.retain(|assigned| self.is_pending(assigned, serial));
        match reason {
            // If it is gone for good, the log says so with a change of its own, and nobody asks any more.
            Reason::TopicNotFound => assigned.into_iter().for_each(|one| self.begin(vec![one], cause)),
            _ => self.begin(assigned, cause),
        }
    }

    fn take_up(&mut self, assigned: Assigned, (bounds, remembered): (Bounds, Remembered), serial: u64) {
        let committed = assigned.committed.map_or(bounds.start, |committed| committed.offset);
        // A reset helps also where the group would fail: what is gone is not what comes next any more.
        if self.fence_assigned(&assigned.partition, remembered.epoch, remembered.standing(committed)) {
            return;
        }
        // So does a checkpoint that covers it.
        let stands = self.covered_up_to(&assigned.partition, (remembered.epoch, committed));
        let gap = Gap::at(&assigned.partition, stands, bounds);
        if let Some(gap) = gap.as_ref().filter(|_| self.identity.on_gap() == OnGap::Fail) {
            return self.tell_gap(gap);
        }
        let from = gap.as_ref().map_or(stands, |gap| gap.to);
        // A topic that was made anew has other events at these offsets.
        let is_anew = from < stands;
        let remembered = if is_anew { Remembered::default() } else { remembered };
        let mut owned = Owned::new(&assigned.partition, serial, &remembered);
        let id = self.resume(&assigned.partition, from, remembered);
        self.parked.push_back(id);
        self.version += 1;
        (owned.durable, owned.end, owned.changed) = (committed, bounds.end, self.version);
        owned.must_commit = gap.is_some();
        owned.parked = Some(self.bus.feeds.reader(assigned.partition.clone(), from, None));
        self.owned.insert(id, owned);
        self.cover_assigned(&assigned.partition);
        if let Some(gap) = gap {
            self.commits.changes += 1;
            self.tell_gap(&gap);
        }
    }

    /// Goes on with what is known of the partition, its dead letters too.
    fn resume(&mut self, partition: &TopicPartition, from: i64, remembered: Remembered) -> PartitionId {
        let id = self.dispatch.resume(from, &remembered.settled, remembered.tries);
        for (key, head) in self.letters.quarantined(partition) {
            self.graves.heads.insert((id, key), head);
            self.dispatch.quarantine(id, key);
        }
        self.redrives.look = true;
        id
    }

    pub(super) fn tell_assignment(
        &mut self,
        gained: Vec<TopicPartition>,
        lost: Vec<(TopicPartition, LossReason)>,
        grace: Duration,
    ) {
        for member in self.members.values_mut() {
            let change = AssignmentChange {
                gained: gained.clone(),
                lost: lost.clone(),
                grace,
            };
            member.push(Frame::Assignment(change));
        }
    }
}

/// Where partitions begin and end, once the group's dead letters are known too.
async fn known(log: &dyn Log, letters: &Store, partitions: &[TopicPartition]) -> Result<Vec<Bounds>> {
    letters.ready().await?;
    log.bounds(partitions).await
}

/// What is known of partitions; and what checkpoints covered of topics that were made anew since is void.
async fn remembered(bus: &Inner, group: &Group, assigned: &[Assigned]) -> Result<Vec<Remembered>> {
    for one in assigned {
        bus.void_cover(group, &one.partition).await?;
    }
    notes::read(bus, group, assigned).await
}
