//! A checkpoint that is tied to a group: what it covers counts as acked, once it is stored.
//!
//! ```text
//! stored ─▶ covers/GROUP/TOPIC/PARTITION in tidings.control ─▶ owners settle, commit ─▶ the committed offsets are there: answered
//!             (a group that nobody serves gets this replica for the time)
//! ```
//!
//! Fenced by the group's epoch: whoever puts one says which epoch its positions come from, and after a reset that is another.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{CheckpointInfo, Tie, positions::Positions};
use crate::{
    bus::{
        Inner,
        covers::{Cover, key},
        draining,
        group::Stay,
        groups::GroupRecord,
    },
    error::{Error, Fault, Reason, Result},
    log::TopicPartition,
    name::Group,
};

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// For the owners of partitions: one that froze is given up when its session is over.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

impl Inner {
    /// The tie to a group as it is now. Nothing is stored for one that was reset since.
    pub(super) async fn tie_to(&self, group: &Group, epoch: u64, positions: &Positions) -> Result<Tie> {
        let record = self.groups.newest(group).await?;
        let record = record.ok_or_else(|| Error::no_such_group(group))?;
        if record.epoch != epoch {
            let text = format!(
                "put a checkpoint of group {group}: it comes from epoch {epoch}, and the group is in epoch {}: it was reset since; \
                 nothing was stored",
                record.epoch
            );
            return Err(Error::new(Reason::EpochStale, text).resource("group", group.as_str()));
        }
        if let Some(reset) = &record.reset {
            let text = format!(
                "put a checkpoint of group {group}: it is being moved by reset {}; wait for it",
                reset.id
            );
            return Err(Error::new(Reason::ResetActive, text).resource("reset", &reset.id));
        }
        self.check_of_group(&record, positions).await?;
        Ok(Tie {
            group: group.clone(),
            epoch,
            id: record.id,
        })
    }

    async fn check_of_group(&self, record: &GroupRecord, positions: &Positions) -> Result<()> {
        if positions.is_empty() {
            let rule = "names at least one partition where it is tied to a group";
            return Err(Error::fault(Reason::RequestInvalid, "header.positions", rule));
        }
        let its = self.existing_partitions(&record.settings.topics).await?;
        let is_foreign = |(_, (partition, _)): &(usize, &(TopicPartition, i64))| !its.contains(partition);
        let fault = |(index, (partition, _)): (usize, &(TopicPartition, i64))| {
            let rule = format!("{}/{} is none of the group's", partition.topic, partition.partition);
            Fault::new(format!("header.positions[{index}]"), rule)
        };
        let faults: Vec<Fault> = positions.iter().enumerate().filter(is_foreign).map(fault).collect();
        match faults.is_empty() {
            true => Ok(()),
            false => Err(Error::faults(Reason::RequestInvalid, faults)),
        }
    }

    /// Returns when the group has committed what a stored checkpoint covers, which may be so already.
    pub(super) async fn commit_tie(self: &Arc<Self>, info: &CheckpointInfo) -> Result<()> {
        let Some(tie) = &info.tie else { return Ok(()) };
        let committed = self.see_to_commit(tie, info).await;
        committed.map_err(|error| {
            let text = format!(
                "checkpoint {} is stored, but its group is not committed there: {error}",
                info.label()
            );
            let told = Error::new(error.reason(), text).resource("checkpoint", &info.label());
            match error.retry_delay() {
                Some(delay) => told.retry_after(delay),
                None => told,
            }
        })
    }

    async fn see_to_commit(self: &Arc<Self>, tie: &Tie, info: &CheckpointInfo) -> Result<()> {
        let (until, mut pause, mut stay) = (Instant::now() + PATIENCE, SHORTEST_PAUSE, None);
        loop {
            match self.is_committed(tie, info, &mut stay).await {
                Ok(true) => return Ok(()),
                Err(error) if !error.reason().is_retryable() => return Err(error),
                Ok(false) | Err(_) => {}
            }
            if Instant::now() >= until {
                let text = "those who own the partitions do not answer; call again with the same request_id";
                return Err(Error::new(Reason::LogUnavailable, text).retry_after(LONGEST_PAUSE));
            }
            tokio::select! {
                () = self.draining.cancelled() => return Err(draining()),
                () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            }
        }
    }

    /// If it is not, sees to it that somebody knows what is to be done, and that somebody is there to do it.
    async fn is_committed(self: &Arc<Self>, tie: &Tie, info: &CheckpointInfo, stay: &mut Option<Stay>) -> Result<bool> {
        let partitions: Vec<TopicPartition> = info.positions.iter().map(|(partition, _)| partition.clone()).collect();
        let committed = self.log.committed(&tie.group, &partitions).await?;
        // Asked behind it: what was committed before a reset counts, what was so after it does not.
        let record = self.groups.newest(&tie.group).await?;
        let record = record.ok_or_else(|| Error::no_such_group(&tie.group))?;
        if (record.id, record.epoch) != (tie.id, tie.epoch) {
            let text = format!(
                "group {} was reset since, or is another: it is in epoch {}",
                tie.group, record.epoch
            );
            return Err(Error::new(Reason::EpochStale, text));
        }
        let behind = info.positions.iter().zip(committed);
        let behind = behind.filter(|((_, offset), committed)| committed.as_ref().is_none_or(|at| at.offset < *offset));
        let behind: Vec<&(TopicPartition, i64)> = behind.map(|(position, _)| position).collect();
        if behind.is_empty() {
            return Ok(true);
        }
        self.tell_owners(tie, info, &behind).await?;
        if stay.is_none() {
            *stay = self.served(tie, &record).await?;
        }
        Ok(false)
    }

    /// Writes what is covered, unless that is known already.
    async fn tell_owners(&self, tie: &Tie, info: &CheckpointInfo, behind: &[&(TopicPartition, i64)]) -> Result<()> {
        let row = |(partition, offset): &&(TopicPartition, i64)| {
            let cover = Cover {
                id: tie.id,
                epoch: tie.epoch,
                partition: partition.clone(),
                offset: *offset,
                checkpoint: info.label(),
                attempt: 0,
                is_committed: false,
            };
            let key = key(&tie.group, partition);
            let cover = match self.covers.known(&key) {
                Some(known) => cover.over(&known)?,
                None => cover,
            };
            Some((key, cover))
        };
        let rows: Vec<(String, Cover)> = behind.iter().filter_map(row).collect();
        match rows.is_empty() {
            true => Ok(()),
            false => self.covers.put_all(&rows).await,
        }
    }

    /// Only members commit, so a group without them gets one for a while.
    async fn served(self: &Arc<Self>, tie: &Tie, record: &Arc<GroupRecord>) -> Result<Option<Stay>> {
        let _one_at_a_time = self.groups.active.lock(&tie.group).await;
        if self.groups.active.get(&tie.group).is_none() && self.log.has_members(&tie.group).await? {
            return Ok(None);
        }
        Ok(self.running(&tie.group, record).await?.stay().await)
    }
}
