//! What a restore sends: states, how far it is, and events behind them.

use std::sync::Arc;

use super::{
    bases::Unusable, block::Entry, fold::Kind, manifest::Manifest, restore::RestoreOptions, tail::Progress,
    topic::TopicReader,
};
use crate::{
    bus::{Gap, Item, PartitionProgress, ReadEvents, Waiting, feed::decode_one},
    log::{LogTime, Record, TopicPartition},
    name::Topic,
};

pub enum RestoreFrame {
    /// Of one topic; at least one.
    States(Vec<KeyState>),
    Progress(RestoreProgress),
    CaughtUp(Vec<(TopicPartition, i64)>),
    Events(ReadEvents),
    Gap(Gap),
    Heartbeat {
        partitions: Vec<PartitionProgress>,
        waiting: Waiting,
    },
}

/// The state of a key.
#[derive(Debug)]
pub struct KeyState {
    pub change: Change,
    pub partition: TopicPartition,
    pub item: Item,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Set,
    Deleted,
    /// All keys of the topic.
    AllDeleted,
    /// It is the state unless there was a resource event before what was read.
    SetUnlessResource,
}

impl KeyState {
    /// What is sent of a key, if anything.
    pub(super) fn of(at: TopicPartition, entry: &Entry, options: &RestoreOptions) -> Option<Self> {
        let kept = entry.folded.last.as_ref()?;
        let is_part = options.since.is_some();
        let change = match kept.kind {
            Kind::Other if is_part && !entry.folded.is_cleared => Change::SetUnlessResource,
            Kind::Resource | Kind::Other => Change::Set,
            Kind::Deletion if is_part => Change::Deleted,
            Kind::Deletion => return None,
        };
        let state = Self::new(change, at, kept.record(&entry.key));
        let is_filtered = change != Change::Deleted && state.item.fault.is_none();
        let filter = options.filter.as_ref().filter(|_| is_filtered);
        filter
            .is_none_or(|filter| filter.passes(&state.item.event))
            .then_some(state)
    }

    /// By this event.
    pub(super) fn all_deleted(at: TopicPartition, record: Record) -> Self {
        let mut state = Self::new(Change::AllDeleted, at, record);
        state.item.key = None;
        state
    }

    fn new(change: Change, partition: TopicPartition, record: Record) -> Self {
        Self {
            change,
            item: decode_one(&partition, record),
            partition,
        }
    }
}

/// How far a restore is.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoreProgress {
    pub read: u64,
    pub total: u64,
    pub percent: f64,
    pub sent: u64,
    pub keyless: u64,
    pub sources: Vec<RestoreSource>,
}

/// What a topic is restored from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreSource {
    pub topic: Topic,
    /// A snapshot, and when it was taken; `None` = the log alone.
    pub snapshot: Option<(String, LogTime)>,
    pub unusable: Vec<Unusable>,
}

impl RestoreSource {
    pub(super) fn of(topic: &Topic, reader: &TopicReader) -> Self {
        Self {
            topic: topic.clone(),
            snapshot: reader.base().map(|base| (base.name(), base.begun)),
            unusable: reader.bases().unusable().to_vec(),
        }
    }
}

/// Counts topic by topic.
pub(super) struct Counter {
    topics: usize,
    done: Vec<Arc<Progress>>,
    current: Arc<Progress>,
    /// States of the current topic: sent, and how many there are at least.
    of_topic: u64,
    expected: u64,
    sent: u64,
    keyless: u64,
    sources: Vec<RestoreSource>,
    /// It never goes back.
    percent: f64,
}

impl Counter {
    pub(super) fn new(topics: usize) -> Self {
        Self {
            topics,
            done: Vec::new(),
            current: Arc::default(),
            of_topic: 0,
            expected: 0,
            sent: 0,
            keyless: 0,
            sources: Vec::new(),
            percent: 0.0,
        }
    }

    /// Of the topic that is read now.
    pub(super) fn current(&self) -> Arc<Progress> {
        Arc::clone(&self.current)
    }

    pub(super) fn opened(&mut self, topic: &Topic, reader: &TopicReader) {
        self.expected = reader.base().map_or(0, Manifest::keys);
        self.sources.push(RestoreSource::of(topic, reader));
    }

    /// What is known of the current topic's snapshots by now.
    pub(super) fn look_at(&mut self, topic: &Topic, reader: &TopicReader) {
        if let Some(source) = self.sources.last_mut() {
            source.unusable = RestoreSource::of(topic, reader).unusable;
        }
    }

    pub(super) fn passed(&mut self, states: u64) {
        self.of_topic += states;
    }

    pub(super) fn sent(&mut self, states: u64) {
        self.sent += states;
    }

    pub(super) fn finished(&mut self, reader: &TopicReader) {
        self.keyless += reader.parts().map(|known| known.keyless).sum::<u64>();
        self.done.push(std::mem::take(&mut self.current));
        (self.of_topic, self.expected) = (0, 0);
    }

    /// The current topic is not there any more.
    pub(super) fn gone(&mut self) {
        self.topics -= 1;
        self.current = Arc::default();
    }

    pub(super) fn now(&mut self) -> RestoreProgress {
        let all = || self.done.iter().chain([&self.current]);
        let (read, total) = (all().map(|one| one.read()).sum(), all().map(|one| one.total()).sum());
        let work = self.current.total() + self.expected.max(self.of_topic);
        let part = match work {
            0 => 0.0,
            work => (self.current.read() + self.of_topic) as f64 / work as f64,
        };
        let percent = match self.topics {
            0 => 100.0,
            topics if self.done.len() == topics => 100.0,
            topics => (100.0 * (self.done.len() as f64 + part) / topics as f64).min(99.9),
        };
        self.percent = self.percent.max(percent);
        RestoreProgress {
            read,
            total,
            percent: self.percent,
            sent: self.sent,
            keyless: self.keyless,
            sources: self.sources.clone(),
        }
    }
}
