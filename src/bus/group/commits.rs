//! Commits: what was acked moves the group's offset on the log, in batches, and those who wait for it are told.

use std::{sync::Arc, time::Instant};

use futures_util::future::BoxFuture;

use super::{
    Ending, StreamKey,
    covering::Covering,
    owned::Owned,
    replaying::Advanced,
    task::{RETRY, Task},
};
use crate::{
    bus::{
        Inner,
        dead_letters::{LetterId, Store},
        delivery::{IdFault, PartitionId},
        notes::{Noted, Notes},
    },
    error::{Reason, Result},
    log::{LogTime, Member},
};

pub(super) struct Commits {
    /// What changed since the last commit began: acks, failures.
    pub(super) changes: usize,
    /// Somebody waits for it who is no stream.
    pub(super) is_urgent: bool,
    /// Those that the commit in flight has.
    under_way: usize,
    pub(super) in_flight: Option<BoxFuture<'static, Committed>>,
    pub(super) last_commit: Option<LogTime>,
    /// Redriven dead letters that were acked since.
    pub(super) letters: Vec<LetterId>,
    /// What checkpoints cover.
    pub(super) covering: Covering,
    began: Instant,
    failed: Option<Instant>,
    pub(super) waiting: Vec<Waiter>,
    /// Those whose acks the commit in flight has.
    pub(super) covered: Vec<Waiter>,
}

/// A partition and the number of its assignment.
pub(super) type Place = (PartitionId, u64);

/// An acked event that waits to be committed.
pub(super) struct Settling {
    pub(super) place: Place,
    pub(super) delivery: u64,
}

/// Who waits for a commit.
pub(super) enum Waiter {
    Report {
        key: StreamKey,
        sequence: u64,
        settling: Vec<Settling>,
        faults: Vec<IdFault>,
    },
    End {
        key: StreamKey,
        ending: Ending,
    },
}

/// A commit that ended.
pub(super) struct Committed {
    work: Work,
    result: Result<()>,
}

/// What the log has not got yet.
#[derive(Default)]
struct Work {
    moved: Vec<Moved>,
    noted: Vec<Noted>,
    letters: Vec<LetterId>,
    replayed: Vec<Advanced>,
}

impl Work {
    fn is_empty(&self) -> bool {
        self.moved.is_empty() && self.letters.is_empty() && self.replayed.is_empty()
    }
}

/// What a commit says of a partition.
struct Moved {
    id: PartitionId,
    serial: u64,
    offset: i64,
    /// The partition's version that its note has.
    version: u64,
}

impl Commits {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            changes: 0,
            is_urgent: false,
            under_way: 0,
            in_flight: None,
            last_commit: None,
            letters: Vec::new(),
            covering: Covering::default(),
            began: now,
            failed: None,
            waiting: Vec::new(),
            covered: Vec::new(),
        }
    }

    pub(super) fn report_when_committed(
        &mut self,
        key: StreamKey,
        sequence: u64,
        (settling, faults): (Vec<Settling>, Vec<IdFault>),
    ) {
        self.waiting.push(Waiter::Report {
            key,
            sequence,
            settling,
            faults,
        });
    }

    pub(super) fn end_when_committed(&mut self, key: StreamKey, ending: Ending) {
        self.waiting.push(Waiter::End { key, ending });
    }

    /// What a crash would repeat.
    pub(super) fn unsaved(&self) -> usize {
        self.changes + self.under_way
    }

    /// The last try failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Nothing is under way and nobody waits. What the log refused is not tried for ever: it is delivered again.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_none()
            && self.waiting.is_empty()
            && ((self.changes == 0 && self.letters.is_empty()) || self.failed.is_some())
    }
}

impl Task {
    /// When the next commit is due.
    pub(super) fn commit_at(&self) -> Option<Instant> {
        if self.commits.in_flight.is_some() {
            return None;
        }
        let retry = self.commits.failed.map(|failed| failed + RETRY);
        let regular = (self.commits.changes > 0).then(|| self.commits.began + self.bus.settings.commit_interval);
        regular.into_iter().chain(retry).max()
    }

    /// Begins a commit if one is due: by count, by time, or because somebody waits.
    pub(super) fn commit(&mut self, now: Instant) {
        let commits = &self.commits;
        if commits.in_flight.is_some() || commits.failed.is_some_and(|failed| now < failed + RETRY) {
            return;
        }
        let settings = &self.bus.settings;
        let due = commits.changes > 0
            && (commits.is_urgent
                || commits.changes >= settings.commit_count
                || now >= commits.began + settings.commit_interval
                || self.owned.values().any(Owned::is_releasing));
        if !due && commits.waiting.is_empty() && !(self.members.is_empty() && commits.changes > 0) {
            return;
        }
        let work = self.uncommitted();
        if self.member.is_none() && !work.is_empty() {
            // Between two memberships: wait for the next.
            self.commits.failed = Some(now);
            return;
        }
        self.commits.covered = std::mem::take(&mut self.commits.waiting);
        self.commits.under_way = std::mem::take(&mut self.commits.changes);
        self.commits.is_urgent = false;
        self.commits.began = now;
        match self.member.clone() {
            Some(member) if !work.is_empty() => {
                let (bus, store) = (Arc::clone(&self.bus), Arc::clone(&self.letters));
                self.commits.letters.clear();
                self.commits.in_flight = Some(Box::pin(async move {
                    let result = commit(&*member, (&bus, &store), &work).await;
                    Committed { work, result }
                }));
            }
            _ => {
                (self.commits.failed, self.commits.under_way) = (None, 0);
                self.tell_committed();
            }
        }
    }

    pub(super) fn committed(&mut self, committed: Committed) {
        let under_way = std::mem::take(&mut self.commits.under_way);
        match committed.result {
            Ok(()) => {
                self.commits.failed = None;
                self.commits.last_commit = Some(LogTime::now());
                for moved in committed.work.moved {
                    let owned = self.owned.get_mut(&moved.id);
                    if let Some(owned) = owned.filter(|owned| owned.serial == moved.serial) {
                        (owned.durable, owned.noted, owned.must_commit) = (moved.offset, moved.version, false);
                        self.version += 1;
                        owned.changed = self.version;
                    }
                }
                self.replay_advanced(committed.work.replayed);
                self.tell_committed();
                self.tell_covered();
            }
            Err(error) => {
                tracing::warn!(group = %self.identity.group, %error, "cannot commit");
                self.commits.failed = Some(Instant::now());
                self.commits.changes += under_way.max(1);
                self.commits.letters.extend(committed.work.letters);
                self.postpone(&error);
            }
        }
    }

    fn uncommitted(&self) -> Work {
        let mut work = Work {
            letters: self.commits.letters.clone(),
            replayed: self.unsaved_replay(),
            ..Work::default()
        };
        for (id, owned) in &self.owned {
            let Some(view) = self.dispatch.partition(*id) else {
                continue;
            };
            if view.committed > owned.durable || view.version > owned.noted || owned.must_commit {
                work.moved.push(Moved {
                    id: *id,
                    serial: owned.serial,
                    offset: view.committed,
                    version: view.version,
                });
                work.noted.push(Noted {
                    group: self.identity.group.clone(),
                    partition: (*owned.partition).clone(),
                    offset: view.committed,
                    epoch: owned.epoch,
                    settled: self.dispatch.settled_runs(*id),
                    tries: self.dispatch.tries(*id),
                });
            }
        }
        work
    }
}

async fn commit(member: &dyn Member, (bus, store): (&Inner, &Store), work: &Work) -> Result<()> {
    let notes = &*bus.notes;
    let mut written = notes.write(&work.noted).await?;
    if !work.letters.is_empty() {
        store.done(work.letters.clone()).await?;
    }
    bus.save_replay(&work.replayed).await?;
    while !written.commits.is_empty() {
        match member.commit(written.commits).await {
            Err(error) if error.reason() == Reason::RequestTooLarge && notes.shorten(written.longest, &error) => {
                written = notes.write(&work.noted).await?;
            }
            Err(error) => return Err(error),
            Ok(()) => {
                remove_unneeded(member, notes, &written.unneeded).await;
                break;
            }
        }
    }
    Ok(())
}

/// What did not fit into earlier notes is of no use any more. A partition that may be another replica's by now is left to it; and
/// what cannot be removed now is removed with a later commit.
async fn remove_unneeded(member: &dyn Member, notes: &Notes, unneeded: &[String]) {
    if unneeded.is_empty() || !member.is_current() {
        return;
    }
    if let Err(error) = notes.remove(unneeded).await {
        tracing::warn!(%error, "cannot remove what did not fit into notes");
    }
}
