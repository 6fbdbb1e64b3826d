//! Plans: what a reset would do, before anything is done. They are kept, so that what was seen is what is applied.

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    partition_move::PartitionMove,
    row::ResetRow,
    target::{Candidate, Target},
};
use crate::{
    bus::{Bus, Inner, groups::GroupRecord},
    error::{Error, Reason, Result},
    log::{Cleanup, LogTime, TopicPartition},
    name::{Group, Selector, Selectors, Topic},
};

/// How long a plan is kept that has expired, in milliseconds.
const KEPT_MS: i64 = 24 * 60 * 60 * 1_000;
/// Partitions whose first event is looked at at once.
const AT_ONCE: usize = 32;

/// What is to be planned.
#[derive(Clone, Debug)]
pub struct PlanReset {
    pub group: Group,
    /// Only of these topics; empty = of all the group has. What a group that does not exist yet is created with.
    pub topics: Vec<Topic>,
    /// Only these; empty = all.
    pub partitions: Vec<TopicPartition>,
    pub target: Target,
    pub reason: String,
    /// Who asks.
    pub by: String,
}

/// What applying it would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetPlan {
    pub id: String,
    pub group: Group,
    pub whose: Whose,
    pub topics: Vec<Topic>,
    pub partitions: Vec<TopicPartition>,
    pub target: Target,
    /// In order of their partitions.
    pub moves: Vec<PartitionMove>,
    pub created: LogTime,
    pub expires: LogTime,
    pub reason: String,
    pub by: String,
    pub epoch: u64,
    pub revision: u64,
    /// Streams of the group on the replica that planned.
    pub streams: usize,
}

/// What a reset means to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// A group of this bus is moved.
    Tidings,
    /// There is none: it is created, and starts there.
    Created,
    /// Other consumers of the log have committed under its name: they are moved, if none of them runs.
    Foreign,
}

impl ResetPlan {
    /// Of the group's revision and epoch, and of where each partition shall stand; not of what is committed, which moves all the
    /// time.
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(format!(
            "{} {} {} {:?}",
            self.group, self.revision, self.epoch, self.whose
        ));
        for PartitionMove { partition, to, .. } in &self.moves {
            hasher.update(format!("\n{} {} {to}", partition.topic, partition.partition));
        }
        hasher.finalize().into()
    }

    /// The same to be planned anew.
    pub(super) fn again(&self) -> PlanReset {
        PlanReset {
            group: self.group.clone(),
            topics: self.topics.clone(),
            partitions: self.partitions.clone(),
            target: self.target.clone(),
            reason: self.reason.clone(),
            by: self.by.clone(),
        }
    }
}

impl Bus {
    /// Nothing is moved. The plan may be applied for `Settings::plan_lifetime`.
    pub async fn plan_reset(&self, asked: PlanReset) -> Result<ResetPlan> {
        self.0.plan_reset(asked).await
    }
}

impl Inner {
    pub(super) async fn plan_reset(&self, asked: PlanReset) -> Result<ResetPlan> {
        let plan = self.draw_up(asked).await?;
        self.forget_expired().await;
        let row = ResetRow {
            plan: plan.clone(),
            applied: None,
        };
        self.resets.put(&ResetRow::key(&plan.id), &row).await?;
        Ok(plan)
    }

    async fn draw_up(&self, asked: PlanReset) -> Result<ResetPlan> {
        let record = self.groups.newest(&asked.group).await?;
        let candidates = self.candidates(record.as_deref(), &asked).await?;
        let whose = match record {
            Some(_) => Whose::Tidings,
            None if candidates.iter().any(|one| one.committed.is_some()) => Whose::Foreign,
            None => Whose::Created,
        };
        let moves = self.moves_of(&asked, &candidates).await?;
        let sights = self.sights(&asked.group, &self.others()).await;
        let streams = sights.iter().map(|sight| sight.view.streams).sum();
        let now = LogTime::now();
        let lifetime = i64::try_from(self.settings.plan_lifetime.as_millis()).unwrap_or(i64::MAX);
        Ok(ResetPlan {
            id: uuid::Uuid::now_v7().simple().to_string(),
            whose,
            moves,
            created: now,
            expires: LogTime(now.0.saturating_add(lifetime)),
            epoch: record.as_ref().map_or(0, |record| record.epoch),
            revision: record.as_ref().map_or(0, |record| record.revision),
            streams,
            group: asked.group,
            topics: asked.topics,
            partitions: asked.partitions,
            target: asked.target,
            reason: asked.reason,
            by: asked.by,
        })
    }

    /// In order of their partitions.
    async fn moves_of(&self, asked: &PlanReset, candidates: &[Candidate]) -> Result<Vec<PartitionMove>> {
        let mut moves = Vec::with_capacity(candidates.len());
        for (one, wanted) in candidates.iter().zip(self.wanted_by(asked, candidates).await?) {
            let Some(wanted) = wanted else { continue };
            moves.push(PartitionMove::new(
                one,
                wanted,
                self.is_dense(&one.partition.topic).await?,
            ));
        }
        if moves.is_empty() {
            let rule = "moves no partition of the group";
            return Err(Error::fault(Reason::RequestInvalid, "target", rule));
        }
        moves.sort_by(|one, other| one.partition.cmp(&other.partition));
        self.date_first_events(&mut moves, candidates).await;
        Ok(moves)
    }

    /// The partitions of the group that are asked about, and where it stands in them.
    pub(super) async fn candidates(&self, record: Option<&GroupRecord>, asked: &PlanReset) -> Result<Vec<Candidate>> {
        let selectors = match record {
            Some(record) => record.settings.topics.clone(),
            None if asked.topics.is_empty() => return Err(Error::no_such_group(&asked.group)),
            None => Selectors::new(
                asked
                    .topics
                    .iter()
                    .map(|topic| Selector::new(topic.as_str()))
                    .collect::<Result<_>>()?,
            ),
        };
        let mut partitions = match record {
            Some(_) => self.existing_partitions(&selectors).await?,
            None => self.partitions_of(&selectors).await?,
        };
        check_asked(asked, &partitions)?;
        let is_wanted = |partition: &TopicPartition| {
            (asked.topics.is_empty() || asked.topics.contains(&partition.topic))
                && (asked.partitions.is_empty() || asked.partitions.contains(partition))
        };
        partitions.retain(is_wanted);
        let bounds = self.bounds_of(&selectors, &mut partitions).await?;
        let committed = self.log.committed(&asked.group, &partitions).await?;
        let rows = partitions.into_iter().zip(bounds).zip(committed);
        Ok(rows
            .map(|((partition, bounds), committed)| Candidate {
                partition,
                bounds,
                committed: committed.map(|committed| committed.offset),
            })
            .collect())
    }

    /// Whether every offset has a record, as far as the topic's settings tell.
    async fn is_dense(&self, topic: &Topic) -> Result<bool> {
        let info = self.log.topic(topic).await?;
        Ok(info.is_some_and(|info| info.settings.cleanup == Cleanup::Delete))
    }

    async fn date_first_events(&self, moves: &mut [PartitionMove], candidates: &[Candidate]) {
        let end = |partition: &TopicPartition| {
            let one = candidates.iter().find(|one| one.partition == *partition);
            one.map_or(0, |one| one.bounds.end)
        };
        let is_there: Vec<(usize, TopicPartition, i64)> = (moves.iter().enumerate())
            .filter(|(_, one)| one.to < end(&one.partition))
            .map(|(index, one)| (index, one.partition.clone(), one.to))
            .collect();
        let dates = stream::iter(is_there).map(async |(index, partition, offset)| {
            let first = self.log.read(&partition, offset, None).next().await;
            let time = first.and_then(|batch| batch.ok()?.records.first().map(|record| record.time));
            (index, time)
        });
        let dates: Vec<_> = dates.buffer_unordered(AT_ONCE).collect().await;
        for (index, time) in dates {
            moves[index].first_event = time;
        }
    }

    /// Plans that can be applied no more go when there are new ones, a day later: so none is removed that another replica, whose
    /// clock is behind, has just accepted.
    async fn forget_expired(&self) {
        let now = LogTime::now();
        let is_over = |row: &ResetRow| {
            let is_active =
                |record: Arc<GroupRecord>| record.reset.as_ref().is_some_and(|reset| reset.id == row.plan.id);
            row.applied.is_none()
                && row.plan.expires.0.saturating_add(KEPT_MS) < now.0
                && !self.groups.known(&row.plan.group).is_some_and(is_active)
        };
        let expired: Vec<String> = (self.resets.all().into_iter())
            .filter(|(_, row)| is_over(row))
            .map(|(key, _)| key)
            .collect();
        if let Err(error) = self.resets.remove_all(&expired).await {
            tracing::debug!(%error, "cannot remove plans that have expired");
        }
    }
}

/// What is asked for is the group's.
fn check_asked(asked: &PlanReset, partitions: &[TopicPartition]) -> Result<()> {
    let fault = |field: String, rule: String| Err(Error::fault(Reason::RequestInvalid, field, rule));
    for (index, topic) in asked.topics.iter().enumerate() {
        if !partitions.iter().any(|partition| partition.topic == *topic) {
            return fault(
                format!("topics[{index}]"),
                format!("{topic} is not a topic of group {}", asked.group),
            );
        }
    }
    for (index, partition) in asked.partitions.iter().enumerate() {
        if !partitions.contains(partition) {
            let (topic, number) = (&partition.topic, partition.partition);
            let rule = format!("{topic}/{number} is not a partition of group {}", asked.group);
            return fault(format!("partitions[{index}]"), rule);
        }
    }
    Ok(())
}
