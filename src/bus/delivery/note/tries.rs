//! Tried as bytes: few for an event that was only sent once, more for those that failed.
//!
//! ```text
//! first of all times of failures, then for each event: gap to the one before × 4 + kind, then by kind
//!   0 sent once                nothing
//!   1 without a failure's time attempt, failures, abandons
//!   2 with it                  attempt, failures, abandons, milliseconds since the first of all
//! ```

use std::cmp::Reverse;

use super::{
    Tried,
    number::{Cursor, put},
};
use crate::{bus::delivery::tracker::SPAN, log::LogTime};

const ONCE: u64 = 0;
const UNTIMED: u64 = 1;
const TIMED: u64 = 2;
const NEVER: LogTime = LogTime(0);

/// Tried from `origin` up to `SPAN` above it by their offsets, each once; others are left out.
pub(super) fn in_order(origin: i64, tries: &[Tried]) -> Vec<Tried> {
    let bounds = origin..=origin.saturating_add(SPAN);
    let mut tries: Vec<Tried> = tries
        .iter()
        .filter(|tries| bounds.contains(&tries.offset))
        .copied()
        .collect();
    tries.sort_by_key(|tries| tries.offset);
    tries.dedup_by_key(|tries| tries.offset);
    tries
}

/// Which of these fit into so many bytes, those that failed most first, and the rest.
pub(super) fn fit(origin: i64, tries: Vec<Tried>, room: usize) -> (Vec<Tried>, Vec<Tried>) {
    let mut bytes = Vec::new();
    let mut fits = |tries: &[Tried]| {
        bytes.clear();
        write(&mut bytes, origin, tries);
        bytes.len() <= room
    };
    if fits(&tries) {
        return (tries, Vec::new());
    }
    let mut ranks: Vec<_> = tries.iter().map(rank).collect();
    ranks.sort_unstable();
    ranks.truncate(room);
    // The more there are the longer they get, so those that fit are the first of the ranks.
    let count = ranks.partition_point(|last| {
        let kept: Vec<Tried> = tries.iter().filter(|tries| rank(tries) <= *last).copied().collect();
        fits(&kept)
    });
    let last = count.checked_sub(1).and_then(|last| ranks.get(last));
    tries
        .into_iter()
        .partition(|tries| last.is_some_and(|last| rank(tries) <= *last))
}

/// `tries` as `in_order` gives them.
pub(super) fn write(into: &mut Vec<u8>, origin: i64, tries: &[Tried]) {
    let times = tries.iter().map(|tries| tries.first_failure);
    let first = times.filter(|time| *time != NEVER).min().unwrap_or(NEVER);
    put(into, first.0.cast_unsigned());
    let mut next = origin;
    for tries in tries {
        let kind = kind(tries);
        put(into, next.abs_diff(tries.offset) << 2 | kind);
        next = tries.offset.saturating_add(1);
        if kind == ONCE {
            continue;
        }
        for count in [tries.attempt, tries.failures, tries.abandons] {
            put(into, u64::from(count));
        }
        if kind == TIMED {
            put(into, tries.first_failure.0.wrapping_sub(first.0).cast_unsigned());
        }
    }
}

/// All that is left.
pub(super) fn read(cursor: &mut Cursor, origin: i64) -> Option<Vec<Tried>> {
    let first = cursor.number()?.cast_signed();
    let last = origin.saturating_add(SPAN);
    let mut all = Vec::new();
    let mut next = origin;
    while !cursor.is_empty() {
        let head = cursor.number()?;
        let offset = next.checked_add_unsigned(head >> 2).filter(|offset| *offset <= last)?;
        next = offset.saturating_add(1);
        let mut tries = Tried {
            offset,
            attempt: 1,
            failures: 0,
            abandons: 0,
            first_failure: NEVER,
        };
        match head & 3 {
            ONCE => {}
            kind @ (UNTIMED | TIMED) => {
                (tries.attempt, tries.failures, tries.abandons) = (cursor.small()?, cursor.small()?, cursor.small()?);
                if kind == TIMED {
                    tries.first_failure = LogTime(first.wrapping_add(cursor.number()?.cast_signed()));
                }
            }
            _ => return None,
        }
        all.push(tries);
    }
    Some(all)
}

/// The lower the sooner it is in the note.
fn rank(tries: &Tried) -> (Reverse<u64>, i64) {
    let failed = u64::from(tries.failures) + u64::from(tries.abandons);
    (Reverse(failed), tries.offset)
}

fn kind(tries: &Tried) -> u64 {
    match tries {
        Tried { first_failure, .. } if *first_failure != NEVER => TIMED,
        Tried {
            attempt: 1,
            failures: 0,
            abandons: 0,
            ..
        } => ONCE,
        _ => UNTIMED,
    }
}
