//! The laws of the whole under any interleaving: order per key, nothing lost, the committed offset behind all that is unsettled.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::bus::delivery::EntryId;

#[derive(Clone, Debug)]
enum Step {
    Arrive(Option<u64>),
    Pump,
    Ack(usize),
    Nack(usize),
    DeadLetter(usize),
    Leave(usize),
    Break(usize),
    Expire(usize),
    Join,
    Dig,
    Bury(usize),
    Quarantine(u64),
    Free(u64),
    Cover(i64),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => proptest::option::of(0u64..5).prop_map(Step::Arrive),
        4 => Just(Step::Pump),
        4 => (0usize..16).prop_map(Step::Ack),
        1 => (0usize..16).prop_map(Step::Nack),
        1 => (0usize..16).prop_map(Step::DeadLetter),
        1 => (0usize..4).prop_map(Step::Leave),
        1 => (0usize..4).prop_map(Step::Break),
        1 => (0usize..4).prop_map(Step::Expire),
        2 => Just(Step::Join),
        2 => Just(Step::Dig),
        2 => (0usize..4).prop_map(Step::Bury),
        1 => (0u64..5).prop_map(Step::Quarantine),
        1 => (0u64..5).prop_map(Step::Free),
        1 => (0i64..30).prop_map(Step::Cover),
        1 => Just(Step::Crash),
    ]
}

const LEASE: Duration = Duration::from_secs(60);

/// A group of one partition, with a model of what was sent and settled.
struct Model {
    dispatch: Dispatch<(i64, Option<u64>)>,
    partition: PartitionId,
    streams: Vec<StreamId>,
    out: Vec<(StreamId, u64, i64, Option<u64>)>,
    /// Dead letters that are being written.
    graves: Vec<(EntryId, i64, Option<u64>)>,
    keys: Vec<Option<u64>>,
    unsettled: BTreeSet<i64>,
    /// Everything below was settled at once.
    covered: i64,
    settled: BTreeMap<u64, Vec<i64>>,
    now: Instant,
}

impl Model {
    fn new() -> Self {
        let mut dispatch = dispatch(20);
        let partition = dispatch.assign(0);
        Self {
            dispatch,
            partition,
            streams: Vec::new(),
            out: Vec::new(),
            graves: Vec::new(),
            keys: Vec::new(),
            unsettled: BTreeSet::new(),
            covered: 0,
            settled: BTreeMap::new(),
            now: Instant::now(),
        }
    }

    fn pump(&mut self) -> usize {
        let before = self.out.len();
        let out = &mut self.out;
        self.dispatch.pump(self.now, |stream, sending| {
            out.push((stream, sending.id, sending.payload.0, sending.payload.1));
            true
        });
        self.out.len() - before
    }

    fn dig(&mut self) -> bool {
        let Some(grave) = self.dispatch.next_grave() else {
            return false;
        };
        self.graves.push((grave.entry, grave.offset, grave.key));
        true
    }

    fn settle(&mut self, offset: i64, key: Option<u64>) {
        // What was covered while it was being buried is settled already.
        if !self.unsettled.remove(&offset) {
            assert!(offset < self.covered);
            return;
        }
        if let Some(key) = key {
            self.settled.entry(key).or_default().push(offset);
        }
    }

    fn ack(&mut self, index: usize) {
        let (stream, id, offset, key) = self.out.swap_remove(index);
        assert_eq!(self.dispatch.ack(stream, &one(id), Places::Unwanted).count, 1);
        self.settle(offset, key);
    }

    fn bury(&mut self, index: usize) {
        let (entry, offset, key) = self.graves.swap_remove(index);
        assert!(self.dispatch.bury(entry, self.partition, offset));
        self.settle(offset, key);
    }

    fn nack(&mut self, n: usize, nack: &Nack) {
        let (stream, id, ..) = self.out.swap_remove(n % self.out.len());
        assert_eq!(self.dispatch.nack(stream, &one(id), nack, &self.moment()).count, 1);
    }

    /// Everything up to so many offsets above the committed one is done, whoever has it.
    fn cover(&mut self, more: i64) {
        let committed = self.dispatch.partition(self.partition).expect("assigned").committed;
        let below = (committed + more).min(self.next());
        self.covered = self.covered.max(below);
        self.dispatch.settle_below(self.partition, below);
        let had = std::mem::take(&mut self.out);
        for (stream, id, offset, key) in had {
            match offset < below {
                false => self.out.push((stream, id, offset, key)),
                true => {
                    let late = self.dispatch.ack(stream, &one(id), Places::Unwanted);
                    assert_eq!((late.count, late.faults[0].verdict), (0, Verdict::Settled));
                }
            }
        }
        let above = self.unsettled.split_off(&below);
        for offset in std::mem::replace(&mut self.unsettled, above) {
            if let Some(key) = self.keys[usize::try_from(offset).expect("small")] {
                self.settled.entry(key).or_default().push(offset);
            }
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            ..moment()
        }
    }

    fn join(&mut self) {
        let prefix = self.streams.len() as u32;
        let ledger = ledger(7, CreditMode::OnSettle);
        self.streams.push(self.dispatch.join(ledger, Some(LEASE), prefix));
    }

    /// All that another replica, or the same after a crash, knows is what was committed and its note.
    fn crash(&mut self) {
        let committed = self.dispatch.partition(self.partition).expect("assigned").committed;
        let (runs, tries) = (
            self.dispatch.settled_runs(self.partition),
            self.dispatch.tries(self.partition),
        );
        self.dispatch = dispatch(20);
        self.partition = self.dispatch.resume(committed, &runs, tries);
        (self.streams, self.out, self.graves) = Default::default();
        for offset in committed..self.next() {
            let key = self.keys[usize::try_from(offset).expect("small")];
            self.dispatch.arrive(self.partition, arrival(offset, key));
        }
    }

    fn next(&self) -> i64 {
        i64::try_from(self.keys.len()).expect("small")
    }

    fn step(&mut self, step: &Step) {
        let moment = self.moment();
        match *step {
            Step::Arrive(key) => {
                self.dispatch.arrive(self.partition, arrival(self.next(), key));
                self.unsettled.insert(self.next());
                self.keys.push(key);
            }
            Step::Pump => drop(self.pump()),
            Step::Ack(n) if !self.out.is_empty() => self.ack(n % self.out.len()),
            Step::Nack(n) if !self.out.is_empty() => self.nack(n, &again()),
            Step::DeadLetter(n) if !self.out.is_empty() => self.nack(n, &Nack::DeadLetter(Doom::of(Why::Nacked))),
            Step::Leave(n) | Step::Break(n) if !self.streams.is_empty() => {
                let stream = self.streams.swap_remove(n % self.streams.len());
                match step {
                    Step::Leave(_) => self.dispatch.leave(stream),
                    _ => self.dispatch.abandon(stream, &Doom::of(Why::Nacked), &moment),
                }
                self.out.retain(|(of, ..)| *of != stream);
            }
            Step::Expire(n) if !self.streams.is_empty() => {
                let stream = self.streams[n % self.streams.len()];
                self.now += 2 * LEASE;
                let expired = self.dispatch.expire(stream, &Doom::of(Why::Nacked), &self.moment());
                assert_eq!(expired, self.out.iter().filter(|(of, ..)| *of == stream).count());
                self.out.retain(|(of, ..)| *of != stream);
            }
            Step::Join => self.join(),
            Step::Dig => drop(self.dig()),
            Step::Bury(n) if !self.graves.is_empty() => self.bury(n % self.graves.len()),
            Step::Quarantine(key) => self.dispatch.quarantine(self.partition, key),
            Step::Free(key) => self.dispatch.free(self.partition, key),
            Step::Cover(more) => self.cover(more),
            Step::Crash => self.crash(),
            _ => {}
        }
    }

    fn check(&self) {
        let view = self.dispatch.partition(self.partition).expect("assigned");
        let lowest = self.unsettled.first().copied().unwrap_or(self.next());
        assert_eq!(view.committed, lowest);
        assert_eq!(view.in_flight, self.out.len() + self.graves.len());
        let dying = self.graves.iter().filter_map(|(.., key)| *key);
        let mut keys: Vec<u64> = self.out.iter().filter_map(|(.., key)| *key).chain(dying).collect();
        keys.sort_unstable();
        assert!(
            keys.windows(2).all(|pair| pair[0] != pair[1]),
            "two events of one key in flight"
        );
        assert!(
            self.settled.values().all(|offsets| offsets.is_sorted()),
            "order per key"
        );
        for stream in &self.streams {
            assert!(self.dispatch.outstanding(*stream).0 <= 7);
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_and_order_per_key_holds(steps in vec(step(), 1..400)) {
        let mut model = Model::new();
        for step in &steps {
            model.step(step);
            model.check();
        }
        model.join();
        loop {
            while !model.out.is_empty() {
                model.ack(0);
                model.check();
            }
            while !model.graves.is_empty() {
                model.bury(0);
                model.check();
            }
            if model.pump() == 0 && !model.dig() {
                break;
            }
        }
        prop_assert!(model.unsettled.is_empty());
    }
}
