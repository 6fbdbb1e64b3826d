//! Resets as they lie in `tidings.control`: the plan, then what became of it, for good.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::plan::ResetPlan;
use crate::{
    bus::{
        Inner,
        groups::ActiveReset,
        table::{Row, Table},
    },
    error::{Error, Reason, Result},
    log::{LogTime, TopicPartition},
};

pub(in crate::bus) type ResetsTable = Table<ResetRow>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::bus) struct ResetRow {
    pub(super) plan: ResetPlan,
    /// `None` = it was not applied yet.
    pub(super) applied: Option<Applied>,
}

/// A plan that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub request_id: String,
    pub reason: String,
    pub by: String,
    pub accepted: LogTime,
    /// The group's epoch since then.
    pub epoch: u64,
    /// When every partition was moved.
    pub finished: Option<LogTime>,
    /// What was done to each, once all is done.
    pub partitions: Vec<MovedPartition>,
}

/// A partition that was moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedPartition {
    pub partition: TopicPartition,
    /// Where the group stood.
    pub from: i64,
    /// Where it was put.
    pub to: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResetState {
    Planned,
    /// It is being carried out.
    Applying,
    Applied,
}

impl ResetRow {
    pub(super) fn key(id: &str) -> String {
        format!("resets/{id}")
    }

    pub(super) fn state(&self) -> ResetState {
        match &self.applied {
            None => ResetState::Planned,
            Some(applied) if applied.finished.is_none() => ResetState::Applying,
            Some(_) => ResetState::Applied,
        }
    }
}

impl Applied {
    pub(super) fn accepted(reset: &ActiveReset, epoch: u64) -> Self {
        Self {
            request_id: reset.request_id.clone(),
            reason: reset.reason.clone(),
            by: reset.by.clone(),
            accepted: LogTime(reset.accepted_ms),
            epoch,
            finished: None,
            partitions: Vec::new(),
        }
    }
}

impl Inner {
    /// A plan or reset, also if another replica has just written it.
    pub(super) async fn reset_row(&self, id: &str, missing: Reason) -> Result<Arc<ResetRow>> {
        let row = self.resets.newest(&ResetRow::key(id)).await?;
        row.ok_or_else(|| no_such(missing, id))
    }
}

pub(super) fn no_such(missing: Reason, id: &str) -> Error {
    let what = match missing {
        Reason::PlanNotFound => "plan",
        _ => "reset",
    };
    Error::new(missing, format!("there is no {what} {id}")).resource(what, id)
}

impl Row for ResetRow {
    const TOPIC: &'static str = "tidings.control";
    const PREFIX: &'static str = "resets/";

    /// What was done is not undone by a row that was written before.
    fn supersedes(&self, known: &Self) -> bool {
        self.state() > known.state() || self == known
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8], _offset: i64) -> Result<Self> {
        let damaged = |error| Error::new(Reason::LogDamaged, format!("read a reset: {error}"));
        serde_json::from_slice(bytes).map_err(damaged)
    }
}
