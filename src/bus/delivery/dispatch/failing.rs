//! What goes wrong: failures, leases that are over, streams that break, and what becomes a dead letter for it.

use std::time::{Duration, Instant};

use super::{Dispatch, Out, Outcome};
use crate::bus::delivery::{
    Arrival, Doom, Grave, IdRange, Moment, Nack, PartitionId, RetryPolicy, Settled, StreamId, Tries, Why,
    entry::{EntryId, Origin},
};

impl<P> Dispatch<P> {
    /// How long failed events wait, and when they are given up, from now on.
    pub fn set_policy(&mut self, policy: RetryPolicy) {
        self.policy = policy;
    }

    /// These failed: they go again after their delay, or become dead letters.
    pub fn nack(&mut self, id: StreamId, ranges: &[IdRange], nack: &Nack, at: &Moment) -> Settled {
        let (taken, faults) = self.take(id, ranges);
        for (_, out) in &taken {
            match nack {
                Nack::DeadLetter(words) => {
                    self.note(out.entry, |tries| tries.note(at.time));
                    self.doom(*out, words.why, words);
                }
                Nack::Retry { delay, words } => self.failed(*out, *delay, words, at),
            }
        }
        Settled {
            count: taken.len(),
            faults,
            ..Settled::default()
        }
    }

    /// The stream has these for longer: until then.
    pub fn extend(&mut self, id: StreamId, ranges: &[IdRange], until: Instant) -> Settled {
        let faults = self.streams.get_mut(id).map(|stream| stream.extend(ranges, until));
        Settled {
            faults: faults.unwrap_or_default(),
            ..Settled::default()
        }
    }

    /// Streams that may have an event for too long.
    pub fn overdue(&self, now: Instant) -> Vec<StreamId> {
        let is_overdue = |stream: &super::Stream| stream.next_expiry().is_some_and(|expiry| expiry <= now);
        let overdue = self.streams.iter().filter(|(_, stream)| is_overdue(stream));
        overdue.map(|(id, _)| id).collect()
    }

    /// When the first lease may be over.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.streams.iter().filter_map(|(_, stream)| stream.next_expiry()).min()
    }

    /// What the stream has had for too long goes to others at once; each is a failure. Returns how many.
    pub fn expire(&mut self, id: StreamId, words: &Doom, at: &Moment) -> usize {
        let Some(stream) = self.streams.get_mut(id) else {
            return 0;
        };
        let mut expired = stream.expire(at.now);
        let count = expired.len();
        while let Some(out) = expired.pop() {
            self.landed(out);
            self.failed(out, Some(Duration::ZERO), words, at);
            self.scheduler.trouble(out.entry, |entry| entry.avoid = Some(id));
        }
        self.list(id);
        count
    }

    /// A stream broke: what it had goes to others, before other events, and each was abandoned once more.
    pub fn abandon(&mut self, id: StreamId, words: &Doom, at: &Moment) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        let mut out = stream.surrender();
        while let Some(out) = out.pop() {
            self.landed(out);
            match self.note(out.entry, |tries| tries.abandon(at.time)) {
                Some((_, Some(why))) => self.doom(out, why, words),
                _ => self.scheduler.release(out.entry),
            }
            self.changed(out.partition);
            self.forget_if_retired(out.partition);
        }
        self.leave(id);
    }

    /// The next event that becomes a dead letter. Its offset does not move before `bury`.
    pub fn next_grave(&mut self) -> Option<Grave<'_, P>> {
        self.pass_over();
        let (entry_id, entry) = self.scheduler.bury_next()?;
        self.partitions[entry.partition].in_flight += 1;
        Some(Grave {
            entry: entry_id,
            partition: entry.partition,
            offset: entry.arrival.offset,
            key: entry.arrival.key,
            letter: entry.letter(),
            tries: entry.tries,
            doom: entry.doom.as_deref()?,
            payload: &entry.arrival.payload,
        })
    }

    /// The event is a dead letter now, durably. Does nothing if its partition has left meanwhile: `false`.
    pub fn bury(&mut self, entry: EntryId, partition: PartitionId, offset: i64) -> bool {
        let is_it = |entry: &super::Entry<P>| {
            (entry.partition, entry.arrival.offset) == (partition, offset) && entry.doom.is_some() && entry.out
        };
        if !self.scheduler.get(entry).is_some_and(is_it) {
            return false;
        }
        let letter = self.scheduler.done(entry).and_then(|entry| entry.letter());
        if let Some(partition) = self.partitions.get_mut(partition) {
            partition.in_flight = partition.in_flight.saturating_sub(1);
            if letter.is_none() {
                partition.settle(offset);
            }
        }
        self.admit(partition);
        true
    }

    /// An event of a dead letter is to be sent again, after those of its key that are waiting. One that does not pass is held by
    /// a quarantine of its key.
    pub fn redrive(&mut self, partition: PartitionId, (letter, passes): (u64, bool), arrival: Arrival<P>) {
        let is_open = |partition: &super::Partition<P>| !partition.is_retired();
        if self.partitions.get(partition).is_some_and(is_open) {
            let mut entry = super::Entry::new(partition, arrival, Tries::default());
            entry.origin = Origin::Letter(letter);
            self.scheduler.redrive(entry, passes);
        }
    }

    /// From now on events of this key become dead letters.
    pub fn quarantine(&mut self, partition: PartitionId, key: u64) {
        self.scheduler.quarantine((partition, key));
    }

    /// Events of this key are sent again.
    pub fn free(&mut self, partition: PartitionId, key: u64) {
        self.scheduler.free((partition, key));
    }

    fn failed(&mut self, out: Out, delay: Option<Duration>, words: &Doom, at: &Moment) {
        match self.note(out.entry, |tries| tries.fail(at.time)) {
            Some((_, Some(why))) => self.doom(out, why, words),
            Some((tries, None)) => {
                let delay = delay.unwrap_or_else(|| self.policy.delay(tries.failures, (at.spread)()));
                self.scheduler.delay(out.entry, at.now + delay);
            }
            None => {}
        }
        self.changed(out.partition);
        self.forget_if_retired(out.partition);
    }

    /// What happened to the event by now, and whether that is too much.
    fn note(&mut self, entry: EntryId, note: impl FnOnce(&mut Tries)) -> Option<(Tries, Option<Why>)> {
        let entry = self.scheduler.trouble(entry, |entry| note(&mut entry.tries))?;
        Some((entry.tries, self.policy.verdict(&entry.tries)))
    }

    fn doom(&mut self, out: Out, why: Why, words: &Doom) {
        if out.is_replayed {
            return self.give_up(out.entry, Outcome::Failed);
        }
        let doom = Doom { why, ..words.clone() };
        self.scheduler.doom(out.entry, doom);
        self.changed(out.partition);
    }

    fn changed(&mut self, id: PartitionId) {
        if let Some(partition) = self.partitions.get_mut(id) {
            partition.version += 1;
        }
    }
}
