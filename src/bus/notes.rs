//! What a commit carries beside its offset: acks out of order and failures, in its note, and in `tidings.control` what does not
//! fit there.

mod kept;

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

pub(super) use self::kept::Kept;
use super::{
    Inner,
    delivery::{
        Tries,
        note::{self, Above, More, Note, Tried},
    },
    resets::{self, Again, Standing},
    table::Table,
};
use crate::{
    error::{Error, Result},
    log::{Assigned, Commit, Committed, LogTime, TopicPartition},
    name::Group,
};

/// A log takes notes of 4,096 characters, unless it is told to take less.
const BUDGET: usize = 4_000;

pub(super) type NotesTable = Table<Kept>;

/// The notes of all groups.
pub(super) struct Notes {
    /// What did not fit, by group and partition.
    more: Arc<NotesTable>,
    /// Characters that a note has at most. Less than `note::SHORTEST`: the log takes none.
    budget: AtomicUsize,
}

/// What is to be committed of a partition.
pub(super) struct Noted {
    pub(super) group: Group,
    pub(super) partition: TopicPartition,
    pub(super) offset: i64,
    /// Of the last reset that moved it.
    pub(super) epoch: u64,
    pub(super) settled: Vec<Range<i64>>,
    pub(super) tries: Vec<(i64, Tries)>,
}

/// Commits with their notes.
#[derive(Default)]
pub(super) struct Written {
    pub(super) commits: Vec<Commit>,
    /// The rows that are of no use once these are committed.
    pub(super) unneeded: Vec<String>,
    /// The characters of the longest note.
    pub(super) longest: usize,
}

/// What was committed of a partition above its offset.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    /// Of the last reset that moved it.
    pub(super) epoch: u64,
    pub(super) settled: Vec<Range<i64>>,
    /// Settled further above, and not in the note.
    pub(super) passed: Vec<Range<i64>>,
    /// What the reset sends again.
    pub(super) again: Option<Again>,
    pub(super) tries: Vec<(i64, Tries)>,
}

impl Notes {
    pub(super) fn of(more: Arc<NotesTable>) -> Arc<Self> {
        let budget = AtomicUsize::new(BUDGET);
        Arc::new(Self { more, budget })
    }

    /// The commits, with their notes. What does not fit into one is durable in the table before this returns.
    pub(super) async fn write(&self, all: &[Noted]) -> Result<Written> {
        let mut written = Written::default();
        for noted in all {
            let key = key(&noted.group, &noted.partition);
            let (note, has_more) = self.note(noted, &key).await?;
            if !has_more && self.more.known(&key).is_some() {
                written.unneeded.push(key);
            }
            written.longest = written.longest.max(note.len());
            written.commits.push(Commit {
                partition: noted.partition.clone(),
                offset: noted.offset,
                note,
            });
        }
        Ok(written)
    }

    /// A note, and whether there is more in the table.
    async fn note(&self, noted: &Noted, key: &str) -> Result<(String, bool)> {
        let budget = self.budget.load(Ordering::Relaxed);
        let mut note = Note {
            epoch: noted.epoch,
            settled: noted.settled.clone(),
            tries: noted.tries.iter().copied().map(tried).collect(),
            ..Note::default()
        };
        let encoded = note::encode(noted.offset, &note, budget);
        let fits = encoded.rest.is_empty() && !encoded.is_cut;
        if fits || budget < note::SHORTEST {
            return Ok((encoded.text, false));
        }
        // Another replica's clock may have been ahead.
        let least = self.more.known(key).map_or(0, |known| known.version + 1);
        let version = u64::try_from(LogTime::now().0).unwrap_or(0).max(least);
        let more = More {
            above: encoded.is_cut.then(|| Above {
                epoch: noted.epoch,
                committed: noted.offset,
                settled: noted.settled.clone(),
            }),
            tries: encoded.rest,
        };
        self.more.put(key, &Kept { version, more }).await?;
        note.overflow = Some(version);
        Ok((note::encode(noted.offset, &note, budget).text, true))
    }

    /// The log does not take notes as long as this one. `false` if it has none: there is nothing to be left out.
    pub(super) fn shorten(&self, longest: usize, error: &Error) -> bool {
        if longest == 0 {
            return false;
        }
        // One that is as short as can be is refused: then none.
        let budget = match longest > note::SHORTEST {
            true => (longest / 2).max(note::SHORTEST),
            false => 0,
        };
        let before = self.budget.fetch_min(budget, Ordering::Relaxed);
        match budget {
            0 => {
                tracing::warn!(%error, "commits go without notes: a crash repeats acks out of order, and forgets failures")
            }
            _ if before > budget => {
                tracing::warn!(%error, budget, "notes of commits are cut: what does not fit goes to tidings.control");
            }
            _ => {}
        }
        true
    }

    /// Removes rows that no note names any more.
    pub(super) async fn remove(&self, unneeded: &[String]) -> Result<()> {
        self.more.remove_all(unneeded).await
    }

    /// Of a group that is deleted.
    pub(super) async fn forget(&self, group: &Group) -> Result<()> {
        self.more.catch_up().await?;
        self.more
            .remove_all(&self.more.keys_under(&format!("tries/{group}/")))
            .await
    }

    /// What the notes of assigned partitions say. A note that is none of ours says nothing.
    async fn read(&self, group: &Group, assigned: &[Assigned]) -> Result<Vec<Remembered>> {
        let mut all = Vec::with_capacity(assigned.len());
        for Assigned { partition, committed } in assigned {
            let decoded = committed.as_ref().and_then(decode);
            let Some((offset, note)) = decoded else {
                all.push(Remembered::default());
                continue;
            };
            let mut remembered = Remembered {
                epoch: note.epoch,
                settled: note.settled,
                tries: note.tries.into_iter().map(remembered).collect(),
                ..Remembered::default()
            };
            if let Some(version) = note.overflow {
                let kept = self.more.newest(&key(group, partition)).await?;
                // A later one was written just before a commit that did not come to be: it knows no less.
                if let Some(kept) = kept.filter(|kept| kept.version >= version) {
                    remembered.add(offset, &kept.more);
                }
            }
            all.push(remembered);
        }
        Ok(all)
    }
}

impl Remembered {
    fn add(&mut self, offset: i64, more: &More) {
        self.tries.extend(more.tries.iter().copied().map(remembered));
        // A reset has moved the partition since, if it is of another epoch.
        if let Some(above) = more.above.as_ref().filter(|above| above.epoch == self.epoch) {
            // All below is settled where it was written.
            self.settled.push(offset..above.committed);
            self.settled.extend(above.settled.iter().cloned());
            self.settled.retain(|run| !run.is_empty());
        }
    }

    /// Where the group stands that has committed this offset.
    pub(super) fn standing(&self, committed: i64) -> Standing {
        Standing::new(committed, self.settled.iter().chain(&self.passed).cloned())
    }
}

/// What is known of assigned partitions: from their notes, and from resets.
pub(super) async fn read(bus: &Inner, group: &Group, assigned: &[Assigned]) -> Result<Vec<Remembered>> {
    let mut all = bus.notes.read(group, assigned).await?;
    if all.iter().any(|remembered| remembered.epoch > 0) {
        bus.moves.catch_up().await?;
    }
    for (remembered, assigned) in all.iter_mut().zip(assigned) {
        let Some(last) = bus.moves.known(&resets::key(group, &assigned.partition)) else {
            continue;
        };
        // One of a later epoch is a try of the reset that is being carried out, or is of a topic that was made anew since.
        if last.epoch <= remembered.epoch || bus.is_carried_out(group, &last.reset_id).await? {
            remembered.passed = last.passed(remembered.epoch).to_vec();
            remembered.again = last.again(remembered.epoch);
        }
    }
    Ok(all)
}

/// The note of a partition that a reset has just moved.
pub(super) fn of_epoch(offset: i64, epoch: u64) -> String {
    let note = Note {
        epoch,
        ..Note::default()
    };
    note::encode(offset, &note, BUDGET).text
}

/// The epoch of the last reset that moved a partition, as its note says.
pub(super) fn epoch(committed: &Committed) -> u64 {
    note::decode(committed.offset, &committed.note).map_or(0, |note| note.epoch)
}

fn decode(committed: &Committed) -> Option<(i64, Note)> {
    let Committed { offset, note } = committed;
    Some((*offset, note::decode(*offset, note)?))
}

fn key(group: &Group, partition: &TopicPartition) -> String {
    format!("tries/{group}/{}/{}", partition.topic, partition.partition)
}

fn tried((offset, tries): (i64, Tries)) -> Tried {
    Tried {
        offset,
        attempt: tries.attempt,
        failures: tries.failures,
        abandons: tries.abandons,
        first_failure: tries.first_failure.unwrap_or(LogTime(0)),
    }
}

fn remembered(tried: Tried) -> (i64, Tries) {
    let first_failure = (tried.first_failure != LogTime(0)).then_some(tried.first_failure);
    let tries = Tries {
        attempt: tried.attempt,
        failures: tried.failures,
        abandons: tried.abandons,
        first_failure,
        last_failure: first_failure,
    };
    (tried.offset, tries)
}
