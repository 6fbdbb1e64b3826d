//! A reset, as the owner of partitions carries it out: what was sent is void, where the group stood is written down, the group
//! is put elsewhere with a commit of the new epoch, and reading begins there.
//!
//! ```text
//! record with a reset ─▶ fenced ─▶ `moved/…` in tidings.control ─▶ commit, its note has the epoch ─▶ read on from there
//! ```
//!
//! Whoever gets a partition whose note has an older epoch begins with the same. docs/offsets.md tells all of the protocol.

use std::{sync::Arc, time::Instant};

use futures_util::future::BoxFuture;

use super::{
    Frame,
    owned::Owned,
    partitions::Cause,
    task::{RETRY, Task},
};
use crate::{
    bus::{
        Inner,
        delivery::PartitionId,
        groups::{ActiveReset, GroupRecord},
        notes,
        resets::{Moved, Standing, key},
    },
    error::Result,
    log::{Assigned, Commit, Committed, Member, TopicPartition},
    name::Group,
};

/// Partitions that are being moved by a reset. They are pending until they are taken up again.
#[derive(Default)]
pub(super) struct Moves {
    waiting: Vec<Due>,
    pub(super) in_flight: Option<BoxFuture<'static, Carried>>,
    failed: Option<Instant>,
    /// The epoch of the reset that streams were told of last.
    told: u64,
}

/// A partition that is to be moved, and where the group stands in it.
struct Due {
    reset: Arc<ActiveReset>,
    epoch: u64,
    partition: TopicPartition,
    serial: u64,
    before: Standing,
}

/// What was carried out, or could not be.
pub(super) struct Carried {
    due: Vec<Due>,
    result: Result<Vec<Commit>>,
}

impl Moves {
    /// Nothing is to be moved, or is being.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_none()
    }
}

impl Task {
    /// The group's record has a reset: the partitions that it moves are fenced. What was sent of them is void from now on.
    pub(super) fn fence(&mut self) {
        let record = Arc::clone(&self.identity.record);
        let Some(reset) = record.reset.clone() else {
            // It was over before this replica heard of it: it moved nothing here.
            if let Some(id) = &record.last_reset {
                self.tell_reset(id, record.epoch, Vec::new());
            }
            return;
        };
        let is_due = |owned: &Owned| !owned.is_releasing() && record.due(&owned.partition, owned.epoch).is_some();
        let due: Vec<PartitionId> = (self.owned.iter())
            .filter(|(_, owned)| is_due(owned))
            .map(|(id, _)| *id)
            .collect();
        if due.is_empty() {
            return self.tell_reset(&reset.id, record.epoch, reset.moves.clone());
        }
        // What no client has read must not reach it any more.
        self.take_back_all();
        for id in due {
            let before = self.standing(id);
            self.unassign(id);
            if let (Some(owned), Some(before)) = (self.owned.remove(&id), before) {
                self.wait_to_move(&record, (*owned.partition).clone(), before);
            }
        }
    }

    /// When what could not be moved is tried again; whatever else holds it up wakes the task when it ends.
    pub(super) fn move_at(&self) -> Option<Instant> {
        let failed = self.moves.failed.filter(|_| !self.moves.waiting.is_empty())?;
        (!self.is_held_up()).then_some(failed + RETRY)
    }

    /// Commits of before come first, and dead letters of before: their keys must be known to wait.
    fn is_held_up(&self) -> bool {
        self.moves.in_flight.is_some() || self.commits.in_flight.is_some() || self.graves.writing.is_some()
    }

    /// A partition that was just assigned, if a reset moved the group and nobody has moved it there yet.
    pub(super) fn fence_assigned(&mut self, partition: &TopicPartition, epoch: u64, before: Standing) -> bool {
        let record = Arc::clone(&self.identity.record);
        let is_due = record.due(partition, epoch).is_some();
        if is_due {
            self.wait_to_move(&record, partition.clone(), before);
        }
        is_due
    }

    /// The last of all that move partitions finishes the reset; so does who finds that nobody has.
    pub(super) fn finish_reset(&self) {
        let (bus, group) = (Arc::clone(&self.bus), self.identity.group.clone());
        self.bus.tasks.spawn(async move { bus.finish_if_done(&group).await });
    }

    fn wait_to_move(&mut self, record: &GroupRecord, partition: TopicPartition, before: Standing) {
        let Some(reset) = record.reset.clone() else { return };
        self.serial += 1;
        self.pending.insert(partition.clone(), self.serial);
        self.moves.waiting.push(Due {
            reset,
            epoch: record.epoch,
            partition,
            serial: self.serial,
            before,
        });
    }

    fn standing(&self, id: PartitionId) -> Option<Standing> {
        let (view, owned) = (self.dispatch.partition(id)?, self.owned.get(&id)?);
        let passed = owned.passed.iter().cloned();
        Some(Standing::new(
            view.committed,
            self.dispatch.settled_runs(id).into_iter().chain(passed),
        ))
    }

    /// Carries out what is due, once no commit of before is on its way; `moved` goes on.
    pub(super) fn carry_out(&mut self, now: Instant) {
        let is_early = self.moves.failed.is_some_and(|failed| now < failed + RETRY);
        if self.moves.waiting.is_empty() || self.is_held_up() || is_early {
            return;
        }
        let mut due = std::mem::take(&mut self.moves.waiting);
        // Who is not the owner any more leaves it to the next.
        let told = due.first().map(|due| (Arc::clone(&due.reset), due.epoch));
        due.retain(|due| self.pending.get(&due.partition) == Some(&due.serial));
        let Some(member) = self.member.clone().filter(|_| !due.is_empty()) else {
            // What was sent is void all the same.
            if let Some((reset, epoch)) = told {
                self.tell_reset(&reset.id, epoch, reset.moves.clone());
            }
            return;
        };
        let (bus, group) = (Arc::clone(&self.bus), self.identity.group.clone());
        self.moves.in_flight = Some(Box::pin(async move {
            let result = move_all(&bus, &group, &*member, &due).await;
            Carried { due, result }
        }));
    }

    pub(super) fn moved(&mut self, carried: Carried) {
        let Carried { due, result } = carried;
        let commits = match result {
            Ok(commits) => commits,
            Err(error) => {
                tracing::warn!(group = %self.identity.group, %error, "cannot carry out a reset, trying again");
                self.moves.failed = Some(Instant::now());
                return self.moves.waiting.extend(due);
            }
        };
        self.moves.failed = None;
        if let Some(Due { reset, epoch, .. }) = due.first() {
            let (reset, epoch) = (Arc::clone(reset), *epoch);
            tracing::info!(group = %self.identity.group, reset = reset.id, partitions = due.len(), "reset carried out");
            self.tell_reset(&reset.id, epoch, positions(&reset, &commits));
            self.finish_reset();
        }
        let still_ours = |(due, _): &(Due, Commit)| self.pending.get(&due.partition) == Some(&due.serial);
        let assigned = due
            .into_iter()
            .zip(commits)
            .filter(still_ours)
            .map(|(_, commit)| Assigned {
                partition: commit.partition,
                committed: Some(Committed {
                    offset: commit.offset,
                    note: commit.note,
                }),
            });
        let assigned = assigned.collect();
        self.begin(assigned, Cause::Moved);
    }

    /// Each stream hears of a reset once, before the first event that is sent again.
    fn tell_reset(&mut self, id: &str, epoch: u64, positions: Vec<(TopicPartition, i64)>) {
        if self.moves.told >= epoch {
            return;
        }
        self.moves.told = epoch;
        for member in self.members.values_mut() {
            member.push(Frame::ResetApplied {
                reset_id: id.to_owned(),
                epoch,
                positions: positions.clone(),
            });
        }
    }
}

/// Where partitions stand, as far as it is known; the others where they shall.
fn positions(reset: &ActiveReset, commits: &[Commit]) -> Vec<(TopicPartition, i64)> {
    let stands = |(partition, target): &(TopicPartition, i64)| {
        let commit = commits.iter().find(|commit| commit.partition == *partition);
        (partition.clone(), commit.map_or(*target, |commit| commit.offset))
    };
    reset.moves.iter().map(stands).collect()
}

/// Where the group stood is durable before it is put elsewhere.
async fn move_all(bus: &Inner, group: &Group, member: &dyn Member, due: &[Due]) -> Result<Vec<Commit>> {
    bus.moves.catch_up().await?;
    let row = |due: &Due| {
        let key = key(group, &due.partition);
        let last = bus.moves.known(&key);
        let target = due.reset.target(&due.partition).unwrap_or(due.before.offset);
        let (reset, stands) = ((&*due.reset, due.epoch), (target, due.before.clone()));
        (key, Moved::by(reset, stands, last.as_deref()))
    };
    let rows: Vec<(String, Moved)> = due.iter().map(row).collect();
    bus.moves.put_all(&rows).await?;
    let commit = |(due, (key, moved)): (&Due, &(String, Moved))| {
        // An owner before this one may have known more.
        let holds = bus.moves.known(key).filter(|holds| holds.epoch == moved.epoch);
        let offset = holds.map_or(moved.after.offset, |holds| holds.after.offset);
        Commit {
            partition: due.partition.clone(),
            offset,
            note: notes::of_epoch(offset, moved.epoch),
        }
    };
    let commits: Vec<Commit> = due.iter().zip(&rows).map(commit).collect();
    member.commit(commits.clone()).await?;
    Ok(commits)
}
