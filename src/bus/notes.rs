//! What a commit carries beside its offset: acks out of order and failures, in its note, and in `tidings.control` what does not
//! fit there.

use std::{ops::Range, sync::Arc};

use super::{
    Inner,
    delivery::{
        Tries,
        note::{self, Note, Tried},
    },
    resets::{self, Again, Standing},
    table::{Row, Table},
};
use crate::{
    error::{Error, Reason, Result},
    log::{Assigned, Commit, Committed, LogTime, TopicPartition},
    name::Group,
};

/// A log takes notes of 4,096 characters.
const BUDGET: usize = 4_000;

pub(super) type TriesTable = Table<MoreTries>;

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

/// Tries that did not fit into a note.
pub(super) struct MoreTries {
    version: u64,
    tries: Vec<Tried>,
}

/// The commits, with their notes. What does not fit into one is durable in the table before this returns.
pub(super) async fn write(table: &Arc<TriesTable>, noted: Vec<Noted>) -> Result<Vec<Commit>> {
    let mut commits = Vec::with_capacity(noted.len());
    for noted in noted {
        let mut note = Note {
            epoch: noted.epoch,
            settled: noted.settled,
            tries: noted.tries.into_iter().map(tried).collect(),
            ..Note::default()
        };
        let mut encoded = note::encode(noted.offset, &note, BUDGET);
        if !encoded.rest.is_empty() {
            let key = key(&noted.group, &noted.partition);
            // Another replica's clock may have been ahead.
            let least = table.known(&key).map_or(0, |known| known.version + 1);
            let version = u64::try_from(LogTime::now().0).unwrap_or(0).max(least);
            let tries = std::mem::take(&mut encoded.rest);
            table.put(&key, &MoreTries { version, tries }).await?;
            note.overflow = Some(version);
            encoded = note::encode(noted.offset, &note, BUDGET);
        }
        commits.push(Commit {
            partition: noted.partition,
            offset: noted.offset,
            note: encoded.text,
        });
    }
    Ok(commits)
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

/// What the notes of assigned partitions say. A note that is none of ours says nothing.
pub(super) async fn read(bus: &Inner, group: &Group, assigned: &[Assigned]) -> Result<Vec<Remembered>> {
    let mut all = Vec::with_capacity(assigned.len());
    for assigned in assigned {
        let Assigned { partition, committed } = assigned;
        let note = committed
            .as_ref()
            .and_then(|Committed { offset, note }| note::decode(*offset, note));
        let note = note.unwrap_or_default();
        let mut tries: Vec<(i64, Tries)> = note.tries.into_iter().map(remembered).collect();
        if let Some(version) = note.overflow {
            let more = bus.tries.newest(&key(group, partition)).await?;
            // A later one was written just before a commit that did not come to be: it knows no less.
            if let Some(more) = more.filter(|more| more.version >= version) {
                tries.extend(more.tries.iter().copied().map(remembered));
            }
        }
        all.push(Remembered {
            epoch: note.epoch,
            settled: note.settled,
            tries,
            ..Remembered::default()
        });
    }
    if all.iter().any(|remembered| remembered.epoch > 0) {
        bus.moves.catch_up().await?;
    }
    for (remembered, assigned) in all.iter_mut().zip(assigned) {
        if let Some(last) = bus.moves.known(&resets::key(group, &assigned.partition)) {
            remembered.passed = last.passed(remembered.epoch).to_vec();
            remembered.again = last.again(remembered.epoch);
        }
    }
    Ok(all)
}

impl Remembered {
    /// Where the group stands that has committed this offset.
    pub(super) fn standing(&self, committed: i64) -> Standing {
        Standing::new(committed, self.settled.iter().chain(&self.passed).cloned())
    }
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

impl Row for MoreTries {
    const TOPIC: &'static str = "tidings.control";
    const PREFIX: &'static str = "tries/";

    fn supersedes(&self, known: &Self) -> bool {
        self.version >= known.version
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.version.to_le_bytes().to_vec();
        bytes.extend(note::tries_to_bytes(&self.tries));
        bytes
    }

    fn from_bytes(bytes: &[u8], _offset: i64) -> Result<Self> {
        let damaged = || Error::new(Reason::LogDamaged, "read what became of a group's events");
        let (version, tries) = bytes.split_first_chunk().ok_or_else(damaged)?;
        Ok(Self {
            version: u64::from_le_bytes(*version),
            tries: note::tries_from_bytes(tries).ok_or_else(damaged)?,
        })
    }
}
