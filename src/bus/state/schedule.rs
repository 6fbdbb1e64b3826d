//! Snapshots that are taken by themselves: of topics by pattern, an interval apart, by whichever replica is first.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{create::NewSnapshot, info::Alive, row::SnapshotRow};
use crate::{
    bus::{Bus, Inner, partitions::partitions},
    error::{Reason, Result},
    log::LogTime,
    name::{Pattern, Topic},
};

/// Who takes them, and why.
const SCHEDULE: &str = "schedule";
/// Between two looks at what is due.
const LOOKS: Duration = Duration::from_secs(5);
/// After one that failed.
const PAUSE: Duration = Duration::from_secs(60);

/// Snapshots of topics that match, so far apart.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub topic: Pattern,
    pub interval: Duration,
}

impl Bus {
    /// Begins to take snapshots by themselves, if any are wanted.
    pub(in crate::bus) fn keep_schedule(&self) {
        let bus = Arc::clone(&self.0);
        let schedule = &bus.settings.snapshots.schedule;
        let Some(shortest) = schedule.iter().map(|one| one.interval).min() else {
            return;
        };
        if let Err(error) = bus.objects() {
            return tracing::error!(%error, "no snapshots are taken by schedule");
        }
        let tasks = bus.tasks.clone();
        let mut looks = interval(shortest.min(LOOKS));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tasks.spawn(async move {
            let looking = async {
                loop {
                    looks.tick().await;
                    if let Err(error) = bus.take_what_is_due().await {
                        tracing::debug!(%error, "cannot see which snapshots are due");
                    }
                }
            };
            tokio::select! {
                () = looking => {}
                () = bus.draining.cancelled() => {}
            }
        });
    }
}

impl Inner {
    /// One after the other: they share memory anyway.
    async fn take_what_is_due(self: &Arc<Self>) -> Result<()> {
        self.snapshots.catch_up().await?;
        for topic in self.log.names().await? {
            let schedule = &self.settings.snapshots.schedule;
            let meant = schedule
                .iter()
                .find(|one| !topic.is_internal() && one.topic.matches(topic.as_str()));
            if let Some(one) = meant
                && self.is_due(&topic, one.interval).await?
            {
                self.take_by_schedule(&topic).await;
            }
        }
        Ok(())
    }

    async fn is_due(&self, topic: &Topic, interval: Duration) -> Result<bool> {
        let Some(row) = self.snapshots.known(&SnapshotRow::key(topic)) else {
            return Ok(true);
        };
        if self.takes(topic, &row) == Alive::Yes {
            return Ok(false);
        }
        let is_ready = row.taken_by(&row.request_id) == Some(&row.id);
        let wait = if is_ready { interval } else { interval.min(PAUSE) };
        let age = LogTime::now().0.saturating_sub(row.begun.0);
        if age < i64::try_from(wait.as_millis()).unwrap_or(i64::MAX) {
            return Ok(false);
        }
        Ok(!is_ready || self.has_grown(topic, &row.offsets).await?)
    }

    /// Whether there is anything that the last snapshot does not have.
    async fn has_grown(&self, topic: &Topic, offsets: &[i64]) -> Result<bool> {
        let count = self.log.partitions(topic).await?.unwrap_or(0);
        let partitions: Vec<_> = partitions(topic, count).collect();
        let bounds = self.log.bounds(&partitions).await?;
        Ok(!bounds.iter().map(|bounds| bounds.end).eq(offsets.iter().copied()))
    }

    async fn take_by_schedule(self: &Arc<Self>, topic: &Topic) {
        let new = NewSnapshot {
            topic: topic.clone(),
            reason: SCHEDULE.to_owned(),
            by: SCHEDULE.to_owned(),
            request_id: uuid::Uuid::now_v7().simple().to_string(),
        };
        match Bus(Arc::clone(self)).create_snapshot(new).await {
            Ok(_) => {}
            // Another replica was first.
            Err(error) if error.reason() == Reason::SnapshotActive => {}
            Err(error) => tracing::warn!(%topic, %error, "could not take a snapshot that was due"),
        }
    }
}
