//! What is known of one dead letter, whose record has the rest.

use std::sync::Arc;

use super::super::{
    format::Request,
    letter::{LetterId, LetterReason},
};
use crate::log::{LogTime, TopicPartition};

/// What is known of one dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: LetterId,
    /// Its offset in the dead-letter topic.
    pub at: i64,
    /// When it was written there.
    pub time: LogTime,
    pub source: Arc<TopicPartition>,
    /// In the source.
    pub offset: i64,
    /// As `bus::key_hash` gives it; `None` = it has no key.
    pub key: Option<u64>,
    pub reason: LetterReason,
    /// The head of its chain, which may be itself; `None` = nothing can wait behind it.
    pub head: Option<LetterId>,
    pub state: State,
    /// Who moved it; `None` = nobody has.
    pub cause: Option<Arc<Cause>>,
    /// When its redrive had ended.
    pub settled: Option<LogTime>,
}

impl Row {
    /// Since when its state holds.
    pub fn state_time(&self) -> LogTime {
        let asked = || self.cause.as_ref().map(|cause| cause.time);
        self.settled.or_else(asked).unwrap_or(self.time)
    }
}

/// A letter that is to be delivered again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redriving {
    pub id: LetterId,
    /// Its offset in the dead-letter topic.
    pub at: i64,
    pub cause: Arc<Cause>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody has done anything about it.
    Parked,
    /// It is to be delivered again, or is just being delivered.
    Redriving,
    /// It was delivered again, and is acked or has become another dead letter.
    Redriven,
    /// It was given up.
    Discarded,
}

/// A request that moved letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Of a redrive or discard: the request's id.
    pub id: String,
    pub by: String,
    pub reason: String,
    pub time: LogTime,
    /// Its offset in the dead-letter topic.
    pub at: i64,
}

impl Cause {
    pub(super) fn of(request: &Request, at: i64) -> Arc<Self> {
        Arc::new(Self {
            id: request.id.clone(),
            by: request.by.clone(),
            reason: request.reason.clone(),
            time: LogTime(request.time_ms),
            at,
        })
    }
}
