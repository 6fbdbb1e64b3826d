//! Settled offsets as bytes: runs or a bitmap, whichever is shorter.

use std::ops::Range;

use super::number::{Cursor, put};
use crate::bus::delivery::{bits::Bits, tracker::SPAN};

/// A bitmap's length never takes more.
const LENGTH: usize = 2;
/// A bit for the committed offset and each one up to `SPAN` above it.
const MAX_BITMAP: i64 = SPAN / 8 + 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Runs,
    Bitmap,
}

/// Settled offsets as bytes.
#[derive(Default)]
pub(super) struct Written {
    /// `None` if nothing is settled.
    pub(super) form: Option<Form>,
    pub(super) bytes: Vec<u8>,
    /// Some did not fit even into a bitmap.
    pub(super) is_cut: bool,
}

/// What does not fit even into a bitmap is cut off, from the highest offset down.
pub(super) fn write(committed: i64, runs: &[Range<i64>], room: usize) -> Written {
    let end = end(committed);
    let mut bits = Bits::new(committed);
    for run in runs {
        bits.fill(run.start.max(committed)..run.end.min(end));
    }
    let mut bitmap = bits.to_bytes();
    if bitmap.is_empty() {
        return Written::default();
    }
    let runs = write_runs(&bits, committed);
    if runs.len() < bitmap.len() + LENGTH && runs.len() <= room {
        let form = Some(Form::Runs);
        let is_cut = false;
        return Written {
            form,
            bytes: runs,
            is_cut,
        };
    }
    let whole = bitmap.len();
    bitmap.truncate(room.saturating_sub(LENGTH));
    let mut bytes = Vec::new();
    if !bitmap.is_empty() {
        put(&mut bytes, bitmap.len() as u64);
        bytes.extend(&bitmap);
    }
    Written {
        form: (!bitmap.is_empty()).then_some(Form::Bitmap),
        is_cut: bitmap.len() < whole,
        bytes,
    }
}

pub(super) fn read(cursor: &mut Cursor, committed: i64, form: Form) -> Option<Vec<Range<i64>>> {
    let bits = match form {
        Form::Runs => read_runs(cursor, committed)?,
        Form::Bitmap => {
            let length = i64::try_from(cursor.number()?)
                .ok()
                .filter(|length| *length <= MAX_BITMAP)?;
            Bits::from_bytes(committed, cursor.take(usize::try_from(length).ok()?)?)
        }
    };
    let runs: Vec<_> = bits.runs(committed).collect();
    runs.last()
        .is_none_or(|last| last.end <= end(committed))
        .then_some(runs)
}

fn write_runs(bits: &Bits, committed: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, bits.runs(committed).count() as u64);
    let mut from = committed;
    for run in bits.runs(committed) {
        put(&mut bytes, from.abs_diff(run.start));
        put(&mut bytes, run.start.abs_diff(run.end - 1));
        from = run.end;
    }
    bytes
}

fn read_runs(cursor: &mut Cursor, committed: i64) -> Option<Bits> {
    let (mut from, end) = (committed, end(committed));
    let mut bits = Bits::new(committed);
    for _ in 0..cursor.number()? {
        let start = from.checked_add_unsigned(cursor.number()?)?;
        from = start.checked_add_unsigned(cursor.number()?)?.checked_add(1)?;
        if from > end {
            return None;
        }
        bits.fill(start..from);
    }
    Some(bits)
}

/// Behind the last offset that a note may settle.
fn end(committed: i64) -> i64 {
    committed.saturating_add(SPAN + 1)
}
