//! Applying a plan: checked against what is there now, accepted with one record of the log, and from then on carried out.

use std::sync::Arc;

use super::{
    partition_move::PartitionMove,
    plan::{ResetPlan, Whose},
    row::{Applied, MovedPartition, ResetRow},
    target::Target,
    view::ResetInfo,
};
use crate::{
    bus::{
        Bus, Inner,
        audit::Act,
        draining,
        groups::{ActiveReset, GroupRecord},
    },
    error::{Error, Reason, Result},
    log::{Commit, LogTime, TopicPartition},
};

/// How often others may change the group before a reset is given up.
const MOST_TRIES: usize = 10;

/// What is to be applied.
#[derive(Clone, Debug)]
pub struct ApplyReset {
    pub plan_id: String,
    /// The plan's, as it was seen.
    pub hash: Vec<u8>,
    pub reason: String,
    /// Makes the call repeatable.
    pub request_id: String,
    /// Who asks.
    pub by: String,
}

impl Bus {
    /// Returns when every partition is moved. Once accepted it goes on, whether the caller waits for it or not, and whatever
    /// replica dies; asked again with the same id it gives the same answer.
    pub async fn apply_reset(&self, apply: ApplyReset) -> Result<ResetInfo> {
        if self.0.draining.is_cancelled() {
            return Err(draining());
        }
        let bus = Arc::clone(&self.0);
        let applying = self.0.tasks.spawn(async move { bus.apply(apply).await });
        let failed = |error| Error::new(Reason::Internal, "apply a reset").caused_by(error);
        applying.await.map_err(failed)?
    }
}

impl Inner {
    pub(super) async fn apply(self: &Arc<Self>, apply: ApplyReset) -> Result<ResetInfo> {
        let row = self.reset_row(&apply.plan_id, Reason::PlanNotFound).await?;
        let plan = &row.plan;
        if let Some(applied) = &row.applied {
            check_same(&plan.id, &applied.request_id, &apply)?;
        } else {
            check(plan, &apply)?;
            let _one_at_a_time = self.groups.active.lock(&plan.group).await;
            match plan.whose {
                Whose::Tidings => self.accept(plan, &apply).await?,
                Whose::Created | Whose::Foreign => self.move_at_once(plan, &apply).await?,
            }
        }
        self.drive(&plan.group, &plan.id).await?;
        self.reset_info(&plan.id).await
    }

    /// From the record on, the reset is carried out by whoever lives.
    async fn accept(&self, plan: &ResetPlan, apply: &ApplyReset) -> Result<()> {
        for _ in 0..MOST_TRIES {
            if let Some(applied) = &self.reset_row(&plan.id, Reason::PlanNotFound).await?.applied {
                return check_same(&plan.id, &applied.request_id, apply);
            }
            // One that nobody has finished is finished now.
            self.finish_if_done(&plan.group).await;
            let record = self.groups.newest(&plan.group).await?;
            let record = record.ok_or_else(|| Error::no_such_group(&plan.group))?;
            if let Some(active) = &record.reset {
                return match active.id == plan.id {
                    true => check_same(&plan.id, &active.request_id, apply),
                    false => Err(in_progress(plan, active)),
                };
            }
            self.check_fresh(plan, &record).await?;
            let reset = active(plan, apply);
            let next = GroupRecord {
                epoch: record.epoch + 1,
                reset: Some(Arc::new(reset)),
                ..record.next()
            };
            let holds = self.groups.put(&plan.group, &next).await?;
            let accepted = holds.reset.as_ref().filter(|reset| reset.id == plan.id);
            let Some(accepted) = accepted else { continue };
            check_same(&plan.id, &accepted.request_id, apply)?;
            tracing::info!(group = %plan.group, reset = plan.id, by = apply.by, reason = apply.reason, "reset accepted");
            if let Some(handle) = self.groups.active.get(&plan.group) {
                handle.replace(Arc::clone(&holds)).await;
            }
            return self.note(plan, Applied::accepted(accepted, holds.epoch)).await;
        }
        let text = format!("reset group {}: others change it all the time", plan.group);
        Err(Error::new(Reason::GroupConflict, text).resource("group", plan.group.as_str()))
    }

    /// What the plan stands on is as it was.
    async fn check_fresh(&self, plan: &ResetPlan, record: &GroupRecord) -> Result<()> {
        let is_over = plan.expires < LogTime::now();
        let is_same = (record.revision, record.epoch) == (plan.revision, plan.epoch);
        if is_same && !is_over && self.has_same_partitions(plan, record).await? {
            return Ok(());
        }
        Err(self
            .stale(
                plan,
                if is_over {
                    "it has expired"
                } else {
                    "the group has changed since"
                },
            )
            .await?)
    }

    async fn has_same_partitions(&self, plan: &ResetPlan, record: &GroupRecord) -> Result<bool> {
        let now = self.candidates(Some(record), &plan.again()).await;
        let mut now: Vec<TopicPartition> = match now {
            Ok(candidates) => candidates.into_iter().map(|one| one.partition).collect(),
            Err(error) if error.reason() == Reason::RequestInvalid => return Ok(false),
            Err(error) => return Err(error),
        };
        now.sort();
        let planned = plan.moves.iter().map(|one| &one.partition);
        let moves_all = !matches!(
            plan.target,
            Target::Positions(_) | Target::CommittedBy(_) | Target::UndoReset(_)
        );
        let are_there = planned.clone().all(|partition| now.binary_search(partition).is_ok());
        Ok(are_there && (!moves_all || planned.count() == now.len()))
    }

    /// The refusal of a plan, which names one that may be applied in its place.
    async fn stale(&self, plan: &ResetPlan, why: &str) -> Result<Error> {
        let fresh = self.plan_reset(plan.again()).await?;
        let text = format!(
            "plan {} cannot be applied: {why}; the same, planned anew, is {}",
            plan.id, fresh.id
        );
        Ok(Error::new(Reason::PlanStale, text).resource("plan", &fresh.id))
    }

    /// A group that nobody serves and that has no record: it is created there, or its consumers' offsets are moved.
    async fn move_at_once(&self, plan: &ResetPlan, apply: &ApplyReset) -> Result<()> {
        if plan.expires < LogTime::now() || self.groups.newest(&plan.group).await?.is_some() {
            return Err(self
                .stale(plan, "it has expired, or the group was created since")
                .await?);
        }
        let accepted = Applied::accepted(&active(plan, apply), 0);
        match plan.whose {
            Whose::Created => self.create_at(&plan.group, &plan.topics, &places(plan)).await?,
            Whose::Foreign | Whose::Tidings => self.log.commit(&plan.group, commits(plan)).await?,
        }
        let moved = |one: &PartitionMove| MovedPartition {
            partition: one.partition.clone(),
            from: one.from.unwrap_or(one.to),
            to: one.to,
        };
        let done = Applied {
            finished: Some(LogTime::now()),
            partitions: plan.moves.iter().map(moved).collect(),
            ..accepted
        };
        self.note(plan, done).await
    }

    /// Keeps what became of a plan, for good; and audits it once it is done.
    pub(super) async fn note(&self, plan: &ResetPlan, applied: Applied) -> Result<()> {
        let (by, reason, is_done) = (applied.by.clone(), applied.reason.clone(), applied.finished.is_some());
        let row = ResetRow {
            plan: plan.clone(),
            applied: Some(applied),
        };
        if is_done {
            let act = Act {
                id: &plan.id,
                ty: "tidings.groups.reset",
                subject: plan.group.as_str(),
                by: &by,
                reason: &reason,
                details: &row,
            };
            self.audit(&act).await?;
        }
        self.resets.put(&ResetRow::key(&plan.id), &row).await.map(|_| ())
    }
}

fn active(plan: &ResetPlan, apply: &ApplyReset) -> ActiveReset {
    ActiveReset {
        id: plan.id.clone(),
        request_id: apply.request_id.clone(),
        reason: apply.reason.clone(),
        by: apply.by.clone(),
        accepted_ms: LogTime::now().0,
        undoes: match &plan.target {
            Target::UndoReset(id) => Some(id.clone()),
            _ => None,
        },
        moves: places(plan),
    }
}

fn places(plan: &ResetPlan) -> Vec<(TopicPartition, i64)> {
    plan.moves.iter().map(|one| (one.partition.clone(), one.to)).collect()
}

fn commits(plan: &ResetPlan) -> Vec<Commit> {
    let commit = |one: &PartitionMove| Commit {
        partition: one.partition.clone(),
        offset: one.to,
        note: String::new(),
    };
    plan.moves.iter().map(commit).collect()
}

fn check(plan: &ResetPlan, apply: &ApplyReset) -> Result<()> {
    let fault = |field: &str, rule: &str| Err(Error::fault(Reason::RequestInvalid, field, rule));
    if apply.reason.trim().is_empty() {
        return fault("reason", "says why: it is kept with the reset");
    }
    if apply.hash != plan.hash() {
        return fault("hash", "is not the plan's: apply what was planned and seen");
    }
    Ok(())
}

/// Whether this is the call that was accepted.
fn check_same(plan_id: &str, accepted: &str, apply: &ApplyReset) -> Result<()> {
    if accepted == apply.request_id {
        return Ok(());
    }
    let text = format!("plan {plan_id} was applied already, by another request");
    Err(Error::new(Reason::PlanApplied, text).resource("reset", plan_id))
}

fn in_progress(plan: &ResetPlan, active: &ActiveReset) -> Error {
    let text = format!(
        "group {} is being moved by reset {}; wait for it",
        plan.group, active.id
    );
    Error::new(Reason::ResetActive, text).resource("reset", &active.id)
}
