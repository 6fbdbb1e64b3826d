//! The snapshots of a topic that a reader can stand on, newest first, looked at only as far as they are needed.

use std::{collections::VecDeque, sync::Arc};

use super::{
    manifest::Manifest,
    name::SnapshotName,
    shelf::{self, Found},
};
use crate::{
    error::Result,
    log::{Bounds, Log, LogTime, TopicPartition},
    name::Topic,
    objects::Objects,
};

/// A snapshot that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    pub name: String,
    pub reason: String,
}

pub(super) struct Bases {
    log: Arc<dyn Log>,
    /// `None` = there is no store, so nothing to stand on.
    objects: Option<Objects>,
    topic: Topic,
    created: Option<LogTime>,
    bounds: Vec<Bounds>,
    /// Not looked at yet, newest first.
    ids: VecDeque<String>,
    usable: Vec<Arc<Manifest>>,
    unusable: Vec<Unusable>,
}

impl Bases {
    /// All there are of a topic. `bounds` are those of its partitions, in order.
    pub(super) async fn of(
        log: &Arc<dyn Log>,
        objects: Option<&Objects>,
        topic: &Topic,
        bounds: Vec<Bounds>,
    ) -> Result<Self> {
        let ids = match objects {
            None => Vec::new(),
            Some(objects) => shelf::ids(objects, topic).await?,
        };
        let created = match ids.is_empty() {
            true => None,
            false => log.topic(topic).await?.and_then(|info| info.created),
        };
        Ok(Self {
            log: Arc::clone(log),
            objects: objects.cloned(),
            topic: topic.clone(),
            created,
            bounds,
            ids: ids.into(),
            usable: Vec::new(),
            unusable: Vec::new(),
        })
    }

    /// The newest is 0, the one before it 1.
    pub(super) async fn get(&mut self, index: usize) -> Result<Option<(Objects, Arc<Manifest>)>> {
        let Some(objects) = self.objects.clone() else {
            return Ok(None);
        };
        while self.usable.len() <= index {
            // Taken off only once it was looked at: this may be cancelled.
            let Some(id) = self.ids.front().cloned() else {
                return Ok(None);
            };
            match shelf::find(&objects, &self.topic, &id).await? {
                Found::Nothing => {}
                Found::Damaged(reason) => self.pass_over(&id, reason),
                Found::Ready(manifest) => match self.is_of_this_topic(&manifest).await? {
                    true => self.usable.push(Arc::from(manifest)),
                    false => self.pass_over(&id, "the topic was made anew since".to_owned()),
                },
            }
            self.ids.pop_front();
        }
        Ok(self.usable.get(index).map(|manifest| (objects, Arc::clone(manifest))))
    }

    /// Tells of one that turned out to be damaged.
    pub(super) fn pass_over(&mut self, id: &str, reason: String) {
        let name = SnapshotName::of(&self.topic, id).to_string();
        if !self.unusable.iter().any(|known| known.name == name) {
            tracing::warn!(
                snapshot = name,
                reason,
                "a snapshot cannot be used; the one before it is"
            );
            self.unusable.push(Unusable { name, reason });
        }
    }

    pub(super) fn unusable(&self) -> &[Unusable] {
        &self.unusable
    }

    /// Whether its positions are of the topic as it is, and not of one of the same name before it. All records that a snapshot
    /// covers are at most as new as the newest of them; those of a topic that was made anew later are all newer.
    pub(super) async fn is_of_this_topic(&self, manifest: &Manifest) -> Result<bool> {
        if let (Some(then), Some(now)) = (manifest.topic_created, self.created)
            && then != now
        {
            return Ok(false);
        }
        let held = |partition: &i32| manifest.partition(*partition).map_or(0, |held| held.offset);
        let numbers: Vec<i32> = (0..).take(self.bounds.len()).collect();
        let is_there = numbers
            .iter()
            .zip(&self.bounds)
            .all(|(number, bounds)| held(number) <= bounds.end);
        let has_more = manifest
            .partitions
            .iter()
            .any(|held| !numbers.contains(&held.partition));
        let Some(newest) = manifest.newest.filter(|_| is_there && !has_more) else {
            return Ok(is_there && !has_more);
        };
        let at = |number: &i32| TopicPartition {
            topic: self.topic.clone(),
            partition: *number,
        };
        let partitions: Vec<TopicPartition> = numbers.iter().map(at).collect();
        let later = self
            .log
            .offsets_at(&partitions, LogTime(newest.0.saturating_add(1)))
            .await?;
        Ok(numbers.iter().zip(later).all(|(number, later)| held(number) <= later))
    }
}
