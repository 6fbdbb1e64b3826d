//! The laws of a replay beside live events, under any interleaving: never two of a key in flight, each in its own order, nothing lost
//! of either, the group's offset where it is without a replay, and a small share of each stream while live events wait.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::bus::delivery::{Counts, EntryId, Live};

#[derive(Clone, Debug)]
enum Step {
    Arrive(Option<u64>),
    Past(Option<u64>),
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
    Weigh(Live),
    Stop,
    Start,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => proptest::option::of(0u64..5).prop_map(Step::Arrive),
        5 => proptest::option::of(0u64..5).prop_map(Step::Past),
        6 => Just(Step::Pump),
        8 => (0usize..16).prop_map(Step::Ack),
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
        1 => prop_oneof![Just(Step::Weigh(Live::Waits)), Just(Step::Weigh(Live::CaughtUp))],
        1 => Just(Step::Stop),
        1 => Just(Step::Start),
    ]
}

const LEASE: Duration = Duration::from_secs(60);
/// Payloads of past events have their offset and this.
const PAST: i64 = 1_000_000;
const CREDIT: i64 = 24;

fn past(offset: i64, key: Option<u64>) -> Arrival<(i64, Option<u64>)> {
    Arrival {
        payload: (PAST + offset, key),
        ..arrival(offset, key)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sent {
    stream: StreamId,
    id: u64,
    offset: i64,
    key: Option<u64>,
}

impl Sent {
    fn is_past(&self) -> bool {
        self.offset >= PAST
    }
}

struct Model {
    dispatch: Dispatch<(i64, Option<u64>)>,
    partition: PartitionId,
    streams: Vec<StreamId>,
    out: Vec<Sent>,
    graves: Vec<(EntryId, i64, Option<u64>)>,
    next: i64,
    unsettled: BTreeSet<i64>,
    settled: BTreeMap<u64, Vec<i64>>,
    /// Of the replay that runs.
    number: u64,
    runs: bool,
    live: Live,
    past_next: i64,
    past_acked: BTreeMap<u64, Vec<i64>>,
    acked: u64,
    now: Instant,
}

impl Model {
    fn new() -> Self {
        let mut dispatch = dispatch(20);
        let partition = dispatch.assign(0);
        let mut model = Self {
            dispatch,
            partition,
            streams: Vec::new(),
            out: Vec::new(),
            graves: Vec::new(),
            next: 0,
            unsettled: BTreeSet::new(),
            settled: BTreeMap::new(),
            number: 0,
            runs: false,
            live: Live::Waits,
            past_next: 0,
            past_acked: BTreeMap::new(),
            acked: 0,
            now: Instant::now(),
        };
        model.start();
        model
    }

    fn start(&mut self) {
        self.number += 1;
        self.dispatch.start_replay(self.number, self.now);
        self.dispatch.resume_replay(self.partition, 0, (&[], Counts::default()));
        (self.runs, self.live, self.past_next, self.acked) = (true, Live::Waits, 0, 0);
        self.past_acked.clear();
    }

    fn pump(&mut self) -> usize {
        let (before, mut sent) = (self.out.clone(), Vec::new());
        self.dispatch.pump(self.now, |stream, sending| {
            let (offset, key) = *sending.payload;
            sent.push(Sent {
                stream,
                id: sending.id,
                offset,
                key,
            });
            true
        });
        self.out.extend(&sent);
        for (index, past) in sent.iter().enumerate().filter(|(_, sent)| sent.is_past()) {
            assert!(self.runs, "nothing of a replay is sent once it is stopped");
            let is_beside = |other: &&Sent| other.stream == past.stream && other.is_past();
            let beside = before.iter().chain(&sent[..index]).filter(is_beside).count();
            let most = if self.live == Live::Waits {
                CREDIT as usize / 10
            } else {
                usize::MAX
            };
            assert!(beside < most.max(1), "a tenth of the credit while live events wait");
        }
        sent.len()
    }

    fn dig(&mut self) -> bool {
        let Some(grave) = self.dispatch.next_grave() else {
            return false;
        };
        assert!(grave.payload.0 < PAST, "no replayed event becomes a dead letter");
        self.graves.push((grave.entry, grave.offset, grave.key));
        true
    }

    fn settle(&mut self, offset: i64, key: Option<u64>) {
        assert!(self.unsettled.remove(&offset));
        if let Some(key) = key {
            self.settled.entry(key).or_default().push(offset);
        }
    }

    fn ack(&mut self, index: usize) {
        let sent = self.out.swap_remove(index);
        assert_eq!(self.dispatch.ack(sent.stream, &one(sent.id), Places::Unwanted).count, 1);
        if !sent.is_past() {
            return self.settle(sent.offset, sent.key);
        }
        if let Some(key) = sent.key.filter(|_| self.runs) {
            self.past_acked.entry(key).or_default().push(sent.offset);
        }
    }

    fn bury(&mut self, index: usize) {
        let (entry, offset, key) = self.graves.swap_remove(index);
        assert!(self.dispatch.bury(entry, self.partition, offset));
        self.settle(offset, key);
    }

    fn nack(&mut self, n: usize, nack: &Nack) {
        let sent = self.out.swap_remove(n % self.out.len());
        let moment = Moment {
            now: self.now,
            ..moment()
        };
        assert_eq!(self.dispatch.nack(sent.stream, &one(sent.id), nack, &moment).count, 1);
    }

    fn join(&mut self) {
        let prefix = self.streams.len() as u32;
        let ledger = ledger(CREDIT, CreditMode::OnSettle);
        self.streams.push(self.dispatch.join(ledger, Some(LEASE), prefix));
    }

    fn step(&mut self, step: &Step) {
        let moment = Moment {
            now: self.now,
            ..moment()
        };
        match *step {
            Step::Arrive(key) => {
                self.dispatch.arrive(self.partition, arrival(self.next, key));
                self.unsettled.insert(self.next);
                self.next += 1;
            }
            Step::Past(key) if self.runs => {
                self.dispatch.replay_arrives(self.partition, past(self.past_next, key));
                self.past_next += 1;
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
                self.out.retain(|sent| sent.stream != stream);
            }
            Step::Expire(n) if !self.streams.is_empty() => {
                let stream = self.streams[n % self.streams.len()];
                self.now += 2 * LEASE;
                let moment = Moment {
                    now: self.now,
                    ..moment
                };
                let expired = self.dispatch.expire(stream, &Doom::of(Why::Nacked), &moment);
                assert_eq!(expired, self.out.iter().filter(|sent| sent.stream == stream).count());
                self.out.retain(|sent| sent.stream != stream);
            }
            Step::Join => self.join(),
            Step::Dig => drop(self.dig()),
            Step::Bury(n) if !self.graves.is_empty() => self.bury(n % self.graves.len()),
            Step::Quarantine(key) => self.dispatch.quarantine(self.partition, key),
            Step::Free(key) => self.dispatch.free(self.partition, key),
            Step::Weigh(live) => {
                self.dispatch.weigh_replay(live);
                self.live = live;
            }
            Step::Stop => {
                self.dispatch.stop_replay();
                self.runs = false;
            }
            // One of before may have events out; they are not this one's.
            Step::Start if !self.out.iter().any(Sent::is_past) => self.start(),
            _ => {}
        }
    }

    fn check(&self) {
        let view = self.dispatch.partition(self.partition).expect("assigned");
        let lowest = self.unsettled.first().copied().unwrap_or(self.next);
        assert_eq!(view.committed, lowest, "the offset is that of live events alone");
        assert_eq!(view.in_flight, self.out.len() + self.graves.len());
        let dying = self.graves.iter().filter_map(|(.., key)| *key);
        let mut keys: Vec<u64> = self.out.iter().filter_map(|sent| sent.key).chain(dying).collect();
        keys.sort_unstable();
        assert!(
            keys.windows(2).all(|pair| pair[0] != pair[1]),
            "two events of one key in flight"
        );
        let orders = self.settled.values().chain(self.past_acked.values());
        assert!(orders.into_iter().all(|offsets| offsets.is_sorted()), "order per key");
        for stream in &self.streams {
            assert!(self.dispatch.outstanding(*stream).0 <= CREDIT as usize);
        }
    }

    fn drain(&mut self) {
        self.join();
        self.step(&Step::Weigh(Live::CaughtUp));
        loop {
            while !self.out.is_empty() {
                self.ack(0);
                self.check();
            }
            while !self.graves.is_empty() {
                self.bury(0);
                self.check();
            }
            if self.pump() == 0 && !self.dig() && self.pump() == 0 {
                return;
            }
        }
    }
}

proptest! {
    #[test]
    fn neither_holds_the_other_up_for_good_and_each_keeps_its_order(steps in vec(step(), 1..400)) {
        let mut model = Model::new();
        for step in &steps {
            model.step(step);
            model.check();
        }
        model.drain();
        prop_assert!(model.unsettled.is_empty());
        if model.runs {
            let course = model.dispatch.course(model.partition).expect("it runs");
            prop_assert_eq!(course.next, model.past_next, "every past event was sent and settled, or given up");
            let Counts { acked, failed, passed_over, .. } = course.counts;
            prop_assert_eq!(i64::try_from(acked + failed + passed_over).expect("few"), model.past_next);
        } else {
            prop_assert!(model.dispatch.forget_replay());
        }
    }
}

#[test]
fn a_replay_has_a_tenth_of_what_goes_out_while_live_events_wait_and_all_of_it_when_none_does() {
    let mut dispatch = dispatch(20_000);
    let partition = dispatch.assign(0);
    let now = Instant::now();
    dispatch.start_replay(1, now);
    dispatch.resume_replay(partition, 0, (&[], Counts::default()));
    for offset in 0..2_000 {
        dispatch.arrive(partition, arrival(offset, None));
        dispatch.replay_arrives(partition, past(offset, None));
    }
    // With credit for many at once, and for one at a time.
    for (credit, rounds) in [(100, 10), (1, 1_000)] {
        let stream = dispatch.join(ledger(credit, CreditMode::OnSettle), None, 1);
        let (mut live, mut past) = (0, 0);
        for _ in 0..rounds {
            let mut ids = Vec::new();
            dispatch.pump(now, |_, sending| {
                match sending.payload.0 < PAST {
                    true => live += 1,
                    false => past += 1,
                }
                ids.push(sending.id);
                true
            });
            for id in ids {
                dispatch.ack(stream, &one(id), Places::Unwanted);
            }
        }
        assert!(
            (90..=110).contains(&past) && live + past == 1_000,
            "{past} of {}",
            live + past
        );
        dispatch.leave(stream);
    }
    dispatch.weigh_replay(Live::CaughtUp);
    dispatch.join(ledger(1_000, CreditMode::OnSettle), None, 1);
    let mut past = 0;
    dispatch.pump(now, |_, sending| {
        past += usize::from(sending.payload.0 >= PAST);
        true
    });
    assert!(
        past > 100,
        "200 live events are left, and then the stream is free: {past}"
    );
}

#[test]
fn a_live_event_waits_for_no_more_than_one_replayed_one_of_its_key() {
    let mut dispatch = dispatch(100);
    let partition = dispatch.assign(0);
    let now = Instant::now();
    dispatch.start_replay(1, now);
    dispatch.weigh_replay(Live::CaughtUp);
    dispatch.resume_replay(partition, 0, (&[], Counts::default()));
    for offset in 0..5 {
        dispatch.replay_arrives(partition, past(offset, Some(1)));
    }
    let stream = dispatch.join(ledger(10, CreditMode::OnSettle), None, 1);
    let mut order = Vec::new();
    for step in 0..8 {
        if step == 1 {
            (0..3).for_each(|offset| dispatch.arrive(partition, arrival(offset, Some(1))));
        }
        let mut sent = Vec::new();
        dispatch.pump(now, |_, sending| {
            sent.push((sending.id, sending.payload.0));
            true
        });
        let [(id, offset)] = sent[..] else {
            panic!("one of a key at a time: {sent:?}")
        };
        order.push(offset);
        dispatch.ack(stream, &one(id), Places::Unwanted);
    }
    assert_eq!(order[0], PAST, "nothing else was there");
    let first_live = order.iter().position(|offset| *offset == 0).expect("sent");
    assert!(first_live <= 2, "{order:?}");
    let past: Vec<_> = order.iter().filter(|offset| **offset >= PAST).collect();
    assert!(past.is_sorted() && past.len() == 5);
}

#[test]
fn what_a_replay_holds_of_a_stream_is_a_tenth_in_events_and_in_bytes() {
    for (credit, most) in [
        (
            Credit {
                events: 100,
                bytes: None,
            },
            10,
        ),
        (
            Credit {
                events: 1_000,
                bytes: Some(1_000),
            },
            10,
        ),
        (Credit { events: 5, bytes: None }, 1),
    ] {
        let mut dispatch = dispatch(20_000);
        let partition = dispatch.assign(0);
        let now = Instant::now();
        dispatch.start_replay(1, now);
        dispatch.resume_replay(partition, 0, (&[], Counts::default()));
        for offset in 0..2_000 {
            dispatch.arrive(partition, arrival(offset, None));
            dispatch.replay_arrives(partition, past(offset, None));
        }
        let stream = dispatch.join(Ledger::new(credit, MAX, CreditMode::OnSettle), None, 1);
        // What is replayed is never acked.
        let mut past = 0;
        for _ in 0..20 {
            let mut live = Vec::new();
            dispatch.pump(now, |_, sending| {
                match sending.payload.0 < PAST {
                    true => live.push(sending.id),
                    false => past += 1,
                }
                true
            });
            for id in live {
                dispatch.ack(stream, &one(id), Places::Unwanted);
            }
        }
        assert_eq!(past, most, "{credit:?}");
    }
}
