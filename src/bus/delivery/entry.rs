//! An event that is not settled, and what happened to it so far.

use std::time::Instant;

use bytestring::ByteString;

use super::{PartitionId, StreamId};
use crate::log::LogTime;

/// An event that arrived. `key` is a hash; events with the same one are sent in order (a collision only costs speed).
#[derive(Clone, Debug)]
pub struct Arrival<P> {
    pub offset: i64,
    pub key: Option<u64>,
    pub size: u32,
    pub payload: P,
    /// It is not to be sent at all, but to become a dead letter in its turn.
    pub doom: Option<Box<Doom>>,
}

/// What happened to an event so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    /// How often it was sent.
    pub attempt: u32,
    /// How often it was nacked, or its lease expired.
    pub failures: u32,
    /// How often a stream broke that had it.
    pub abandons: u32,
    pub first_failure: Option<LogTime>,
    pub last_failure: Option<LogTime>,
}

impl Tries {
    /// Worth remembering.
    pub fn is_troubled(&self) -> bool {
        self.failures > 0 || self.abandons > 0
    }

    pub(super) fn fail(&mut self, time: LogTime) {
        self.failures = self.failures.saturating_add(1);
        self.note(time);
    }

    pub(super) fn abandon(&mut self, time: LogTime) {
        self.abandons = self.abandons.saturating_add(1);
        self.note(time);
    }

    pub(super) fn note(&mut self, time: LogTime) {
        self.first_failure.get_or_insert(time);
        self.last_failure = Some(time);
    }
}

/// Why an event becomes a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doom {
    pub why: Why,
    /// In the client's words.
    pub detail: ByteString,
    /// The label of the client that had it last.
    pub client_id: ByteString,
}

impl Doom {
    pub fn of(why: Why) -> Self {
        Self {
            why,
            detail: ByteString::new(),
            client_id: ByteString::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It failed as often as the policy lets it.
    Attempts,
    /// As many streams broke while they had it.
    Abandoned,
    /// A client said so.
    Nacked,
    /// It is no event, and the group wants no such.
    Undecodable,
    /// It does not fit into a message to the client.
    TooLarge,
    /// An event of its key became a dead letter before.
    Behind,
}

/// Why an event is delivered. Only of those that come from their topic the partition's offset waits for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Topic,
    /// It is a dead letter that is sent again.
    Letter(u64),
    /// It is past, and sent again beside the others.
    Replay(u64),
}

pub type EntryId = usize;
pub(super) type LaneKey = (PartitionId, u64);

#[derive(Clone, Debug)]
pub(super) struct Entry<P> {
    pub(super) partition: PartitionId,
    pub(super) arrival: Arrival<P>,
    pub(super) tries: Tries,
    pub(super) first_sent: Option<Instant>,
    /// Another stream should get it, if there is one.
    pub(super) avoid: Option<StreamId>,
    pub(super) doom: Option<Box<Doom>>,
    /// It is on a stream now, or being written as a dead letter.
    pub(super) out: bool,
    /// It was not sent yet, here.
    pub(super) is_unsent: bool,
    pub(super) origin: Origin,
    /// Quarantines of its key up to this one do not hold it.
    pub(super) passes: u64,
    pub(super) lane: Option<LaneKey>,
}

impl<P> Entry<P> {
    /// Whether all that is settled below an offset of its partition settles it: not if it comes from a dead letter or a replay, nor while it
    /// is being written as one.
    pub(super) fn is_below(&self, partition: PartitionId, offset: i64) -> bool {
        let is_dying = self.out && self.doom.is_some();
        self.partition == partition && self.arrival.offset < offset && matches!(self.origin, Origin::Topic) && !is_dying
    }

    pub(super) fn new(partition: PartitionId, mut arrival: Arrival<P>, tries: Tries) -> Self {
        Self {
            partition,
            doom: arrival.doom.take(),
            lane: arrival.key.map(|key| (partition, key)),
            arrival,
            tries,
            first_sent: None,
            avoid: None,
            out: false,
            is_unsent: true,
            origin: Origin::Topic,
            passes: 0,
        }
    }

    /// The dead letter that it comes from.
    pub(super) fn letter(&self) -> Option<u64> {
        match self.origin {
            Origin::Letter(letter) => Some(letter),
            Origin::Topic | Origin::Replay(_) => None,
        }
    }

    /// The number of the replay that sends it.
    pub(super) fn replay(&self) -> Option<u64> {
        match self.origin {
            Origin::Replay(number) => Some(number),
            Origin::Topic | Origin::Letter(_) => None,
        }
    }
}
