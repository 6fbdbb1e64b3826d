//! Laws of notes: what is written is read, within the budget; what is not ours is ignored.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::bus::delivery::tracker::{SPAN, Tracker};

const BUDGET: usize = 3_900;
const NOW: i64 = 1_790_000_000_000;

fn tries(offset: i64, failures: u32, time: i64) -> Tried {
    Tried {
        offset,
        attempt: failures + 1,
        failures,
        abandons: 0,
        first_failure: LogTime(time),
    }
}

fn note(settled: &[Range<i64>], tries: &[Tried]) -> Note {
    Note {
        settled: settled.to_vec(),
        tries: tries.to_vec(),
        ..Note::default()
    }
}

/// Every other offset of all that may be settled.
fn alternating(committed: i64) -> Vec<Range<i64>> {
    (committed + 2..=committed + SPAN)
        .step_by(2)
        .map(|at| at..at + 1)
        .collect()
}

#[test]
fn notes_are_as_short_as_what_they_say() {
    let few_runs = [1_001..1_010, 1_012..1_013, 1_300..1_400, 2_000..2_001];
    let failing = [tries(1_000, 3, NOW), tries(1_011, 1, NOW + 60_000)];
    let in_flight: Vec<Tried> = (1_000..1_500).map(|offset| tries(offset, 0, 0)).collect();
    let group = Note {
        epoch: 7,
        overflow: Some(12),
        ..Note::default()
    };
    for (what, note, length) in [
        ("nothing", Note::default(), 0),
        ("an epoch and an overflow", group, 13),
        ("a run", note(&few_runs[..1], &[]), 14),
        ("a few runs", note(&few_runs, &[]), 25),
        ("a few runs and two tries", note(&few_runs, &failing), 49),
        ("500 sent once", note(&[], &in_flight), 678),
        ("every other one settled", note(&alternating(1_000), &[]), 2_745),
        (
            "every other one and two tries",
            note(&alternating(1_000), &failing),
            2_769,
        ),
    ] {
        let encoded = encode(1_000, &note, BUDGET);
        assert_eq!(encoded.text.len(), length, "{what}: {}", encoded.text);
        assert_eq!(encoded.rest, [], "{what}");
        assert_eq!(decode(1_000, &encoded.text), Some(note), "{what}");
    }
}

#[test]
fn a_note_written_today_is_read_for_ever() {
    for (run, text) in [
        (1_300..1_400, "t1.F6wCBQIBCKICY4DYwaKMNAIEAwAAKGCZjH0"),
        (1_012..1_013, "t1.G6wCBQL-E4DYwaKMNAIEAwAAKBvEnx4"),
    ] {
        let note = Note {
            epoch: 300,
            overflow: Some(5),
            settled: vec![1_001..1_010, run],
            tries: vec![tries(1_000, 3, NOW), tries(1_011, 0, 0)],
        };
        assert_eq!(encode(1_000, &note, BUDGET).text, text);
        assert_eq!(decode(1_000, text), Some(note));
    }
}

#[test]
fn what_failed_most_stays_beside_the_widest_bitmap() {
    let all: Vec<Tried> = (0..SPAN)
        .map(|offset| tries(offset, u32::try_from(offset % 7).unwrap(), NOW + offset * 60))
        .collect();
    let encoded = encode(0, &note(&alternating(0), &all), BUDGET);
    assert!(encoded.text.len() <= BUDGET);
    let read = decode(0, &encoded.text).unwrap();
    assert_eq!(read.settled, alternating(0));
    assert!(read.tries.len() > 90, "{}", read.tries.len());
    assert!(read.tries.iter().all(|tries| tries.failures == 6));
    assert_eq!(read.tries.len() + encoded.rest.len(), all.len());
    let more = More {
        above: None,
        tries: encoded.rest,
    };
    assert_eq!(More::from_bytes(&more.to_bytes()), Some(more));
}

#[test]
fn what_is_out_of_bounds_is_left_out() {
    let wide = note(&[90..101, 200..i64::MAX], &[tries(99, 1, 1), tries(101 + SPAN, 1, 1)]);
    let read = decode(100, &encode(100, &wide, BUDGET).text);
    assert_eq!(read, Some(note(&[100..101, 200..101 + SPAN], &[])));
    let small = encode(0, &note(&alternating(0), &[tries(1, 1, 1)]), 200);
    assert!(small.text.len() <= 200 && small.rest.len() == 1 && small.is_cut);
    let settled = decode(0, &small.text).unwrap().settled;
    assert!(settled.len() > 400 && alternating(0).starts_with(&settled));
}

#[test]
fn a_note_of_another_offset_or_program_is_ignored() {
    let text = encode(100, &note(&[101..102, 105..109], &[]), BUDGET).text;
    assert!(decode(100, &text).is_some());
    assert_eq!(decode(101, &text), None);
    let foreign = [
        "t1.",
        "t1.AAAA",
        "t1.AAAAAAA",
        "t2.AAAA",
        " ",
        "{\"host\":\"x\"}",
        "consumer-1",
        "1700000000",
    ];
    for text in foreign {
        assert_eq!(decode(100, text), None, "{text}");
    }
}

/// Runs above `committed`, apart from each other, by gaps and lengths; as many as lie within bounds.
fn runs(committed: i64, steps: &[(i64, i64)]) -> Vec<Range<i64>> {
    let mut above = 0;
    let mut runs = Vec::new();
    for (gap, length) in steps {
        let run = above + gap..above + gap + length;
        if run.end > SPAN + 1 {
            break;
        }
        above = run.end;
        runs.push(committed + run.start..committed + run.end);
    }
    runs
}

prop_compose! {
    fn any_tries()(
        counts in prop_oneof![Just((1, 0, 0)), (0u32..20, 0u32..9, 0u32..9), any::<(u32, u32, u32)>()],
        time in prop_oneof![3 => NOW..NOW + 3_600_000, 2 => Just(0), 1 => any::<i64>()],
    ) -> Tried {
        let (attempt, failures, abandons) = counts;
        Tried { offset: 0, attempt, failures, abandons, first_failure: LogTime(time) }
    }
}

prop_compose! {
    fn any_note(most_tries: usize)(
        committed in prop_oneof![0i64..1_000_000, Just(i64::MAX - SPAN - 1), Just(i64::MAX - 70)],
        (narrow, wide) in (vec((1i64..4, 1i64..4), 0..4_000), vec((1i64..900, 1i64..900), 0..40)),
        is_wide in any::<bool>(),
        which in proptest::collection::btree_map(0..=SPAN, any_tries(), 0..most_tries),
        epoch in prop_oneof![Just(0u64), any::<u64>()],
        overflow in any::<Option<u64>>(),
    ) -> (i64, Note) {
        let room = i64::MAX - committed;
        let settled = if room < SPAN { Vec::new() } else { runs(committed, if is_wide { &wide } else { &narrow }) };
        let which = which.into_iter().filter(|(above, _)| *above <= room);
        let tries = which.map(|(above, tries)| Tried { offset: committed + above, ..tries }).collect();
        (committed, Note { settled, tries, epoch, overflow })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_fits_is_read_as_it_was_written((committed, note) in any_note(20)) {
        let encoded = encode(committed, &note, BUDGET);
        prop_assert!(encoded.text.is_ascii() && encoded.text.len() <= BUDGET);
        prop_assert_eq!(encoded.rest, []);
        let read = decode(committed, &encoded.text).unwrap();
        let tracker = Tracker::resume(committed, &read.settled);
        prop_assert_eq!(tracker.runs().collect::<Vec<_>>(), note.settled.clone());
        prop_assert_eq!(read, note);
    }

    /// Whatever the budget: it is kept, no try is lost, and what is left out failed no more than what is kept.
    #[test]
    fn the_budget_is_kept((committed, note) in any_note(1_500), budget in prop_oneof![0usize..5_000, Just(BUDGET)]) {
        let encoded = encode(committed, &note, budget);
        prop_assert!(encoded.text.len() <= budget.min(MAX_TEXT));
        let read = decode(committed, &encoded.text).unwrap();
        let failed = |tries: &Tried| u64::from(tries.failures) + u64::from(tries.abandons);
        let least = read.tries.iter().map(failed).min().unwrap_or(u64::MAX);
        prop_assert!(encoded.rest.iter().all(|tries| failed(tries) <= least));
        let mut all = [read.tries.clone(), encoded.rest.clone()].concat();
        all.sort_by_key(|tries| tries.offset);
        prop_assert_eq!(&all, &note.tries);
        prop_assert!(budget <= 2_771 || !encoded.is_cut);
        prop_assert_eq!(encoded.is_cut, read.settled != note.settled);
        prop_assert!(budget >= SHORTEST || encoded.text.is_empty());
        let again = Note { epoch: u64::MAX, overflow: Some(u64::MAX), ..note };
        let again = encode(committed, &again, budget);
        prop_assert_eq!((again.rest, again.is_cut), (encoded.rest, encoded.is_cut));
    }

    #[test]
    fn a_changed_character_makes_a_note_nothing((committed, note) in any_note(20), at in any::<prop::sample::Index>(), with in any::<char>()) {
        let text = encode(committed, &note, BUDGET).text;
        prop_assume!(!text.is_empty());
        let at = at.index(text.len());
        for with in [with, 'A', '_', '1'] {
            let changed: String = text.chars().enumerate().map(|(i, old)| if i == at { with } else { old }).collect();
            prop_assert!(changed == text || decode(committed, &changed).is_none());
        }
        prop_assert_eq!(decode(committed, &text[..at]).filter(|_| at > 0), None);
    }

    /// Bytes that pass the checksum, too: what is read from them is within bounds.
    #[test]
    fn anything_is_read_or_ignored(
        committed in any::<i64>(),
        text in any::<String>(),
        mut bytes in vec(any::<u8>(), 0..3_100),
        flags in 0..=ALL,
    ) {
        prop_assert_eq!(decode(committed, &text).filter(|_| !text.is_empty()), None);
        prop_assert_eq!(More::from_bytes(&bytes), None);
        if let Some(first) = bytes.first_mut() {
            *first = flags;
        }
        if let Some(note) = decode(committed, &sealed(committed, bytes.clone())) {
            let last = committed.saturating_add(SPAN);
            prop_assert!(note.settled.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert!(note.settled.iter().all(|run| committed <= run.start && run.end - 1 <= last));
            prop_assert!(note.tries.iter().all(|tries| (committed..=last).contains(&tries.offset)));
        }
        if let Some(first) = bytes.first_mut() {
            *first = 1 + flags % 2;
        }
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        let _ = More::from_bytes(&bytes);
    }

    #[test]
    fn records_of_more_are_read_as_they_were_written(
        (committed, note) in any_note(1_500),
        is_cut in any::<bool>(),
        at in any::<prop::sample::Index>(),
    ) {
        let Note { settled, tries, epoch, .. } = note;
        let above = is_cut.then_some(Above { epoch, committed, settled });
        let more = More { above, tries };
        let mut bytes = more.to_bytes();
        prop_assert_eq!(More::from_bytes(&bytes), Some(more));
        let at = at.index(bytes.len());
        bytes[at] ^= 0x10;
        prop_assert_eq!(More::from_bytes(&bytes), None);
    }
}
