//! The note of a commit: what a group remembers of a partition beside its committed offset.
//!
//! Anybody may write notes: another program its own, a broker a damaged one. So a note is ours only if its checksum says so,
//! which covers the committed offset too: a note that was copied to another offset means nothing.
//!
//! ```text
//! "t1." base64url( flags | epoch? | overflow? | settled? | tries? | CRC-32 of the committed offset and all before, LE )
//! settled: number of runs, then gap and length - 1 of each; or the number of bytes of a bitmap, then the bitmap
//! ```
//!
//! Numbers are varints. The note that says nothing is the empty string.

mod number;
mod record;
mod settled;
mod tries;

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use self::{
    number::{Cursor, put},
    settled::Form,
};
use crate::log::LogTime;

pub use record::{Above, More};

/// No note that says anything may have to be shorter.
pub const SHORTEST: usize = 37;

const TAG: &str = "t1.";
/// No log takes more.
const MAX_TEXT: usize = 4_096;
const CRC: usize = 4;
/// Flags, two numbers of ten bytes at most, the checksum.
const FIXED: usize = 1 + 10 + 10 + CRC;

const EPOCH: u8 = 1;
const OVERFLOW: u8 = 2;
const RUNS: u8 = 4;
const BITMAP: u8 = 8;
const TRIES: u8 = 16;
const ALL: u8 = EPOCH | OVERFLOW | RUNS | BITMAP | TRIES;

/// What a group remembers of a partition beside its committed offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// Runs of offsets that are settled: in order, apart from each other, from the committed offset up to `SPAN` above it.
    pub settled: Vec<Range<i64>>,
    /// In order of their offsets, which are within the same bounds.
    pub tries: Vec<Tried>,
    pub epoch: u64,
    /// The version of the record in the internal topic that holds what is not here.
    pub overflow: Option<u64>,
}

/// What became of an event that is not settled yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    pub offset: i64,
    /// How often it was sent.
    pub attempt: u32,
    /// How often it was nacked.
    pub failures: u32,
    /// How often it was given up without an answer.
    pub abandons: u32,
    /// `LogTime(0)` if it did not fail yet.
    pub first_failure: LogTime,
}

/// A note as text, and what is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    pub text: String,
    /// Tried that did not fit, in order of their offsets: those that failed least.
    pub rest: Vec<Tried>,
    /// Some of what is settled did not fit either.
    pub is_cut: bool,
}

/// Writes a note in at most `budget` ASCII characters. What fits depends on neither `epoch` nor `overflow`: so one may encode,
/// put the rest elsewhere, and encode again with the version it got there.
///
/// What is out of the note's bounds is left out; so are settled offsets from the highest down where the budget is too small
/// for a bitmap (2,771 characters are enough for any), and everything where it is below `SHORTEST`. The result says so.
pub fn encode(committed: i64, note: &Note, budget: usize) -> Encoded {
    let tries = tries::in_order(committed, &note.tries);
    let characters = budget.min(MAX_TEXT).saturating_sub(TAG.len());
    let Some(room) = (characters * 3 / 4).checked_sub(FIXED) else {
        let (text, is_cut) = (String::new(), !note.settled.is_empty());
        return Encoded {
            text,
            rest: tries,
            is_cut,
        };
    };
    let settled = settled::write(committed, &note.settled, room);
    let (kept, rest) = tries::fit(committed, tries, room - settled.bytes.len());

    let flag = |flag: u8, is_there: bool| if is_there { flag } else { 0 };
    let form = settled.form.map_or(0, |form| match form {
        Form::Runs => RUNS,
        Form::Bitmap => BITMAP,
    });
    let flags = flag(EPOCH, note.epoch != 0) | flag(OVERFLOW, note.overflow.is_some()) | flag(TRIES, !kept.is_empty());
    let mut bytes = vec![flags | form];
    if note.epoch != 0 {
        put(&mut bytes, note.epoch);
    }
    if let Some(overflow) = note.overflow {
        put(&mut bytes, overflow);
    }
    bytes.extend(settled.bytes);
    if !kept.is_empty() {
        tries::write(&mut bytes, committed, &kept);
    }
    let text = if bytes == [0] {
        String::new()
    } else {
        sealed(committed, bytes)
    };
    let is_cut = settled.is_cut;
    Encoded { text, rest, is_cut }
}

/// Reads a note that was committed with this offset; `None` if it is not one of ours.
pub fn decode(committed: i64, text: &str) -> Option<Note> {
    if text.is_empty() {
        return Some(Note::default());
    }
    let bytes = unsealed(committed, text)?;
    let (&flags, rest) = bytes.split_first()?;
    let has = |flag: u8| flags & flag != 0;
    if flags & !ALL != 0 || (has(RUNS) && has(BITMAP)) {
        return None;
    }
    let mut cursor = Cursor::new(rest);
    let note = Note {
        epoch: if has(EPOCH) { cursor.number()? } else { 0 },
        overflow: if has(OVERFLOW) { Some(cursor.number()?) } else { None },
        settled: match flags & (RUNS | BITMAP) {
            RUNS => settled::read(&mut cursor, committed, Form::Runs)?,
            BITMAP => settled::read(&mut cursor, committed, Form::Bitmap)?,
            _ => Vec::new(),
        },
        tries: if has(TRIES) {
            tries::read(&mut cursor, committed)?
        } else {
            Vec::new()
        },
    };
    cursor.is_empty().then_some(note)
}

fn sealed(committed: i64, mut bytes: Vec<u8>) -> String {
    let crc = checksum(committed, &bytes);
    bytes.extend(crc.to_le_bytes());
    let mut text = TAG.to_owned();
    URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
    text
}

fn unsealed(committed: i64, text: &str) -> Option<Vec<u8>> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let mut bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(TAG)?).ok()?;
    let (body, crc) = bytes.split_last_chunk::<CRC>()?;
    let length = body.len();
    (checksum(committed, body).to_le_bytes() == *crc).then(|| {
        bytes.truncate(length);
        bytes
    })
}

fn checksum(committed: i64, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&committed.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
#[path = "note/tests.rs"]
mod tests;
