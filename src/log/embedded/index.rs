//! The sparse index of a segment, in a side file: every so many bytes the offset, time and place of a record.
//!
//! Entry: offset (i64), time (i64), place (u32), CRC32 of these (u32). It is a hint and no more: a search begins at the best
//! entry that is sound and goes on in the segment, so that a missing or damaged index makes it slow and never wrong.

use std::{io, path::Path};

use super::{
    files::Files,
    partition::IndexEntry,
    record::{i64_at, u32_at},
};

const ENTRY: usize = 24;

/// Bytes of a segment for each entry.
pub(crate) fn step(segment_bytes: u64) -> u64 {
    (segment_bytes / 1024).max(4 << 10)
}

/// Adds entries behind the `before` that are there.
pub(crate) fn add(files: &dyn Files, path: &Path, before: u64, entries: &[IndexEntry]) -> io::Result<()> {
    let file = match files.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => files.create(path)?,
        other => other?,
    };
    file.write_at(&encode(entries), before * ENTRY as u64)
}

/// Forgets all behind the first `keep` entries.
pub(crate) fn cut(files: &dyn Files, path: &Path, keep: u64) -> io::Result<()> {
    let file = match files.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if file.len()? > keep * ENTRY as u64 {
        file.set_len(keep * ENTRY as u64)?;
    }
    Ok(())
}

/// Reads the side file's entries, as far as they are sound and in order.
pub(crate) fn read(bytes: &[u8], limit: u64) -> Vec<IndexEntry> {
    let mut entries: Vec<IndexEntry> = Vec::with_capacity(bytes.len() / ENTRY);
    for bytes in bytes.chunks_exact(ENTRY) {
        let place = u64::from(u32_at(bytes, 16));
        let is_sound = crc32fast::hash(&bytes[..20]) == u32_at(bytes, 20)
            && place < limit
            && entries.last().is_none_or(|last| last.place < place);
        if !is_sound {
            break;
        }
        entries.push(IndexEntry {
            offset: i64_at(bytes, 0),
            time: i64_at(bytes, 8),
            place,
        });
    }
    entries
}

pub(crate) fn encode(entries: &[IndexEntry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY);
    for entry in entries {
        let at = bytes.len();
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
        bytes.extend_from_slice(&entry.time.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(entry.place).unwrap_or(u32::MAX).to_le_bytes());
        let crc = crc32fast::hash(&bytes[at..]);
        bytes.extend_from_slice(&crc.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn sound_entries_are_read_and_the_rest_is_not(count in 0..20_u32, cut in any::<prop::sample::Index>()) {
            let entries: Vec<_> = (0..count)
                .map(|n| IndexEntry { offset: i64::from(n) * 7, time: 5, place: u64::from(n) * 100 + 32 })
                .collect();
            let mut bytes = encode(&entries);
            prop_assert_eq!(read(&bytes, u64::MAX), entries.clone());
            if count > 0 {
                let cut = cut.index(bytes.len());
                bytes[cut] ^= 1;
                prop_assert_eq!(read(&bytes, u64::MAX), entries[..cut / ENTRY].to_vec());
            }
        }

        #[test]
        fn any_bytes_are_read(bytes in vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(read(&bytes, 0), vec![]);
        }
    }
}
