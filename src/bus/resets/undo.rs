//! Taking a reset back: a reset of its own, to where each partition stood, that leaves settled what was settled since.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    apply::ApplyReset,
    plan::{PlanReset, ResetPlan, Whose},
    row::{Applied, ResetRow, ResetState},
    target::Target,
    view::ResetInfo,
};
use crate::{
    bus::{Bus, Inner, draining},
    error::{Error, Reason, Result},
    log::TopicPartition,
    name::Group,
};

/// What is to be taken back.
#[derive(Clone, Debug)]
pub struct UndoReset {
    pub reset_id: String,
    pub reason: String,
    /// Makes the call repeatable.
    pub request_id: String,
    /// Who asks.
    pub by: String,
}

impl Bus {
    /// What taking a reset back would do: a plan, which may be applied as any other.
    pub async fn plan_undo(&self, undo: &UndoReset) -> Result<ResetPlan> {
        self.0.plan_undo(undo).await
    }

    /// Plans and applies it. Only the group's last reset can be taken back.
    pub async fn undo_reset(&self, undo: UndoReset) -> Result<(ResetPlan, ResetInfo)> {
        if self.0.draining.is_cancelled() {
            return Err(draining());
        }
        let bus = Arc::clone(&self.0);
        let undoing = self.0.tasks.spawn(async move { bus.undo(undo).await });
        let failed = |error| Error::new(Reason::Internal, "undo a reset").caused_by(error);
        undoing.await.map_err(failed)?
    }
}

impl Inner {
    async fn undo(self: &Arc<Self>, undo: UndoReset) -> Result<(ResetPlan, ResetInfo)> {
        let plan = match self.undone_by(&undo).await? {
            Some(row) => row.plan.clone(),
            None => self.plan_undo(&undo).await?,
        };
        let apply = ApplyReset {
            plan_id: plan.id.clone(),
            hash: plan.hash().to_vec(),
            reason: undo.reason,
            request_id: undo.request_id,
            by: undo.by,
        };
        let info = self.apply(apply).await?;
        Ok((plan, info))
    }

    /// What an earlier call with the same id has applied, or has begun to.
    async fn undone_by(&self, undo: &UndoReset) -> Result<Option<Arc<ResetRow>>> {
        let undone = self.reset_row(&undo.reset_id, Reason::ResetNotFound).await?;
        let record = self.groups.newest(&undone.plan.group).await?;
        let active = record.as_ref().and_then(|record| record.reset.as_ref());
        let is_begun = |row: &ResetRow| {
            active.is_some_and(|reset| reset.id == row.plan.id && reset.request_id == undo.request_id)
                && row.plan.target == Target::UndoReset(undo.reset_id.clone())
        };
        self.resets.catch_up().await?;
        let mut rows = self.resets.all().into_iter().map(|(_, row)| row);
        Ok(rows.find(|row| is_answer(row, undo) || is_begun(row)))
    }

    async fn plan_undo(&self, undo: &UndoReset) -> Result<ResetPlan> {
        let row = self.reset_row(&undo.reset_id, Reason::ResetNotFound).await?;
        self.check_last(&row).await?;
        let asked = PlanReset {
            target: Target::UndoReset(undo.reset_id.clone()),
            reason: undo.reason.clone(),
            by: undo.by.clone(),
            ..row.plan.again()
        };
        self.plan_reset(asked).await
    }

    /// Later resets stand on this one.
    async fn check_last(&self, row: &ResetRow) -> Result<()> {
        let (plan, applied) = (&row.plan, applied(row)?);
        if plan.whose != Whose::Tidings {
            let rule = "created a group, or moved consumers outside the bus: plan a reset to where they should stand";
            return Err(Error::fault(Reason::RequestInvalid, "reset_id", rule));
        }
        let record = self.groups.newest(&plan.group).await?;
        let record = record.ok_or_else(|| Error::no_such_group(&plan.group))?;
        if record.epoch == applied.epoch {
            return Ok(());
        }
        let text = format!(
            "reset {} cannot be undone: group {} was moved again since; undo that first",
            plan.id, plan.group
        );
        Err(Error::new(Reason::ResetSuperseded, text).resource("reset", &plan.id))
    }

    /// Where a group stood in each partition before a reset.
    pub(super) async fn stood_before(&self, id: &str, group: &Group) -> Result<BTreeMap<TopicPartition, i64>> {
        let row = self.reset_row(id, Reason::ResetNotFound).await?;
        if row.plan.group != *group {
            let rule = format!("is a reset of group {}", row.plan.group);
            return Err(Error::fault(Reason::RequestInvalid, "target.undo_reset_id", rule));
        }
        self.check_last(&row).await?;
        let stood = applied(&row)?
            .partitions
            .iter()
            .map(|one| (one.partition.clone(), one.from));
        Ok(stood.collect())
    }
}

/// Whether the call was answered, or begun, by this one.
fn is_answer(row: &ResetRow, undo: &UndoReset) -> bool {
    let by_it = row
        .applied
        .as_ref()
        .is_some_and(|applied| applied.request_id == undo.request_id);
    by_it && row.plan.target == Target::UndoReset(undo.reset_id.clone())
}

fn applied(row: &ResetRow) -> Result<&Applied> {
    let id = &row.plan.id;
    match (&row.applied, row.state()) {
        (Some(applied), ResetState::Applied) => Ok(applied),
        (Some(_), _) => {
            let text = format!("reset {id} is being carried out; wait for it");
            Err(Error::new(Reason::ResetActive, text).resource("reset", id))
        }
        (None, _) => {
            let text = format!("there is no reset {id}: the plan was not applied");
            Err(Error::new(Reason::ResetNotFound, text).resource("reset", id))
        }
    }
}
