//! Looking at plans and resets: one by its id, or those of a group, newest first.

use std::sync::Arc;

use super::{
    plan::ResetPlan,
    row::{Applied, ResetRow, ResetState},
};
use crate::{
    bus::{Bus, Inner},
    error::{Error, Reason, Result},
    name::Group,
};

/// A plan that was applied.
#[derive(Clone, Debug)]
pub struct ResetInfo {
    pub plan: ResetPlan,
    pub applied: Applied,
    pub state: ResetState,
}

impl ResetInfo {
    fn of(row: &ResetRow) -> Option<Self> {
        Some(Self {
            plan: row.plan.clone(),
            applied: row.applied.clone()?,
            state: row.state(),
        })
    }
}

impl Bus {
    pub async fn reset_plan(&self, id: &str) -> Result<ResetPlan> {
        let row = self.0.reset_row(id, Reason::PlanNotFound).await?;
        Ok(row.plan.clone())
    }

    pub async fn reset(&self, id: &str) -> Result<ResetInfo> {
        self.0.reset_info(id).await
    }

    /// Newest first: those of some groups, before the one of this id, at most `count`.
    pub async fn resets(
        &self,
        may: impl Fn(&Group) -> bool,
        before: Option<&str>,
        count: usize,
    ) -> Result<Vec<ResetInfo>> {
        self.0.resets.catch_up().await?;
        let is_meant =
            |row: &Arc<ResetRow>| may(&row.plan.group) && before.is_none_or(|before| row.plan.id.as_str() < before);
        // Ids rise with time.
        let rows = self.0.resets.all().into_iter().rev().map(|(_, row)| row);
        let resets = rows.filter(is_meant).filter_map(|row| ResetInfo::of(&row));
        Ok(resets.take(count).collect())
    }
}

/// There is none, or none for whoever asks; `missing` is what it would be.
pub fn no_such_reset(missing: Reason, id: &str) -> Error {
    super::row::no_such(missing, id)
}

impl Inner {
    pub(super) async fn reset_info(&self, id: &str) -> Result<ResetInfo> {
        let row = self.reset_row(id, Reason::ResetNotFound).await?;
        ResetInfo::of(&row).ok_or_else(|| {
            let text = format!("there is no reset {id}: the plan was not applied");
            Error::new(Reason::ResetNotFound, text).resource("reset", id)
        })
    }
}
