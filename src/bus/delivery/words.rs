//! What goes into the dispatcher and what comes out.

use std::time::{Duration, Instant};

use super::{Doom, IdFault, Tries, entry::EntryId};
use crate::log::LogTime;

pub type PartitionId = usize;
pub type StreamId = usize;

/// Bounds of a group's state.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most offsets between a partition's committed one and the last that is being delivered.
    pub window: i64,
}

/// One event on its way to one stream.
#[derive(Debug)]
pub struct Sending<'a, P> {
    pub id: u64,
    pub partition: PartitionId,
    pub attempt: u32,
    pub failures: u32,
    pub payload: &'a P,
}

/// What an ack or nack did.
#[derive(Debug, Default)]
pub struct Settled {
    /// How many events it settled.
    pub count: usize,
    pub faults: Vec<IdFault>,
    /// Where each lies, and its id; only where asked for.
    pub places: Vec<(PartitionId, i64, u64)>,
    /// Those of them that came from dead letters.
    pub letters: Vec<u64>,
}

/// The event that was first sent longest ago and is not settled.
#[derive(Clone, Copy, Debug)]
pub struct Oldest {
    pub partition: PartitionId,
    pub offset: i64,
    pub first_sent: Instant,
    pub key_hash: u64,
    pub attempt: u32,
}

impl Oldest {
    /// How long the event has been out.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.first_sent)
    }
}

/// Whether an ack should tell where the events it settled lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    Wanted,
    Unwanted,
}

/// When something goes wrong, and what decides about it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Instant,
    pub time: LogTime,
    /// Gives the luck of the draw, from 0 to 1.
    pub spread: fn() -> f64,
}

/// What a client wants with events that failed. `words` = in its words, and who it is.
#[derive(Clone, Debug)]
pub enum Nack {
    /// Send them again; `None` = after the policy's delay.
    Retry {
        delay: Option<Duration>,
        words: Doom,
    },
    DeadLetter(Doom),
}

/// An event that becomes a dead letter.
#[derive(Debug)]
pub struct Grave<'a, P> {
    pub entry: EntryId,
    pub partition: PartitionId,
    pub offset: i64,
    pub key: Option<u64>,
    /// The dead letter that it came from.
    pub letter: Option<u64>,
    pub tries: Tries,
    pub doom: &'a Doom,
    pub payload: &'a P,
}
