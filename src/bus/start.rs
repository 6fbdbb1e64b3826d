//! Where reading starts and ends: from what a client says to offsets.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::{Inner, state::SnapshotName};
use crate::{
    error::{Error, Reason, Result},
    log::{Bounds, LogTime, TopicPartition},
    name::CheckpointRef,
};

/// Where reading starts; inclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    Earliest,
    Latest,
    /// The first event appended at this time or later.
    Time(LogTime),
    /// These; partitions not named start at the earliest.
    Positions(Vec<(TopicPartition, i64)>),
    /// Where a snapshot stands; partitions of other topics start at the earliest.
    Snapshot(SnapshotName),
    /// Where a checkpoint stands; partitions that it does not name start at the earliest.
    Checkpoint(CheckpointRef),
}

/// Where reading ends; exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The end of each partition at the time of the call.
    Latest,
    /// Before the first event appended at this time or later.
    Time(LogTime),
    /// These; of partitions not named nothing is read.
    Positions(Vec<(TopicPartition, i64)>),
}

/// Events that should have come next are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub partition: TopicPartition,
    pub from: i64,
    pub to: i64,
    pub reason: GapReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// Retention deleted them.
    Retention,
    /// The position lies behind the end: the topic was deleted and created anew.
    Truncated,
}

impl Gap {
    /// The gap between where reading should go on and what the log has; `None` = there is none.
    pub(super) fn at(partition: &TopicPartition, position: i64, bounds: Bounds) -> Option<Self> {
        let reason = if position < bounds.start {
            GapReason::Retention
        } else if position > bounds.end {
            GapReason::Truncated
        } else {
            return None;
        };
        Some(Self {
            partition: partition.clone(),
            from: position,
            to: bounds.start,
            reason,
        })
    }

    pub(super) fn error(&self) -> Error {
        let (topic, partition) = (&self.partition.topic, self.partition.partition);
        Error::new(
            Reason::PositionGone,
            format!(
                "{topic}/{partition}: the events from offset {} to {} are gone",
                self.from, self.to
            ),
        )
    }
}

impl Inner {
    /// One offset for each partition. A time after the last event is the end; positions are not checked against the log.
    pub(super) async fn resolve_start(
        &self,
        start: &Start,
        partitions: &[TopicPartition],
        bounds: &[Bounds],
    ) -> Result<Vec<i64>> {
        Ok(match start {
            Start::Earliest => bounds.iter().map(|bounds| bounds.start).collect(),
            Start::Latest => bounds.iter().map(|bounds| bounds.end).collect(),
            Start::Time(time) => self.log.offsets_at(partitions, *time).await?,
            Start::Positions(positions) => {
                let named = named(positions, partitions, "start.positions")?;
                let offset = |(partition, bounds): (_, &Bounds)| named.get(partition).copied().unwrap_or(bounds.start);
                partitions.iter().zip(bounds).map(offset).collect()
            }
            Start::Snapshot(name) => {
                let offsets = self.snapshot_positions(name, partitions, "start.snapshot").await?;
                let or_start = offsets.into_iter().zip(bounds);
                or_start
                    .map(|(offset, bounds)| offset.unwrap_or(bounds.start))
                    .collect()
            }
            Start::Checkpoint(wanted) => {
                // It may stand for more topics than are asked for.
                let at = self.checkpoint_positions(wanted, partitions, bounds).await?;
                let offset = |(partition, bounds): (_, &Bounds)| at.get(partition).copied().unwrap_or(bounds.start);
                partitions.iter().zip(bounds).map(offset).collect()
            }
        })
    }

    /// One offset for each partition.
    pub(super) async fn resolve_end(
        &self,
        end: &End,
        partitions: &[TopicPartition],
        bounds: &[Bounds],
    ) -> Result<Vec<i64>> {
        Ok(match end {
            End::Latest => bounds.iter().map(|bounds| bounds.end).collect(),
            End::Time(time) => self.log.offsets_at(partitions, *time).await?,
            End::Positions(positions) => {
                let named = named(positions, partitions, "end.positions")?;
                partitions
                    .iter()
                    .map(|partition| named.get(partition).copied().unwrap_or(0))
                    .collect()
            }
        })
    }
}

pub(super) fn named<'a>(
    positions: &'a [(TopicPartition, i64)],
    partitions: &[TopicPartition],
    field: &str,
) -> Result<FxHashMap<&'a TopicPartition, i64>> {
    let mut named = FxHashMap::default();
    for (index, (partition, offset)) in positions.iter().enumerate() {
        let fault = |rule: String| Error::fault(Reason::RequestInvalid, format!("{field}[{index}]"), rule);
        if *offset < 0 {
            return Err(fault(format!("an offset is not negative; this is {offset}")));
        }
        if !partitions.contains(partition) {
            let (topic, number) = (&partition.topic, partition.partition);
            return Err(fault(format!(
                "{topic}/{number} is not a partition of the topics asked for"
            )));
        }
        if named.insert(partition, *offset).is_some() {
            return Err(fault("each partition has at most one position".into()));
        }
    }
    Ok(named)
}
