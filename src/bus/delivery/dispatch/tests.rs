//! Laws of the whole: order per key, nothing lost, the committed offset behind everything unsettled, whatever streams do.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::bus::delivery::{CreditMode, Verdict};

const MAX: Credit = Credit {
    events: 1_000,
    bytes: Some(1_000_000),
};

fn ledger(events: i64, mode: CreditMode) -> Ledger {
    Ledger::new(Credit { events, bytes: None }, MAX, mode)
}

fn one(id: u64) -> [IdRange; 1] {
    [IdRange { first: id, last: id }]
}

fn arrival(offset: i64, key: Option<u64>) -> Arrival<(i64, Option<u64>)> {
    Arrival {
        offset,
        key,
        size: 10,
        payload: (offset, key),
    }
}

type Sent = Vec<(StreamId, u64, i64)>;

fn pump(dispatch: &mut Dispatch<(i64, Option<u64>)>) -> Sent {
    let mut sent = Vec::new();
    dispatch.pump(Instant::now(), |stream, sending| {
        sent.push((stream, sending.id, sending.payload.0));
        true
    });
    sent
}

#[test]
fn streams_share_the_work_from_the_first_event() {
    let mut dispatch = Dispatch::new(Limits { window: 100 });
    let partition = dispatch.assign(0);
    let (a, b) = (
        dispatch.join(ledger(10, CreditMode::Explicit), 1),
        dispatch.join(ledger(10, CreditMode::Explicit), 2),
    );
    for offset in 0..6 {
        dispatch.arrive(partition, arrival(offset, None));
    }
    let streams: Vec<StreamId> = pump(&mut dispatch).iter().map(|(stream, ..)| *stream).collect();
    assert_eq!(streams, [a, b, a, b, a, b]);
}

#[test]
fn a_stream_without_room_leaves_its_share_to_others_and_recalled_events_are_unsent() {
    let mut dispatch = Dispatch::new(Limits { window: 100 });
    let partition = dispatch.assign(0);
    let a = dispatch.join(ledger(10, CreditMode::Explicit), 1);
    for offset in 0..3 {
        dispatch.arrive(partition, arrival(offset, Some(7)));
    }
    let mut ids = Vec::new();
    dispatch.pump(Instant::now(), |_, sending| {
        ids.push(sending.id);
        false
    });
    assert_eq!(ids.len(), 1);
    dispatch.recall(a, ids.into_iter());
    assert_eq!((dispatch.credit_left(a).events, dispatch.outstanding(a)), (10, (0, 0)));
    let b = dispatch.join(ledger(10, CreditMode::Explicit), 2);
    let mut attempts = Vec::new();
    dispatch.pump(Instant::now(), |stream, sending| {
        attempts.push((stream, sending.attempt));
        true
    });
    assert_eq!(attempts, [(b, 1)]);
}

#[test]
fn what_was_settled_in_a_life_before_is_not_sent_again() {
    let mut dispatch = Dispatch::new(Limits { window: 4 });
    let partition = dispatch.resume(10, &[11..13, 14..20]);
    let stream = dispatch.join(ledger(100, CreditMode::Explicit), 1);
    for offset in 10..22 {
        dispatch.arrive(partition, arrival(offset, Some(1)));
    }
    let sent = pump(&mut dispatch);
    assert_eq!(sent.iter().map(|(.., offset)| *offset).collect::<Vec<_>>(), [10]);
    assert_eq!(dispatch.settled_runs(partition), [11..13, 14..20]);
    dispatch.ack(stream, &one(sent[0].1), Places::Unwanted);
    let sent = pump(&mut dispatch);
    assert_eq!(sent.iter().map(|(.., offset)| *offset).collect::<Vec<_>>(), [13]);
    dispatch.ack(stream, &one(sent[0].1), Places::Unwanted);
    assert_eq!(pump(&mut dispatch).len(), 1);
    assert_eq!(dispatch.partition(partition).map(|view| view.committed), Some(20));
}

#[test]
fn the_window_is_never_exceeded_and_opens_with_acks() {
    let mut dispatch = Dispatch::new(Limits { window: 4 });
    let partition = dispatch.assign(0);
    let stream = dispatch.join(ledger(100, CreditMode::Explicit), 1);
    for offset in 0..10 {
        dispatch.arrive(partition, arrival(offset, None));
    }
    let sent = pump(&mut dispatch);
    assert_eq!(sent.len(), 4);
    assert!(!dispatch.wants_more(partition));
    dispatch.ack(stream, &one(sent[1].1), Places::Unwanted);
    assert!(pump(&mut dispatch).is_empty());
    let settled = dispatch.ack(stream, &one(sent[0].1), Places::Wanted);
    assert_eq!(settled.places, [(partition, 0, sent[0].1)]);
    assert_eq!(pump(&mut dispatch).len(), 2);
}

#[test]
fn a_partition_that_left_makes_its_ids_stale() {
    let mut dispatch = Dispatch::new(Limits { window: 4 });
    let (kept, lost) = (dispatch.assign(0), dispatch.assign(0));
    let stream = dispatch.join(ledger(100, CreditMode::Explicit), 1);
    dispatch.arrive(kept, arrival(0, Some(1)));
    dispatch.arrive(lost, arrival(0, Some(1)));
    let sent = pump(&mut dispatch);
    dispatch.unassign(lost);
    assert_eq!(dispatch.outstanding(stream), (1, 10));
    let settled = dispatch.ack(stream, &one(sent[1].1), Places::Unwanted);
    assert_eq!(settled.faults[0].verdict, Verdict::Stale);
    assert_eq!(dispatch.ack(stream, &one(sent[0].1), Places::Unwanted).count, 1);
}

#[test]
fn credit_comes_back_for_events_of_a_partition_that_left() {
    let mut dispatch = Dispatch::new(Limits { window: 10 });
    let (kept, lost) = (dispatch.assign(0), dispatch.assign(0));
    let stream = dispatch.join(ledger(2, CreditMode::OnSettle), 1);
    for offset in 0..2 {
        dispatch.arrive(lost, arrival(offset, None));
    }
    assert_eq!(pump(&mut dispatch).len(), 2);
    dispatch.arrive(kept, arrival(0, None));
    assert!(pump(&mut dispatch).is_empty());
    dispatch.unassign(lost);
    assert_eq!(pump(&mut dispatch).len(), 1);
    assert_eq!(dispatch.credit_left(stream).events, 1);
}

#[test]
fn a_stream_that_comes_and_goes_takes_no_more_than_its_share() {
    let mut dispatch = Dispatch::new(Limits { window: 100 });
    let partition = dispatch.assign(0);
    let steady = dispatch.join(ledger(100, CreditMode::Explicit), 1);
    for _ in 0..50 {
        let guest = dispatch.join(ledger(100, CreditMode::Explicit), 2);
        dispatch.leave(guest);
    }
    let guest = dispatch.join(ledger(100, CreditMode::Explicit), 2);
    for offset in 0..10 {
        dispatch.arrive(partition, arrival(offset, None));
    }
    let sent = pump(&mut dispatch);
    for stream in [steady, guest] {
        assert_eq!(sent.iter().filter(|(to, ..)| *to == stream).count(), 5);
    }
}

#[test]
fn what_is_taken_back_from_a_partition_that_leaves_is_not_sent_again() {
    let mut dispatch = Dispatch::new(Limits { window: 10 });
    let partition = dispatch.assign(0);
    let stream = dispatch.join(ledger(10, CreditMode::Explicit), 1);
    dispatch.arrive(partition, arrival(0, Some(1)));
    let sent = pump(&mut dispatch);
    dispatch.retire(partition);
    dispatch.recall(stream, sent.iter().map(|(_, id, _)| *id));
    dispatch.has_room(stream);
    assert!(pump(&mut dispatch).is_empty());
    assert_eq!(dispatch.partition(partition).map(|view| view.in_flight), Some(0));
}

#[test]
fn a_hole_wider_than_the_window_is_crossed_once_all_before_it_is_settled() {
    let mut dispatch = Dispatch::new(Limits { window: 10 });
    let partition = dispatch.assign(0);
    let stream = dispatch.join(ledger(10, CreditMode::Explicit), 1);
    dispatch.arrive(partition, arrival(0, None));
    dispatch.skip_to(partition, 1_000_000_000_000);
    dispatch.arrive(partition, arrival(1_000_000_000_000, None));
    let sent = pump(&mut dispatch);
    assert_eq!(sent.len(), 1);
    dispatch.ack(stream, &one(sent[0].1), Places::Unwanted);
    assert_eq!(pump(&mut dispatch).len(), 1);
    assert_eq!(
        dispatch.partition(partition).map(|view| view.committed),
        Some(1_000_000_000_000)
    );
}

#[derive(Clone, Debug)]
enum Step {
    Arrive(Option<u64>),
    Pump,
    Ack(usize),
    Nack(usize),
    Leave(usize),
    Join,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => proptest::option::of(0u64..5).prop_map(Step::Arrive),
        4 => Just(Step::Pump),
        4 => (0usize..16).prop_map(Step::Ack),
        1 => (0usize..16).prop_map(Step::Nack),
        1 => (0usize..4).prop_map(Step::Leave),
        1 => Just(Step::Join),
    ]
}

/// A group of one partition, with a model of what was sent and acked.
struct Model {
    dispatch: Dispatch<(i64, Option<u64>)>,
    partition: PartitionId,
    streams: Vec<StreamId>,
    out: Vec<(StreamId, u64, i64, Option<u64>)>,
    unsettled: BTreeSet<i64>,
    acked: BTreeMap<u64, Vec<i64>>,
    next: i64,
}

impl Model {
    fn new() -> Self {
        let mut dispatch = Dispatch::new(Limits { window: 20 });
        let partition = dispatch.assign(0);
        let (streams, out, acked) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self {
            dispatch,
            partition,
            streams,
            out,
            unsettled: BTreeSet::new(),
            acked,
            next: 0,
        }
    }

    fn pump(&mut self) -> usize {
        let before = self.out.len();
        let out = &mut self.out;
        self.dispatch.pump(Instant::now(), |stream, sending| {
            out.push((stream, sending.id, sending.payload.0, sending.payload.1));
            true
        });
        self.out.len() - before
    }

    fn ack(&mut self, index: usize) {
        let (stream, id, offset, key) = self.out.swap_remove(index);
        assert_eq!(self.dispatch.ack(stream, &one(id), Places::Unwanted).count, 1);
        assert!(self.unsettled.remove(&offset));
        if let Some(key) = key {
            self.acked.entry(key).or_default().push(offset);
        }
    }

    fn join(&mut self) {
        self.streams.push(
            self.dispatch
                .join(ledger(7, CreditMode::OnSettle), self.streams.len() as u32),
        );
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Arrive(key) => {
                self.dispatch.arrive(self.partition, arrival(self.next, key));
                self.unsettled.insert(self.next);
                self.next += 1;
            }
            Step::Pump => drop(self.pump()),
            Step::Ack(n) if !self.out.is_empty() => self.ack(n % self.out.len()),
            Step::Nack(n) if !self.out.is_empty() => {
                let (stream, id, ..) = self.out.swap_remove(n % self.out.len());
                self.dispatch.nack(stream, &one(id), Instant::now());
            }
            Step::Leave(n) if !self.streams.is_empty() => {
                let stream = self.streams.swap_remove(n % self.streams.len());
                self.dispatch.leave(stream);
                self.out.retain(|(of, ..)| *of != stream);
            }
            Step::Join => self.join(),
            _ => {}
        }
    }

    fn check(&self) {
        let view = self.dispatch.partition(self.partition).expect("assigned");
        assert_eq!(view.committed, self.unsettled.first().copied().unwrap_or(self.next));
        assert_eq!(view.in_flight, self.out.len());
        let mut keys: Vec<u64> = self.out.iter().filter_map(|(.., key)| *key).collect();
        keys.sort_unstable();
        assert!(
            keys.windows(2).all(|pair| pair[0] != pair[1]),
            "two events of one key in flight"
        );
        assert!(self.acked.values().all(|offsets| offsets.is_sorted()), "order per key");
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
            if model.pump() == 0 {
                break;
            }
        }
        prop_assert!(model.unsettled.is_empty());
    }
}
