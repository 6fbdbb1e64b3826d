//! What all who read states share, and how they begin: partitions are read at once, on tasks of their own.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use super::{
    bases::Bases,
    fold::Rule,
    memory::Memory,
    runs::Spill,
    tail::{Plan, Progress, Reading, Tail},
    topic::TopicReader,
};
use crate::{
    bus::{OnGap, draining},
    error::Result,
    log::{Bounds, Log},
    name::Topic,
    objects::Objects,
    scratch::Scratch,
};

/// Partitions that are read at once.
const AT_ONCE: usize = 4;

/// What all who read states share.
#[derive(Clone)]
pub(super) struct Sources {
    pub(super) log: Arc<dyn Log>,
    pub(super) objects: Option<Objects>,
    pub(super) scratch: Scratch,
    pub(super) memory: Memory,
    pub(super) tasks: TaskTracker,
    pub(super) draining: CancellationToken,
}

/// What is to be read.
pub(super) struct Wanted {
    pub(super) topic: Topic,
    pub(super) rule: Rule,
    /// Of all partitions, in order, as they are now: they are read up to their ends.
    pub(super) bounds: Vec<Bounds>,
    /// Where each begins; `None` = the whole state, from a snapshot if there is one.
    pub(super) since: Option<Vec<i64>>,
    pub(super) progress: Arc<Progress>,
    /// What to do where events are gone.
    pub(super) on_gap: OnGap,
}

impl Sources {
    /// Reads what has to be read before the first state can be told: the log behind the newest snapshot, or all of it.
    pub(super) async fn open(&self, wanted: Wanted) -> Result<TopicReader> {
        let objects = self.objects.as_ref().filter(|_| wanted.since.is_none());
        let bases = Bases::of(&self.log, objects, &wanted.topic, wanted.bounds.clone()).await?;
        let reading = Reading {
            log: Arc::clone(&self.log),
            memory: self.memory.clone(),
            spill: Spill::new(&self.scratch),
            progress: Arc::clone(&wanted.progress),
            rule: wanted.rule,
            partitions: wanted.bounds.len(),
        };
        let mut reader = TopicReader::new(self.clone(), wanted, reading, bases);
        reader.begin().await?;
        Ok(reader)
    }

    /// Reads partitions, at once and on tasks of their own: however slowly their keys are taken later, memory is free again soon.
    pub(super) async fn read(&self, reading: &Reading, plans: Vec<Plan>) -> Result<Vec<Tail>> {
        let reads = plans.into_iter().map(|plan| {
            let (reading, stop) = (reading.clone(), self.draining.clone());
            let read = async move {
                tokio::select! {
                    tail = reading.read(plan) => tail,
                    () = stop.cancelled() => Err(draining()),
                }
            };
            let tasks = self.tasks.clone();
            async move {
                AbortOnDropHandle::new(tasks.spawn(read))
                    .await
                    .unwrap_or_else(|_| Err(draining()))
            }
        });
        stream::iter(reads).buffered(AT_ONCE).try_collect().await
    }
}
