//! The record in the internal topic: what did not fit into the note.
//!
//! ```text
//! 1 | lowest offset | tries | CRC-32 of all before, LE
//! 2 | committed offset | epoch | form of what is settled | settled, as in a note | tries | CRC-32 of all before, LE
//! ```

use std::ops::Range;

use super::{
    CRC, Tried,
    number::{Cursor, put},
    settled::{self, Form},
    tries,
};

const TRIES: u8 = 1;
const ALL: u8 = 2;

const NOTHING: u64 = 0;
const RUNS: u64 = 1;
const BITMAP: u64 = 2;

/// What did not fit into a note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct More {
    /// `None` = what is settled is in the note.
    pub above: Option<Above>,
    /// In order of their offsets; others than those of the note.
    pub tries: Vec<Tried>,
}

/// All that is settled above the committed offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Above {
    /// That of the note.
    pub epoch: u64,
    /// The offset that was committed with the note.
    pub committed: i64,
    /// As in a note.
    pub settled: Vec<Range<i64>>,
}

impl More {
    /// Within the bounds of a note; what is not is left out. Tries alone may lie anywhere, up to `SPAN` apart.
    pub fn to_bytes(&self) -> Vec<u8> {
        let lowest = || self.tries.iter().map(|tries| tries.offset).min().unwrap_or_default();
        let origin = self.above.as_ref().map_or_else(lowest, |above| above.committed);
        let mut bytes = vec![if self.above.is_some() { ALL } else { TRIES }];
        put(&mut bytes, origin.cast_unsigned());
        if let Some(above) = &self.above {
            put(&mut bytes, above.epoch);
            let settled = settled::write(origin, &above.settled, usize::MAX);
            let form = settled.form.map_or(NOTHING, |form| match form {
                Form::Runs => RUNS,
                Form::Bitmap => BITMAP,
            });
            put(&mut bytes, form);
            bytes.extend(settled.bytes);
        }
        tries::write(&mut bytes, origin, &tries::in_order(origin, &self.tries));
        let crc = crc32fast::hash(&bytes);
        bytes.extend(crc.to_le_bytes());
        bytes
    }

    /// `None` for anything that `to_bytes` did not write.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.split_last_chunk::<CRC>()?;
        let (&version, rest) = body.split_first()?;
        if !matches!(version, TRIES | ALL) || crc32fast::hash(body).to_le_bytes() != *crc {
            return None;
        }
        let mut cursor = Cursor::new(rest);
        let origin = cursor.number()?.cast_signed();
        let above = match version {
            ALL => Some(Above {
                epoch: cursor.number()?,
                committed: origin,
                settled: read_settled(&mut cursor, origin)?,
            }),
            _ => None,
        };
        let tries = tries::read(&mut cursor, origin)?;
        Some(Self { above, tries })
    }
}

fn read_settled(cursor: &mut Cursor, committed: i64) -> Option<Vec<Range<i64>>> {
    match cursor.number()? {
        NOTHING => Some(Vec::new()),
        RUNS => settled::read(cursor, committed, Form::Runs),
        BITMAP => settled::read(cursor, committed, Form::Bitmap),
        _ => None,
    }
}
