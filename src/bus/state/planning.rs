//! What a restore has to read, topic by topic, and where of each it begins.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{
    fold::Rule, restore::RestoreOptions, restoring::RestoreFrame, sources::Wanted, tail::Progress, topic::TopicReader,
};
use crate::{
    bus::{Gap, Inner, OnGap, draining},
    error::{Error, Result},
    log::{Bounds, TopicPartition},
    name::Topic,
};

/// One topic.
pub(super) struct TopicPlan {
    pub(super) topic: Topic,
    pub(super) bounds: Vec<Bounds>,
    pub(super) since: Option<Vec<i64>>,
}

/// By topic, in order.
pub(super) fn plans(partitions: &[TopicPartition], bounds: &[Bounds], since: Option<Vec<i64>>) -> Vec<TopicPlan> {
    let mut topics = BTreeMap::<&Topic, TopicPlan>::new();
    for (place, (partition, bounds)) in partitions.iter().zip(bounds).enumerate() {
        let plan = topics.entry(&partition.topic).or_insert_with(|| TopicPlan {
            topic: partition.topic.clone(),
            bounds: Vec::new(),
            since: since.as_ref().map(|_| Vec::new()),
        });
        plan.bounds.push(*bounds);
        if let (Some(of_topic), Some(since)) = (&mut plan.since, &since) {
            of_topic.push(since[place]);
        }
    }
    topics.into_values().collect()
}

impl TopicPlan {
    /// Positions behind the end are of a topic that is no more: what there is now is all new.
    pub(super) fn checked(mut self, options: &RestoreOptions, ready: &mut VecDeque<RestoreFrame>) -> Result<Self> {
        for (number, (since, bounds)) in (0..).zip(self.since.iter_mut().flatten().zip(&self.bounds)) {
            let partition = TopicPartition {
                topic: self.topic.clone(),
                partition: number,
            };
            if *since > bounds.end
                && let Some(gap) = Gap::at(&partition, *since, *bounds)
            {
                if options.on_gap == OnGap::Fail {
                    return Err(gap.error());
                }
                *since = bounds.start;
                ready.push_back(RestoreFrame::Gap(gap));
            }
        }
        Ok(self)
    }

    /// Reads what is behind the topic's snapshot.
    pub(super) async fn open(self, bus: &Inner, progress: Arc<Progress>, on_gap: OnGap) -> Result<TopicReader> {
        let info = bus.log.topic(&self.topic).await?;
        let info = info.ok_or_else(|| Error::no_such_topic(&self.topic))?;
        let wanted = Wanted {
            topic: self.topic,
            rule: Rule::of(info.settings.cleanup),
            bounds: self.bounds,
            since: self.since,
            progress,
            on_gap,
        };
        let sources = bus.sources();
        tokio::select! {
            opened = sources.open(wanted) => opened,
            () = bus.draining.cancelled() => Err(draining()),
        }
    }
}
