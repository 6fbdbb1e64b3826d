//! What consumers saw, checked as they see it: nothing lost, each key in order, nothing again that was committed; and how
//! much came again although it was acked, and how long after.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// An event: its key, and its number among those of the key, from 0 on.
pub(super) type EventId = (String, u64);

/// A stream between two changes of what its replica has.
pub(super) type Who = (usize, u64);

/// A consumer and a partition of its replica.
pub(super) type Place = (usize, i32);

#[derive(Default)]
pub(super) struct Checker(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    /// How many events of each key were published and acknowledged.
    published: HashMap<String, u64>,
    /// How many of each were delivered, to whomever.
    delivered: HashMap<String, u64>,
    last: HashMap<(Who, String), u64>,
    committed: HashSet<EventId>,
    /// Who acked an event last, and when.
    acked: HashMap<EventId, (Place, Instant)>,
    /// When a replica was told that a partition leaves it.
    lost: HashMap<Place, Vec<Instant>>,
    /// When the streams of consumers broke.
    ended: HashMap<usize, Instant>,
    /// How long what came again after its ack had been acked by then, by who acked it.
    again_acked: HashMap<usize, Vec<Duration>>,
    /// Consumers that were sent something.
    served: HashSet<usize>,
    /// How often each consumer was told that the log is away.
    outages: HashMap<usize, usize>,
    again: usize,
    stale: usize,
    disorder: Vec<String>,
    again_committed: Vec<String>,
}

/// What there was in the end.
#[derive(Debug)]
pub(super) struct Counts {
    events: u64,
    pub(super) lost: u64,
    pub(super) out_of_order: usize,
    /// Deliveries beyond the first of an event.
    again: usize,
    /// Those of events that had been acked.
    again_acked: usize,
    /// Of what one consumer had acked.
    pub(super) most_of_one: usize,
    /// An ack was at most so old when its replica was lost, and did not last.
    pub(super) oldest_ack: Duration,
}

impl Checker {
    pub(super) fn published(&self, (key, number): &EventId) {
        self.lock().published.insert(key.clone(), number + 1);
    }

    pub(super) fn delivered(&self, who: Who, (key, number): &EventId) {
        let mut seen = self.lock();
        seen.served.insert(who.0);
        let next = seen.delivered.get(key).copied().unwrap_or(0);
        if *number > next {
            seen.disorder
                .push(format!("{key}/{number} came to {who:?} before {key}/{next}"));
        }
        if *number < next {
            seen.again += 1;
        }
        let event = (key.clone(), *number);
        if seen.committed.contains(&event) {
            seen.again_committed
                .push(format!("{key}/{number} came to {who:?} again after it was committed"));
        }
        seen.repeats(&event);
        let last = seen.last.insert((who, key.clone()), *number);
        if last.is_some_and(|last| *number != last + 1) {
            seen.disorder
                .push(format!("{key}/{number} came to {who:?} after {key}/{last:?}"));
        }
        seen.delivered.insert(key.clone(), next.max(number + 1));
    }

    /// A consumer is about to send its ack.
    pub(super) fn acked(&self, place: Place, event: EventId) {
        self.lock().acked.insert(event, (place, Instant::now()));
    }

    /// The server said that this ack did not count.
    pub(super) fn refused(&self, event: &EventId) {
        self.lock().acked.remove(event);
    }

    /// The server said that these are committed.
    pub(super) fn committed(&self, events: impl IntoIterator<Item = EventId>) {
        self.lock().committed.extend(events);
    }

    /// So many acks came too late.
    pub(super) fn stale(&self, count: usize) {
        self.lock().stale += count;
    }

    pub(super) fn stale_acks(&self) -> usize {
        self.lock().stale
    }

    /// The consumer's replica loses the partition.
    pub(super) fn lost(&self, place: Place) {
        self.lock().lost.entry(place).or_default().push(Instant::now());
    }

    /// The consumer's stream broke: its server is gone.
    pub(super) fn ended(&self, number: usize) {
        self.lock().ended.insert(number, Instant::now());
    }

    /// The consumer was told that the log is away.
    pub(super) fn outage(&self, number: usize) {
        *self.lock().outages.entry(number).or_default() += 1;
    }

    pub(super) fn outages(&self, number: usize) -> usize {
        self.lock().outages.get(&number).copied().unwrap_or(0)
    }

    pub(super) fn is_served(&self, number: usize) -> bool {
        self.lock().served.contains(&number)
    }

    /// Deliveries beyond the first of an event.
    pub(super) fn again(&self) -> usize {
        self.lock().again
    }

    pub(super) fn published_so_far(&self) -> HashMap<String, u64> {
        self.lock().published.clone()
    }

    /// Whether of each key more was delivered than these.
    pub(super) fn is_beyond(&self, published: &HashMap<String, u64>) -> bool {
        let seen = self.lock();
        let is_beyond = |(key, count): (&String, &u64)| seen.delivered.get(key).is_some_and(|now| now > count);
        published.iter().all(is_beyond)
    }

    pub(super) fn is_complete(&self) -> bool {
        let seen = self.lock();
        seen.delivered == seen.published
    }

    pub(super) fn assert_no_fault(&self) {
        let seen = self.lock();
        let faults = || seen.disorder.iter().chain(&seen.again_committed);
        let first: Vec<_> = faults().take(20).collect();
        assert!(first.is_empty(), "{} faults: {first:#?}", faults().count());
    }

    pub(super) fn counts(&self) -> Counts {
        let seen = self.lock();
        let missing = |(key, count): (&String, &u64)| count - seen.delivered.get(key).unwrap_or(&0).min(count);
        let ages = || seen.again_acked.values();
        Counts {
            events: seen.published.values().sum(),
            lost: seen.published.iter().map(missing).sum(),
            out_of_order: seen.disorder.len(),
            again: seen.again,
            again_acked: ages().map(Vec::len).sum(),
            most_of_one: ages().map(Vec::len).max().unwrap_or(0),
            oldest_ack: ages().flatten().max().copied().unwrap_or_default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("no check panics")
    }
}

impl Seen {
    /// An event that is delivered was acked before: that ack had so long to be committed, until its replica lost the
    /// partition or was killed.
    fn repeats(&mut self, event: &EventId) {
        let Some((place, acked)) = self.acked.remove(event) else {
            return;
        };
        let lost = self.lost.get(&place).into_iter().flatten();
        let end = lost.chain(self.ended.get(&place.0)).filter(|at| **at >= acked).min();
        let end = end.copied().unwrap_or_else(Instant::now);
        self.again_acked.entry(place.0).or_default().push(end - acked);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events, {} lost, {} out of order, {} delivered more than once: {} of them acked before, at most {} by one \
             consumer, the oldest ack {:?} old",
            self.events, self.lost, self.out_of_order, self.again, self.again_acked, self.most_of_one, self.oldest_ack
        )
    }
}
