//! What retention takes from groups before they get it: how long until then, and a warning, once, when it has happened.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustc_hash::{FxHashMap, FxHashSet};

use super::GroupPartition;
use crate::{
    bus::Inner,
    error::Result,
    log::{Cleanup, TopicPartition},
    name::{Group, Topic},
};

/// Of more losses than this, some may be told again.
const MOST: usize = 10_000;

/// Of which losses whoever reads the server's log was told.
#[derive(Default)]
pub(in crate::bus) struct Losses(Mutex<FxHashSet<(Group, TopicPartition)>>);

impl Losses {
    /// A group without streams finds out by being looked at; one that has some is told of the gap too.
    pub(super) fn warn(&self, group: &Group, row: &GroupPartition) {
        let place = (group.clone(), row.partition.clone());
        // Nothing panics while it holds this lock, so a poisoned one is whole.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if row.lost_events() == 0 {
            told.remove(&place);
            return;
        }
        if told.len() >= MOST {
            told.clear();
        }
        if told.insert(place) {
            let (topic, partition, lost) = (&row.partition.topic, row.partition.partition, row.lost_events());
            tracing::warn!(%group, %topic, partition, lost, "retention has deleted events that the group had not got");
        }
    }
}

impl Inner {
    /// How long until the next event of each partition may be deleted for its age.
    pub(super) async fn foresee_losses(&self, partitions: &mut [GroupPartition]) -> Result<()> {
        let mut kept_for = FxHashMap::<Topic, Option<Duration>>::default();
        for row in partitions.iter_mut().filter(|row| row.lag_events() > 0) {
            let topic = &row.partition.topic;
            if !kept_for.contains_key(topic) {
                let settings = self.log.topic(topic).await?.map(|info| info.settings);
                let settings = settings.filter(|settings| settings.cleanup == Cleanup::Delete);
                kept_for.insert(topic.clone(), settings.and_then(|settings| settings.retention));
            }
            let kept_for = kept_for.get(topic).copied().flatten();
            row.time_to_loss = kept_for.map(|kept_for| kept_for.saturating_sub(row.lag_time));
        }
        Ok(())
    }
}
