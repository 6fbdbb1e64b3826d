//! The record in the internal topic: tries that did not fit into the note.
//!
//! ```text
//! version | lowest offset | tries | CRC-32 of all before, LE
//! ```

use super::{
    CRC, Tried,
    number::{Cursor, put},
    tries,
};

const VERSION: u8 = 1;

/// Tried up to `SPAN` above the lowest offset among them; others are left out.
pub fn tries_to_bytes(tries: &[Tried]) -> Vec<u8> {
    let origin = tries.iter().map(|tries| tries.offset).min().unwrap_or_default();
    let mut bytes = vec![VERSION];
    put(&mut bytes, origin.cast_unsigned());
    tries::write(&mut bytes, origin, &tries::in_order(origin, tries));
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}

/// Tried in order of their offsets; `None` for anything that `tries_to_bytes` did not write.
pub fn tries_from_bytes(bytes: &[u8]) -> Option<Vec<Tried>> {
    let (body, crc) = bytes.split_last_chunk::<CRC>()?;
    let (&version, rest) = body.split_first()?;
    if version != VERSION || crc32fast::hash(body).to_le_bytes() != *crc {
        return None;
    }
    let mut cursor = Cursor::new(rest);
    let origin = cursor.number()?.cast_signed();
    tries::read(&mut cursor, origin)
}
