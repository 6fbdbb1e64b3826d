//! Commits: what was acked moves the group's offset on the log, in batches, and those who wait for it are told.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;

use super::{
    AckReport, Ending, Frame, StreamKey,
    partitions::Owned,
    streams::MAX_FAULTS,
    task::{RETRY, Task, log_failure},
};
use crate::{
    bus::{
        dead_letters::{LetterId, Store},
        delivery::{IdFault, IdRange, PartitionId, Verdict},
        notes::{self, Noted, TriesTable},
    },
    error::{Error, Reason, Result},
    log::{LogTime, Member},
};

pub(super) struct Commits {
    /// What changed since the last commit began: acks, failures.
    pub(super) changes: usize,
    pub(super) in_flight: Option<BoxFuture<'static, Committed>>,
    pub(super) last_commit: Option<LogTime>,
    /// Redriven dead letters that were acked since.
    pub(super) letters: Vec<LetterId>,
    began: Instant,
    failed: Option<Instant>,
    waiting: Vec<Waiter>,
    /// Those whose acks the commit in flight has.
    covered: Vec<Waiter>,
}

/// A partition and the number of its assignment.
pub(super) type Place = (PartitionId, u64);

/// An acked event that waits to be committed.
pub(super) struct Settling {
    pub(super) place: Place,
    pub(super) delivery: u64,
}

/// Who waits for a commit.
enum Waiter {
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
    moved: Vec<Moved>,
    letters: Vec<LetterId>,
    result: Result<()>,
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
            in_flight: None,
            last_commit: None,
            letters: Vec::new(),
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

    /// The last try failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Nothing is under way and nobody waits. What the log refused is not tried for ever: it is delivered again.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_none() && self.waiting.is_empty() && (self.changes == 0 || self.failed.is_some())
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
            && (commits.changes >= settings.commit_count
                || now >= commits.began + settings.commit_interval
                || self.owned.values().any(Owned::is_releasing));
        if !due && commits.waiting.is_empty() && !(self.members.is_empty() && commits.changes > 0) {
            return;
        }
        let (moved, commits) = self.uncommitted();
        if self.member.is_none() && !moved.is_empty() {
            // Between two memberships: wait for the next.
            self.commits.failed = Some(now);
            return;
        }
        self.commits.covered = std::mem::take(&mut self.commits.waiting);
        (self.commits.changes, self.commits.began) = (0, now);
        match self.member.clone() {
            Some(member) if !moved.is_empty() || !self.commits.letters.is_empty() => {
                let (tries, store) = (Arc::clone(&self.bus.tries), Arc::clone(&self.letters));
                let letters = std::mem::take(&mut self.commits.letters);
                self.commits.in_flight = Some(Box::pin(async move {
                    let result = commit(&*member, (&tries, &store), commits, letters.clone()).await;
                    Committed { moved, letters, result }
                }));
            }
            _ => {
                self.commits.failed = None;
                self.tell_committed();
            }
        }
    }

    pub(super) fn committed(&mut self, committed: Committed) {
        log_failure(&self.identity.group, "cannot commit", &committed.result);
        match committed.result {
            Ok(()) => {
                self.commits.failed = None;
                self.commits.last_commit = Some(LogTime::now());
                for moved in committed.moved {
                    let owned = self.owned.get_mut(&moved.id);
                    if let Some(owned) = owned.filter(|owned| owned.serial == moved.serial) {
                        (owned.durable, owned.noted, owned.must_commit) = (moved.offset, moved.version, false);
                        self.version += 1;
                        owned.changed = self.version;
                    }
                }
                self.tell_committed();
            }
            Err(error) => {
                self.commits.failed = Some(Instant::now());
                self.commits.changes = self.commits.changes.max(1);
                self.commits.letters.extend(committed.letters);
                self.postpone(&error);
            }
        }
    }

    /// What the log has not got yet.
    fn uncommitted(&self) -> (Vec<Moved>, Vec<Noted>) {
        let (mut moved, mut commits) = (Vec::new(), Vec::new());
        for (id, owned) in &self.owned {
            let Some(view) = self.dispatch.partition(*id) else {
                continue;
            };
            if view.committed > owned.durable || view.version > owned.noted || owned.must_commit {
                moved.push(Moved {
                    id: *id,
                    serial: owned.serial,
                    offset: view.committed,
                    version: view.version,
                });
                commits.push(Noted {
                    group: self.identity.group.clone(),
                    partition: (*owned.partition).clone(),
                    offset: view.committed,
                    settled: self.dispatch.settled_runs(*id),
                    tries: self.dispatch.tries(*id),
                });
            }
        }
        (moved, commits)
    }

    /// Answers those whose acks are committed.
    fn tell_committed(&mut self) {
        for waiter in std::mem::take(&mut self.commits.covered) {
            match waiter {
                Waiter::End { key, ending } => self.end(key, ending),
                Waiter::Report {
                    key,
                    sequence,
                    settling,
                    faults,
                } => {
                    let report = self.report(sequence, &settling, faults);
                    if let Some(member) = self.members.get_mut(&key.id).filter(|member| member.key == key) {
                        member.push(Frame::AckResult(report));
                    }
                }
            }
        }
    }

    /// What has become of acked events. Those whose partition left before their commit are stale after all.
    fn report(&self, sequence: u64, settling: &[Settling], mut faults: Vec<IdFault>) -> AckReport {
        let mut committed = true;
        for Settling { place, delivery } in settling {
            let (id, serial) = place;
            if self.owned.get(id).is_none_or(|owned| owned.serial != *serial) {
                committed = false;
                if faults.len() < MAX_FAULTS {
                    add_stale(&mut faults, *delivery);
                }
            }
        }
        AckReport {
            sequence,
            committed,
            faults,
        }
    }

    /// The commit failed: reports wait for the next one; streams that wanted to end are told that they cannot be sure.
    fn postpone(&mut self, error: &Error) {
        for waiter in std::mem::take(&mut self.commits.covered) {
            match waiter {
                Waiter::End { key, ending } => {
                    let text = format!("commit what was acked: {error}");
                    let unsure = Error::new(Reason::LogUnavailable, text).retry_after(Duration::from_secs(1));
                    self.end(key, ending.and(Err(unsure)));
                }
                Waiter::Report { key, .. } if !self.is_member(key) => {}
                report @ Waiter::Report { .. } => self.commits.waiting.push(report),
            }
        }
    }
}

/// Ids that follow one another are one fault.
fn add_stale(faults: &mut Vec<IdFault>, id: u64) {
    match faults.last_mut() {
        Some(last) if last.verdict == Verdict::Stale && last.ids.last + 1 == id => last.ids.last = id,
        _ => faults.push(IdFault {
            ids: IdRange { first: id, last: id },
            verdict: Verdict::Stale,
        }),
    }
}

async fn commit(
    member: &dyn Member,
    (tries, store): (&Arc<TriesTable>, &Store),
    noted: Vec<Noted>,
    letters: Vec<LetterId>,
) -> Result<()> {
    let commits = notes::write(tries, noted).await?;
    if !letters.is_empty() {
        store.done(letters).await?;
    }
    match commits.is_empty() {
        true => Ok(()),
        false => member.commit(commits).await,
    }
}
