//! A lane: one consumer, and a task that brings its assignment to what its seats want.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, KafkaResult},
};
use tokio::{sync::Notify, time::interval};
use tokio_util::sync::CancellationToken;

use super::seat::Seat;
use crate::{
    error::Result,
    log::{
        TopicPartition,
        kafka::{Cluster, client::Context, fault::blocking, names::Names},
    },
    name::Topic,
};

/// Nothing is consumed before it is durable and its transaction is over, and nothing is skipped when an offset is gone.
const SETTINGS: [(&str, &str); 13] = [
    // Without one a consumer cannot be assigned to; no group of this name ever comes to be.
    ("group.id", "tidings-readers"),
    ("isolation.level", "read_committed"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
    // A fetch that waits for news holds up partitions that were just added to it.
    ("fetch.wait.max.ms", "50"),
    ("fetch.error.backoff.ms", "100"),
    // A partition whose queue is full is looked at again so soon.
    ("fetch.queue.backoff.ms", "5"),
    ("fetch.message.max.bytes", "524288"),
    ("fetch.max.bytes", "16777216"),
    // Of each partition: fetched until there are so many records, or so many bytes of keys and values. Of small ones the first comes
    // first: librdkafka has half a kilobyte beside each.
    ("queued.min.messages", "10000"),
    ("queued.max.messages.kbytes", "1024"),
];
/// For librdkafka to take a partition to an offset: nothing is asked of the cluster.
const SEEK: Duration = Duration::from_secs(5);
/// For the cluster to say who leads the partitions of new topics, all together.
const LOOK: Duration = Duration::from_secs(1);
/// Topics that are looked at one by one; of more, all topics are.
const MOST_LOOKS: usize = 16;
/// How often the consumer's own events are served.
const TICK: Duration = Duration::from_millis(100);

pub(super) struct Lane {
    consumer: Arc<BaseConsumer<Context>>,
    names: Arc<Names>,
    seats: Mutex<HashMap<TopicPartition, Arc<Seat>>>,
    /// The seats have changed.
    changed: Notify,
}

/// What the consumer is assigned, and for whom.
type Assignment = HashMap<TopicPartition, Arc<Seat>>;

impl Lane {
    pub(super) fn new(cluster: &Cluster) -> Result<Self> {
        Ok(Self {
            consumer: Arc::new(cluster.clients.create(&SETTINGS, cluster.clients.context())?),
            names: Arc::clone(&cluster.names),
            seats: Mutex::default(),
            changed: Notify::new(),
        })
    }

    pub(super) fn has(&self, partition: &TopicPartition) -> bool {
        self.lock().contains_key(partition)
    }

    /// Whether the partition's seat may be given to another reader.
    pub(super) fn may_be_taken(&self, partition: &TopicPartition) -> bool {
        self.lock().get(partition).is_some_and(|seat| seat.may_be_taken())
    }

    /// The seats that are not being read from, and since when.
    pub(super) fn idle(&self) -> Vec<(Instant, Arc<Seat>)> {
        let seats = self.lock();
        let idle = |seat: &Arc<Seat>| Some((seat.idle_since()?, Arc::clone(seat)));
        seats.values().filter_map(idle).collect()
    }

    /// A new seat; whoever had it loses it.
    pub(super) fn seat(&self, partition: &TopicPartition, from: i64) -> Arc<Seat> {
        let seat = Arc::new(Seat::new(partition.clone(), from));
        let mut seats = self.lock();
        // First: both queues are one to librdkafka, and the one that is dropped takes the other's wake-ups along.
        if let Some(before) = seats.remove(partition) {
            before.evict();
        }
        seats.insert(partition.clone(), Arc::clone(&seat));
        drop(seats);
        self.changed.notify_one();
        seat
    }

    pub(super) fn remove(&self, seat: &Arc<Seat>) {
        let mut seats = self.lock();
        if seats.get(&seat.partition).is_some_and(|there| Arc::ptr_eq(there, seat)) {
            seats.remove(&seat.partition);
            drop(seats);
            seat.evict();
            self.changed.notify_one();
        }
    }

    /// Its reader wants to go on elsewhere.
    pub(super) fn seek(&self, seat: &Arc<Seat>, offset: i64) {
        let is_here = self
            .lock()
            .get(&seat.partition)
            .is_some_and(|there| Arc::ptr_eq(there, seat));
        if is_here {
            seat.want(offset);
            self.changed.notify_one();
        }
    }

    /// Follows the seats until `stop`, or until the consumer will never read again.
    pub(super) async fn follow_seats(self: &Arc<Self>, stop: &CancellationToken) {
        let mut ticks = interval(TICK);
        let mut assigned = Assignment::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.consumer.context().stranded.comes() => return,
                () = self.changed.notified() => {
                    let lane = Arc::clone(self);
                    match blocking(move || lane.follow(assigned)).await {
                        Ok(now) => assigned = now,
                        Err(_) => return,
                    }
                }
                _ = ticks.tick() => {}
            }
            self.serve();
        }
    }

    /// Takes all seats from their readers.
    pub(super) fn clear(&self) {
        for seat in std::mem::take(&mut *self.lock()).into_values() {
            seat.evict();
        }
    }

    /// The consumer's own events. Records do not come this way: each partition has a queue of its own.
    fn serve(&self) {
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            if let Err(error) = event {
                self.consumer.context().heard(&error);
            }
        }
    }

    /// Brings the consumer to where the seats want it.
    fn follow(&self, mut assigned: Assignment) -> Assignment {
        let wanted = self.lock().clone();
        let gone: Vec<TopicPartition> = (assigned.iter())
            .filter(|(partition, seat)| wanted.get(partition).is_none_or(|now| !Arc::ptr_eq(now, seat)))
            .map(|(partition, _)| partition.clone())
            .collect();
        self.unassign(&gone);
        assigned.retain(|partition, _| !gone.contains(partition));
        let moved: Vec<(Arc<Seat>, i64)> = wanted
            .values()
            .filter_map(|seat| Some((Arc::clone(seat), seat.wanted()?)))
            .collect();
        let (old, new): (Vec<_>, Vec<_>) = moved
            .into_iter()
            .partition(|(seat, _)| assigned.contains_key(&seat.partition));
        self.take_on(&new);
        self.take_to(&old);
        self.look_at(&new, &assigned);
        assigned.extend(new.into_iter().map(|(seat, _)| (seat.partition.clone(), seat)));
        assigned
    }

    fn unassign(&self, partitions: &[TopicPartition]) {
        if !partitions.is_empty() {
            let mut list = TopicPartitionList::with_capacity(partitions.len());
            for partition in partitions {
                list.add_partition(&self.names.on_cluster(&partition.topic), partition.partition);
            }
            if let Err(error) = self.consumer.incremental_unassign(&list) {
                tracing::debug!(%error, "cannot leave partitions");
            }
        }
    }

    /// Two seeks: the first has the partition begun, so that it keeps the queue that is split off; the second drops what came
    /// before it was.
    fn take_on(&self, seats: &[(Arc<Seat>, i64)]) {
        let Some(list) = self.list(seats) else { return };
        if let Err(error) = self.consumer.incremental_assign(&list) {
            return self.fail(seats, &error);
        }
        if let Err(error) = self.seek_all(list.clone()) {
            return self.fail(seats, &error);
        }
        let split = |(seat, _): &(Arc<Seat>, i64)| {
            let name = self.names.on_cluster(&seat.partition.topic);
            self.consumer.split_partition_queue(&name, seat.partition.partition)
        };
        let queues: Vec<_> = seats.iter().map(split).collect();
        if let Err(error) = self.seek_all(list) {
            return self.fail(seats, &error);
        }
        for ((seat, offset), queue) in seats.iter().zip(queues) {
            seat.arrived(*offset, queue);
        }
    }

    /// All of them, or an error: what one that was not sought would bring may have begun elsewhere.
    fn seek_all(&self, list: TopicPartitionList) -> KafkaResult<()> {
        let sought = self.consumer.seek_partitions(list, SEEK)?;
        sought.elements().iter().try_for_each(|element| element.error())
    }

    /// Has the client ask for the leaders of topics of which it had no partition: by itself it looks once a second.
    fn look_at(&self, new: &[(Arc<Seat>, i64)], before: &Assignment) {
        let before: HashSet<&Topic> = before.keys().map(|partition| &partition.topic).collect();
        let topics: HashSet<&Topic> = new.iter().map(|(seat, _)| &seat.partition.topic).collect();
        let topics: Vec<&Topic> = topics.difference(&before).copied().collect();
        // What comes back goes to the client's own tables; where nothing does, it finds out by itself.
        let until = Instant::now() + LOOK;
        let look = |name: Option<&str>| {
            let left = until.saturating_duration_since(Instant::now());
            self.consumer.fetch_metadata(name, left).map(|_| ())
        };
        let _ = match topics.len() > MOST_LOOKS {
            true => look(None),
            false => topics
                .iter()
                .try_for_each(|topic| look(Some(&self.names.on_cluster(topic)))),
        };
    }

    fn take_to(&self, seats: &[(Arc<Seat>, i64)]) {
        let Some(list) = self.list(seats) else { return };
        if let Err(error) = self.seek_all(list) {
            return self.fail(seats, &error);
        }
        for (seat, offset) in seats {
            seat.arrived(*offset, None);
        }
    }

    /// Their readers take seats anew.
    fn fail(&self, seats: &[(Arc<Seat>, i64)], error: &KafkaError) {
        tracing::warn!(%error, partitions = seats.len(), "cannot begin to read partitions, trying again");
        for (seat, _) in seats {
            self.remove(seat);
        }
    }

    fn list(&self, seats: &[(Arc<Seat>, i64)]) -> Option<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(seats.len());
        for (seat, offset) in seats {
            let name = self.names.on_cluster(&seat.partition.topic);
            if let Err(error) = list.add_partition_offset(&name, seat.partition.partition, Offset::Offset(*offset)) {
                tracing::warn!(%error, "cannot list a partition");
            }
        }
        (!seats.is_empty()).then_some(list)
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, Assignment> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
