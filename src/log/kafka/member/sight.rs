//! The topics of a group as its client has seen them last: when they differ from the catalog, the client must look again.

use rdkafka::metadata::Metadata;

use super::Seat;

/// Of each topic, in order: its birth and how many partitions it has.
#[derive(PartialEq, Eq)]
pub(super) struct Sight(Vec<Option<(u64, i32)>>);

impl Sight {
    pub(super) fn of(seat: &Seat) -> Self {
        let known = |topic| seat.cluster.catalog.known(topic);
        let topics = seat.topics.iter();
        Self(
            topics
                .map(|topic| known(topic).map(|known| (known.birth, known.partitions)))
                .collect(),
        )
    }

    /// Whether the catalog says something else now; from then on that is what was seen.
    pub(super) fn is_changed(&mut self, seat: &Seat) -> bool {
        let now = Self::of(seat);
        let is_changed = *self != now;
        *self = now;
        is_changed
    }

    /// Brokers learn of topics one after the other: whether this answer says the same as the catalog.
    pub(super) fn agrees(&self, seat: &Seat, metadata: &Metadata) -> bool {
        let listed = |name: &str| {
            let topic = metadata.topics().iter().find(|topic| topic.name() == name)?;
            let count = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
            topic.error().is_none().then_some(count)
        };
        let mut topics = seat.topics.iter().zip(&self.0);
        topics.all(|(topic, seen)| seen.map(|(_, count)| count) == listed(&seat.cluster.names.on_cluster(topic)))
    }
}
