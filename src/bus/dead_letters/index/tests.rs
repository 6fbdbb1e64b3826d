use proptest::{collection::vec, option, prelude::*};

use super::{
    super::{
        format::Request,
        letter::{LetterReason, Why},
    },
    *,
};
use crate::{
    log::{Headers, Record},
    name::Topic,
};

fn source() -> TopicPartition {
    TopicPartition {
        topic: Topic::new("orders").expect("valid"),
        partition: 0,
    }
}

fn letter(id: u64, key: &'static str, why: Why) -> Entry {
    let letter = Letter {
        source: source(),
        record: Record {
            offset: i64::try_from(id).expect("small"),
            time: LogTime(0),
            key: Some(key.into()),
            value: None,
            headers: Headers::default(),
        },
        why,
    };
    Entry::Letter(LetterId(id), Box::new(letter))
}

fn alone(id: u64) -> Entry {
    letter(id, "k", Why::new(LetterReason::Nacked))
}

fn head(id: u64) -> Entry {
    let why = Why {
        quarantine: true,
        ..Why::new(LetterReason::Nacked)
    };
    letter(id, "k", why)
}

fn behind(id: u64, head: u64) -> Entry {
    let why = Why {
        behind: Some(LetterId(head)),
        ..Why::new(LetterReason::Behind)
    };
    letter(id, "k", why)
}

fn again(id: u64, parent: u64) -> Entry {
    let why = Why {
        parent: Some(LetterId(parent)),
        quarantine: true,
        ..Why::new(LetterReason::Nacked)
    };
    letter(id, "k", why)
}

fn request(id: &str, ids: &[u64]) -> Request {
    Request {
        id: id.to_owned(),
        ids: ids.iter().copied().map(LetterId).collect(),
        by: "me".to_owned(),
        reason: String::new(),
        time_ms: 0,
    }
}

fn redrive(id: &str, ids: &[u64]) -> Entry {
    Entry::State(Change::Redrive(request(id, ids)))
}

fn discard(id: &str, ids: &[u64]) -> Entry {
    Entry::State(Change::Discard(request(id, ids)))
}

fn done(ids: &[u64]) -> Entry {
    let ids = ids.iter().copied().map(LetterId).collect();
    Entry::State(Change::Done { ids })
}

fn indexed(entries: &[Entry]) -> Index {
    let mut index = Index::default();
    replay(&mut index, entries);
    index
}

fn replay(index: &mut Index, entries: &[Entry]) {
    for (at, entry) in (0..).zip(entries) {
        index.apply(at, LogTime(at), entry);
    }
}

/// The state and the redrive of each letter from 1 on.
fn states(index: &Index, ids: std::ops::RangeInclusive<u64>) -> Vec<(State, String)> {
    let state = |id| {
        let row = index.row(LetterId(id)).expect("known");
        (
            row.state,
            row.cause.as_ref().map_or_else(String::new, |cause| cause.id.clone()),
        )
    };
    ids.map(state).collect()
}

fn redriving(index: &Index) -> Vec<u64> {
    index
        .redriving(&source())
        .into_iter()
        .map(|redriving| redriving.id.0)
        .collect()
}

fn quarantined(index: &Index) -> Vec<u64> {
    index.quarantined(&source()).into_values().map(|id| id.0).collect()
}

#[test]
fn redriving_twice_redrives_once() {
    let index = indexed(&[
        alone(1),
        alone(2),
        redrive("a", &[1]),
        redrive("b", &[1, 2]),
        done(&[1]),
        redrive("c", &[1]),
    ]);
    let expected = [(State::Redriven, "a".to_owned()), (State::Redriving, "b".to_owned())];
    assert_eq!(states(&index, 1..=2), expected);
    assert_eq!((redriving(&index), quarantined(&index)), (vec![2], vec![]));
}

#[test]
fn redriving_one_of_a_chain_redrives_all_of_it_in_order() {
    let mut log = vec![head(1), alone(4), behind(2, 1), behind(3, 2), redrive("a", &[3])];
    let index = indexed(&log);
    assert_eq!((redriving(&index), quarantined(&index)), (vec![1, 2, 3], vec![1]));
    // What comes until all are settled joins them.
    log.extend([done(&[1]), behind(5, 1)]);
    let index = indexed(&log);
    assert_eq!((redriving(&index), quarantined(&index)), (vec![2, 3, 5], vec![1]));
    log.push(done(&[2, 3, 5]));
    assert!(quarantined(&indexed(&log)).is_empty());
    assert_eq!(indexed(&log).row(LetterId(4)).map(|row| row.state), Some(State::Parked));
}

#[test]
fn discarding_the_head_redrives_what_waited_and_discards_what_was_named() {
    let log = [
        head(1),
        behind(2, 1),
        behind(3, 1),
        discard("a", &[2, 1]),
        behind(4, 1),
        discard("b", &[4]),
    ];
    let expected =
        [State::Discarded, State::Discarded, State::Redriving, State::Redriving].map(|state| (state, "a".to_owned()));
    assert_eq!(states(&indexed(&log), 1..=4), expected);
}

#[test]
fn a_redriven_letter_that_fails_again_is_a_new_one_and_the_old_is_settled() {
    let mut log = vec![head(1), behind(2, 1), redrive("a", &[1]), again(11, 1)];
    let index = indexed(&log);
    assert_eq!(states(&index, 1..=1), [(State::Redriven, "a".to_owned())]);
    assert_eq!(states(&index, 11..=11), [(State::Parked, String::new())]);
    assert_eq!((redriving(&index), quarantined(&index)), (vec![2], vec![11]));
    log.push(behind(12, 11));
    assert_eq!(states(&indexed(&log), 12..=12), [(State::Parked, String::new())]);
}

#[test]
fn a_letter_without_quarantine_holds_nothing_up_until_something_waits_behind_it() {
    assert!(quarantined(&indexed(&[alone(1)])).is_empty());
    assert_eq!(quarantined(&indexed(&[alone(1), behind(2, 1)])), [1]);
    assert_eq!(quarantined(&indexed(&[behind(2, 9)])), [9]);
}

#[test]
fn the_oldest_that_are_resolved_are_forgotten_first() {
    let mut index = Index::bounded(2);
    replay(
        &mut index,
        &[alone(1), alone(2), redrive("a", &[2]), done(&[2]), alone(3), alone(4)],
    );
    let known: Vec<u64> = index.all().map(|row| row.id.0).collect();
    assert_eq!(known, [1, 3, 4]);
}

#[test]
fn what_the_log_has_no_more_is_forgotten() {
    let mut index = indexed(&[head(1), behind(2, 1), redrive("a", &[1]), head(3)]);
    index.forget_before(2);
    assert_eq!((redriving(&index), quarantined(&index)), (vec![], vec![3]));
    index.forget_before(4);
    assert_eq!((index.all().count(), index.chains.len()), (0, 0));
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let ids = || vec(0..12_u64, 0..4);
    let one = prop_oneof![
        (
            0..12_u64,
            option::of(0..12_u64),
            option::of(0..12_u64),
            any::<bool>(),
            0..3_usize
        )
            .prop_map(|(id, behind, parent, quarantine, key)| {
                let why = Why {
                    behind: behind.filter(|behind| *behind != id).map(LetterId),
                    parent: parent.filter(|parent| *parent != id).map(LetterId),
                    quarantine,
                    ..Why::new(LetterReason::Nacked)
                };
                letter(id, ["a", "b", "c"][key], why)
            }),
        (ids(), 0..9_u8).prop_map(|(ids, n)| redrive(&n.to_string(), &ids)),
        (ids(), 0..9_u8).prop_map(|(ids, n)| discard(&n.to_string(), &ids)),
        ids().prop_map(|ids| done(&ids)),
    ];
    vec(one, 0..40)
}

proptest! {
    #[test]
    fn the_same_records_give_the_same_index_however_often_they_are_read(log in entries(), twice in 0..40_usize) {
        let mut index = Index::default();
        replay(&mut index, &log[..twice.min(log.len())]);
        replay(&mut index, &log);
        replay(&mut index, &log);
        prop_assert_eq!(index, indexed(&log));
    }

    #[test]
    fn chains_move_together(log in entries()) {
        let index = indexed(&log);
        for row in index.all() {
            let Some(head) = row.head.and_then(|head| index.row(head)) else { continue };
            // A chain whose head was not known when it began has no state to follow.
            if head.at < row.at && head.state != State::Parked {
                prop_assert_ne!(row.state, State::Parked, "{:?}", row);
            }
        }
    }

    #[test]
    fn what_was_redriven_is_not_redriven_again(log in entries(), ids in vec(0..12_u64, 0..6)) {
        let mut log = log;
        log.push(redrive("first", &ids));
        let once = indexed(&log);
        log.push(redrive("second", &ids));
        let twice = indexed(&log);
        prop_assert!(once.all().eq(twice.all()));
    }

    #[test]
    fn what_moves_was_foretold(log in entries(), ids in vec(0..12_u64, 0..6)) {
        let before = indexed(&log);
        let named: Vec<LetterId> = ids.iter().copied().map(LetterId).collect();
        let of = |index: &Index| -> BTreeSet<i64> {
            let moved = index.all().filter(|row| row.cause.as_ref().is_some_and(|cause| cause.id == "now"));
            moved.map(|row| row.at).collect()
        };
        let after = |entry| indexed(&[log.clone(), vec![entry]].concat());
        prop_assert_eq!(of(&after(redrive("now", &ids))), before.redrivable(&named));
        let (discarded, freed) = before.discardable(&named);
        prop_assert_eq!(of(&after(discard("now", &ids))), discarded.union(&freed).copied().collect::<BTreeSet<_>>());
    }
}
