//! The topics of a group as its client has seen them last: when they differ from the catalog, the client must look again.

use std::collections::HashMap;

use rdkafka::metadata::{Metadata, MetadataTopic};

use super::Seat;
use crate::name::Topic;

/// The topics in order, each that exists with its birth and how many partitions it has.
#[derive(PartialEq, Eq)]
pub(super) struct Sight(Vec<(Topic, Option<(u64, i32)>)>);

impl Sight {
    pub(super) fn of(seat: &Seat) -> Self {
        let seen = |topic: &Topic| {
            let known = seat.cluster.catalog.known(topic);
            (topic.clone(), known.map(|known| (known.birth, known.partitions)))
        };
        Self(seat.topics().iter().map(seen).collect())
    }

    /// Whether the topics are others now, or the catalog says something else; from then on that is what was seen.
    pub(super) fn is_changed(&mut self, seat: &Seat) -> bool {
        let now = Self::of(seat);
        let is_changed = *self != now;
        *self = now;
        is_changed
    }

    /// Brokers learn of topics one after the other: whether this answer says the same as the catalog.
    pub(super) fn agrees(&self, seat: &Seat, metadata: &Metadata) -> bool {
        let there = metadata.topics().iter().filter(|topic| topic.error().is_none());
        let count = |topic: &MetadataTopic| i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
        let listed: HashMap<&str, i32> = there.map(|topic| (topic.name(), count(topic))).collect();
        self.0.iter().all(|(topic, seen)| {
            let name = seat.cluster.names.on_cluster(topic);
            seen.map(|(_, count)| count) == listed.get(name.as_str()).copied()
        })
    }
}
