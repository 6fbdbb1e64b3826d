//! Laws of the whole: order per key, nothing lost, the committed offset behind everything unsettled, whatever streams do.

mod model;
#[path = "tests/replay_model.rs"]
mod replay_model;

use super::*;
use crate::{
    bus::delivery::{CreditMode, Moment, Nack, Verdict, Why},
    log::LogTime,
};

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
        doom: None,
    }
}

fn dispatch(window: i64) -> Dispatch<(i64, Option<u64>)> {
    let policy = RetryPolicy {
        initial: Duration::ZERO,
        factor: 1.0,
        maximum: Duration::ZERO,
        jitter: 0.0,
        max_attempts: 3,
        max_abandons: 4,
    };
    Dispatch::new(Limits { window }, policy)
}

fn moment() -> Moment {
    Moment {
        now: Instant::now(),
        time: LogTime(1),
        spread: || 0.5,
    }
}

fn again() -> Nack {
    Nack::Retry {
        delay: None,
        words: Doom::of(Why::Nacked),
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
fn what_is_covered_is_settled_wherever_it_is_and_its_keys_go_on() {
    let mut dispatch = dispatch(4);
    let partition = dispatch.assign(0);
    let stream = dispatch.join(ledger(3, CreditMode::OnSettle), None, 1);
    for (offset, key) in [(0, 1), (1, 1), (2, 2), (3, 1), (4, 1), (5, 3)] {
        dispatch.arrive(partition, arrival(offset, Some(key)));
    }
    let sent = pump(&mut dispatch);
    assert_eq!(sent.iter().map(|(.., offset)| *offset).collect::<Vec<_>>(), [0, 2]);
    // One that failed waits for its turn, one is out, one waits behind its key, and the last is not let in yet.
    dispatch.nack(stream, &one(sent[1].1), &again(), &moment());
    assert_eq!(dispatch.settle_below(partition, 4), 4);
    let view = dispatch.partition(partition).expect("assigned");
    assert_eq!(
        (view.committed, view.in_flight, dispatch.credit_left(stream).events),
        (4, 0, 3)
    );
    assert_eq!(
        (dispatch.settle_below(partition, 4), dispatch.tries(partition).len()),
        (0, 0)
    );
    let late = dispatch.ack(stream, &one(sent[0].1), Places::Unwanted);
    assert_eq!((late.count, late.faults[0].verdict), (0, Verdict::Settled));
    let sent = pump(&mut dispatch);
    assert_eq!(sent.iter().map(|(.., offset)| *offset).collect::<Vec<_>>(), [4, 5]);
    // What has not arrived is covered too, and not sent when it does.
    dispatch.settle_below(partition, 8);
    (6..9).for_each(|offset| dispatch.arrive(partition, arrival(offset, None)));
    assert_eq!(
        pump(&mut dispatch)
            .iter()
            .map(|(.., offset)| *offset)
            .collect::<Vec<_>>(),
        [8]
    );
    assert_eq!(
        dispatch.partition(partition).map(|view| (view.committed, view.next)),
        Some((8, 9))
    );
}

#[test]
fn streams_share_the_work_from_the_first_event() {
    let mut dispatch = dispatch(100);
    let partition = dispatch.assign(0);
    let (a, b) = (
        dispatch.join(ledger(10, CreditMode::Explicit), None, 1),
        dispatch.join(ledger(10, CreditMode::Explicit), None, 2),
    );
    for offset in 0..6 {
        dispatch.arrive(partition, arrival(offset, None));
    }
    let streams: Vec<StreamId> = pump(&mut dispatch).iter().map(|(stream, ..)| *stream).collect();
    assert_eq!(streams, [a, b, a, b, a, b]);
}

#[test]
fn a_stream_without_room_leaves_its_share_to_others_and_recalled_events_are_unsent() {
    let mut dispatch = dispatch(100);
    let partition = dispatch.assign(0);
    let a = dispatch.join(ledger(10, CreditMode::Explicit), None, 1);
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
    let b = dispatch.join(ledger(10, CreditMode::Explicit), None, 2);
    let mut attempts = Vec::new();
    dispatch.pump(Instant::now(), |stream, sending| {
        attempts.push((stream, sending.attempt));
        true
    });
    assert_eq!(attempts, [(b, 1)]);
}

#[test]
fn what_was_settled_in_a_life_before_is_not_sent_again() {
    let mut dispatch = dispatch(4);
    let partition = dispatch.resume(10, &[11..13, 14..20], Vec::new());
    let stream = dispatch.join(ledger(100, CreditMode::Explicit), None, 1);
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
    let mut dispatch = dispatch(4);
    let partition = dispatch.assign(0);
    let stream = dispatch.join(ledger(100, CreditMode::Explicit), None, 1);
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
    let mut dispatch = dispatch(4);
    let (kept, lost) = (dispatch.assign(0), dispatch.assign(0));
    let stream = dispatch.join(ledger(100, CreditMode::Explicit), None, 1);
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
    let mut dispatch = dispatch(10);
    let (kept, lost) = (dispatch.assign(0), dispatch.assign(0));
    let stream = dispatch.join(ledger(2, CreditMode::OnSettle), None, 1);
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
    let mut dispatch = dispatch(100);
    let partition = dispatch.assign(0);
    let steady = dispatch.join(ledger(100, CreditMode::Explicit), None, 1);
    for _ in 0..50 {
        let guest = dispatch.join(ledger(100, CreditMode::Explicit), None, 2);
        dispatch.leave(guest);
    }
    let guest = dispatch.join(ledger(100, CreditMode::Explicit), None, 2);
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
    let mut dispatch = dispatch(10);
    let partition = dispatch.assign(0);
    let stream = dispatch.join(ledger(10, CreditMode::Explicit), None, 1);
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
    let mut dispatch = dispatch(10);
    let partition = dispatch.assign(0);
    let stream = dispatch.join(ledger(10, CreditMode::Explicit), None, 1);
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

#[test]
fn an_event_that_fails_too_often_becomes_a_dead_letter_and_holds_its_key_until_that_is_written() {
    let mut dispatch = dispatch(10);
    let partition = dispatch.assign(0);
    let stream = dispatch.join(ledger(10, CreditMode::Explicit), None, 1);
    dispatch.arrive(partition, arrival(0, Some(1)));
    dispatch.arrive(partition, arrival(1, Some(1)));
    for _ in 0..3 {
        assert!(dispatch.next_grave().is_none());
        let (_, id, offset) = pump(&mut dispatch)[0];
        assert_eq!(offset, 0);
        dispatch.nack(stream, &one(id), &again(), &moment());
    }
    assert!(pump(&mut dispatch).is_empty(), "its key waits");
    let grave = dispatch.next_grave().expect("a dead letter");
    assert_eq!(
        (grave.offset, grave.tries.failures, grave.doom.why),
        (0, 3, Why::Attempts)
    );
    let entry = grave.entry;
    assert_eq!(dispatch.partition(partition).expect("assigned").committed, 0);
    assert!(dispatch.bury(entry, partition, 0) && !dispatch.bury(entry, partition, 0));
    assert_eq!(dispatch.partition(partition).expect("assigned").committed, 1);
    assert_eq!(pump(&mut dispatch)[0].2, 1);
}

#[test]
fn behind_a_quarantined_key_events_become_dead_letters_in_order_until_it_is_freed() {
    let mut dispatch = dispatch(10);
    let partition = dispatch.assign(0);
    let stream = dispatch.join(ledger(10, CreditMode::Explicit), None, 1);
    (0..3).for_each(|offset| dispatch.arrive(partition, arrival(offset, Some(1))));
    let (_, id, _) = pump(&mut dispatch)[0];
    let doom = Doom::of(Why::Nacked);
    dispatch.nack(stream, &one(id), &Nack::DeadLetter(doom), &moment());
    dispatch.quarantine(partition, 1);
    for (offset, why) in [(0, Why::Nacked), (1, Why::Behind)] {
        let grave = dispatch.next_grave().expect("a dead letter");
        assert_eq!((grave.offset, grave.doom.why), (offset, why));
        let entry = grave.entry;
        assert!(dispatch.next_grave().is_none(), "one after the other");
        if offset == 1 {
            dispatch.free(partition, 1);
        }
        dispatch.bury(entry, partition, offset);
    }
    assert_eq!(pump(&mut dispatch)[0].2, 2);
}

#[test]
fn a_lease_that_is_over_is_a_failure_and_another_stream_gets_the_event() {
    let mut dispatch = dispatch(10);
    let partition = dispatch.assign(0);
    let lease = Duration::from_secs(60);
    let a = dispatch.join(ledger(10, CreditMode::OnSettle), Some(lease), 1);
    dispatch.arrive(partition, arrival(0, None));
    dispatch.arrive(partition, arrival(1, None));
    let sent = pump(&mut dispatch);
    let b = dispatch.join(ledger(10, CreditMode::OnSettle), None, 2);
    assert!(dispatch.overdue(Instant::now()).is_empty());
    let later = Moment {
        now: Instant::now() + lease,
        ..moment()
    };
    assert_eq!(dispatch.extend(a, &one(sent[1].1), later.now + lease).faults, []);
    assert_eq!(dispatch.overdue(later.now), [a]);
    assert_eq!(dispatch.expire(a, &Doom::of(Why::Nacked), &later), 1);
    assert_eq!(dispatch.credit_left(a).events, 9, "the credit comes back");
    let fault = dispatch.ack(a, &one(sent[0].1), Places::Unwanted).faults[0];
    assert_eq!(fault.verdict, Verdict::Expired);
    assert_eq!(dispatch.partition(partition).expect("assigned").committed, 0);
    let mut again = Vec::new();
    dispatch.pump(later.now, |stream, sending| {
        again.push((stream, sending.payload.0, sending.attempt, sending.failures));
        true
    });
    assert_eq!(again, [(b, 0, 2, 1)]);
    assert!(dispatch.next_expiry().expect("of the other event") >= later.now + lease);
}

#[test]
fn an_event_that_streams_broke_over_twice_is_sent_alone() {
    let mut dispatch = dispatch(100);
    let partition = dispatch.assign(0);
    (0..4).for_each(|offset| dispatch.arrive(partition, arrival(offset, None)));
    for _ in 0..2 {
        let broken = dispatch.join(ledger(1, CreditMode::Explicit), None, 1);
        assert_eq!(pump(&mut dispatch)[0].2, 0);
        dispatch.abandon(broken, &Doom::of(Why::Nacked), &moment());
    }
    let stream = dispatch.join(ledger(10, CreditMode::Explicit), None, 2);
    let alone = pump(&mut dispatch);
    assert_eq!(alone.iter().map(|(.., offset)| *offset).collect::<Vec<_>>(), [0]);
    dispatch.ack(stream, &one(alone[0].1), Places::Unwanted);
    assert_eq!(pump(&mut dispatch).len(), 3, "then the others");
}

/// Buries what is doomed, in order, and tells it.
fn bury_all(dispatch: &mut Dispatch<(i64, Option<u64>)>, partition: PartitionId) -> Vec<(i64, Why)> {
    let mut buried = Vec::new();
    while let Some(grave) = dispatch.next_grave() {
        let (entry, offset, why) = (grave.entry, grave.offset, grave.doom.why);
        assert!(dispatch.bury(entry, partition, offset));
        buried.push((offset, why));
    }
    buried
}

#[test]
fn a_redriven_chain_goes_before_what_came_after_it_and_fails_as_a_whole() {
    let mut dispatch = dispatch(10);
    let partition = dispatch.assign(0);
    let stream = dispatch.join(ledger(10, CreditMode::Explicit), None, 1);
    dispatch.quarantine(partition, 1);
    (0..4).for_each(|offset| dispatch.arrive(partition, arrival(offset, Some(1))));
    let grave = dispatch.next_grave().map(|grave| (grave.entry, grave.offset));
    let (entry, offset) = grave.expect("the first of the key");
    // Its chain, and it, are redriven while others of the key still wait to become part of it.
    for (letter, offset) in [(100, -3), (101, -2)] {
        dispatch.redrive(partition, (letter, true), arrival(offset, Some(1)));
    }
    assert!(pump(&mut dispatch).is_empty());
    assert!(dispatch.bury(entry, partition, offset));
    assert_eq!(
        bury_all(&mut dispatch, partition),
        [1, 2, 3].map(|offset| (offset, Why::Behind))
    );
    let (_, id, offset) = pump(&mut dispatch)[0];
    assert_eq!(offset, -3);
    dispatch.nack(stream, &one(id), &Nack::DeadLetter(Doom::of(Why::Nacked)), &moment());
    dispatch.quarantine(partition, 1);
    assert_eq!(
        bury_all(&mut dispatch, partition),
        [(-3, Why::Nacked), (-2, Why::Behind)]
    );
    // Redriven once more, they pass, and nothing of them moves the offset or is noted.
    dispatch.redrive(partition, (102, true), arrival(-3, Some(1)));
    let (_, id, _) = pump(&mut dispatch)[0];
    dispatch.nack(stream, &one(id), &again(), &moment());
    assert_eq!(dispatch.tries(partition), []);
    let (_, id, _) = pump(&mut dispatch)[0];
    assert_eq!(dispatch.ack(stream, &one(id), Places::Unwanted).letters, [102]);
    assert_eq!(dispatch.partition(partition).expect("assigned").committed, 4);
}
