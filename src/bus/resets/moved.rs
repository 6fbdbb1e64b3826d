//! What a move did to one partition: where the group stood before and where it was put, in `tidings.control`, durable before
//! the commit that makes it true.

use std::{cmp::Ordering, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use super::standing::Standing;
use crate::{
    bus::{
        groups::ActiveReset,
        table::{Row, Table},
    },
    error::{Error, Reason, Result},
    log::{LogTime, TopicPartition},
    name::Group,
};

pub(in crate::bus) type MovesTable = Table<Moved>;

/// The last move of a partition. It is what the partition's note means by its epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bus) struct Moved {
    pub(in crate::bus) reset_id: String,
    pub(in crate::bus) epoch: u64,
    pub(in crate::bus) before: Standing,
    /// What is settled here above the offset is not sent, whatever the note says.
    pub(in crate::bus) after: Standing,
    /// The move that it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::bus) undone: Option<Undone>,
    pub(in crate::bus) time_ms: i64,
}

/// Where the group stood before a move that is taken back, and where that had put it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bus) struct Undone {
    before: Standing,
    moved_to: i64,
}

impl Moved {
    /// The move of a partition that stands at `before`; `last` = the move before this one, which may have been a try of the same
    /// reset that was not committed.
    pub(in crate::bus) fn by(
        (reset, epoch): (&ActiveReset, u64),
        (target, before): (i64, Standing),
        last: Option<&Self>,
    ) -> Self {
        let undone = match last {
            Some(last) if last.reset_id == reset.id => last.undone.clone(),
            Some(last) if reset.undoes.as_deref() == Some(&last.reset_id) => Some(Undone {
                before: last.before.clone(),
                moved_to: last.after.offset,
            }),
            _ => None,
        };
        let after = match &undone {
            Some(Undone {
                before: stood,
                moved_to,
            }) => stood.restored(*moved_to, &before),
            None => Standing::new(target, []),
        };
        Self {
            reset_id: reset.id.clone(),
            epoch,
            before,
            after,
            undone,
            time_ms: LogTime::now().0,
        }
    }

    /// What stays settled of a partition whose note has this epoch. Where that is older, the move was tried and not committed:
    /// all that was settled before it still is.
    pub(in crate::bus) fn passed(&self, epoch: u64) -> &[Range<i64>] {
        match self.epoch.cmp(&epoch) {
            Ordering::Less => &[],
            Ordering::Equal => &self.after.settled,
            Ordering::Greater => &self.before.settled,
        }
    }

    /// Which events of a partition whose note has this epoch are sent again by the move.
    pub(in crate::bus) fn again(&self, epoch: u64) -> Option<Again> {
        (self.epoch == epoch).then(|| Again {
            reset_id: self.reset_id.as_str().into(),
            below: self.before.top(),
        })
    }
}

/// Events below an offset were sent before a reset, which sends them again.
#[derive(Clone, Debug)]
pub(in crate::bus) struct Again {
    pub(in crate::bus) reset_id: Arc<str>,
    pub(in crate::bus) below: i64,
}

/// Under which key a partition's last move lies.
pub(in crate::bus) fn key(group: &Group, partition: &TopicPartition) -> String {
    format!("moved/{group}/{}/{}", partition.topic, partition.partition)
}

impl Row for Moved {
    const TOPIC: &'static str = "tidings.control";
    const PREFIX: &'static str = "moved/";

    /// Of one reset there may be several tries: an owner may die before it commits, or return when it is none any more. What
    /// one knew to be settled is not forgotten for what another knows.
    fn supersedes(&self, known: &Self) -> bool {
        self.epoch > known.epoch || (self.epoch == known.epoch && self.before.covers(&known.before))
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8], _offset: i64) -> Result<Self> {
        let damaged = |error| Error::new(Reason::LogDamaged, format!("read a partition's move: {error}"));
        serde_json::from_slice(bytes).map_err(damaged)
    }
}
