//! Where a reset puts a group: what was asked for, as offsets.

use serde::{Deserialize, Serialize};

use super::plan::PlanReset;
use crate::{
    bus::{Inner, start::named},
    error::{Error, Reason, Result},
    log::{Bounds, LogTime, TopicPartition},
    name::Group,
};

/// Where a group shall stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Earliest,
    Latest,
    /// At the first event appended at this time or later.
    Time(LogTime),
    /// So many events further on, or back.
    ShiftBy(i64),
    /// At these; partitions not named are not moved.
    Positions(Vec<(TopicPartition, i64)>),
    /// Where a snapshot stands, by its name; partitions of other topics are not moved.
    Snapshot(String),
    /// Where another group stands; partitions in which it has committed nothing are not moved.
    CommittedBy(Group),
    /// Where the group stood before a reset.
    UndoReset(String),
}

/// A partition that may be moved.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) partition: TopicPartition,
    pub(super) bounds: Bounds,
    /// What the group has committed.
    pub(super) committed: Option<i64>,
}

impl Candidate {
    /// Where the group stands.
    fn stands(&self) -> i64 {
        self.committed.unwrap_or(self.bounds.start)
    }
}

impl Inner {
    /// Where each is wanted, whether the log has that offset or not; `None` = it is not moved.
    pub(super) async fn wanted_by(&self, asked: &PlanReset, candidates: &[Candidate]) -> Result<Vec<Option<i64>>> {
        let partitions: Vec<TopicPartition> = candidates.iter().map(|one| one.partition.clone()).collect();
        let each = |wanted: fn(&Candidate) -> i64| candidates.iter().map(wanted).map(Some).collect();
        Ok(match &asked.target {
            Target::Earliest => each(|one| one.bounds.start),
            Target::Latest => each(|one| one.bounds.end),
            Target::Time(time) => {
                let offsets = self.log.offsets_at(&partitions, *time).await?;
                offsets.into_iter().map(Some).collect()
            }
            Target::ShiftBy(events) => {
                let shifted = |one: &Candidate| Some(one.stands().saturating_add(*events));
                candidates.iter().map(shifted).collect()
            }
            Target::Positions(positions) => {
                let named = named(positions, &partitions, "target.positions")?;
                partitions
                    .iter()
                    .map(|partition| named.get(partition).copied())
                    .collect()
            }
            Target::Snapshot(name) => {
                let field = "target.snapshot";
                let name = name
                    .parse()
                    .map_err(|rule: String| Error::fault(Reason::RequestInvalid, field, rule))?;
                self.snapshot_positions(&name, &partitions, field).await?
            }
            Target::CommittedBy(group) => self.committed_by(group, &partitions).await?,
            Target::UndoReset(id) => {
                let before = self.stood_before(id, &asked.group).await?;
                partitions
                    .iter()
                    .map(|partition| before.get(partition).copied())
                    .collect()
            }
        })
    }

    async fn committed_by(&self, group: &Group, partitions: &[TopicPartition]) -> Result<Vec<Option<i64>>> {
        let committed = self.log.committed(group, partitions).await?;
        let offsets: Vec<_> = committed.into_iter().map(|committed| Some(committed?.offset)).collect();
        if offsets.iter().all(Option::is_none) {
            let rule = format!("group {group} has committed nothing in these partitions");
            return Err(Error::fault(Reason::RequestInvalid, "target.committed_by", rule));
        }
        Ok(offsets)
    }
}
