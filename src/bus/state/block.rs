//! Blocks: sorted keys with what became of them, as bytes; so snapshots lie in the store and spilled runs on the disk.
//!
//! ```text
//! block   "TDGB" version u16 · length unpacked u32 · zstd(entries) · CRC32 of all before u32     (little-endian)
//! entry   key · flags u8 · [offset · time · headers · [value]]                 numbers are varints, bytes have their length first
//! ```
//!
//! Any bytes can be read: they give the entries, or an error.

use super::fold::{Folded, Kept, Kind, Payload};
use crate::{
    error::{Error, Reason, Result},
    log::LogTime,
};

/// Keys with what became of them; sorted by their keys, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Box<[u8]>,
    pub(super) folded: Folded,
}

const MAGIC: &[u8; 4] = b"TDGB";
const VERSION: u16 = 1;
const HEAD: usize = 10;
const CHECKSUM: usize = 4;

const CLEARED: u8 = 1;
const VALUE: u8 = 1 << 1;
const RESOURCE: u8 = 1 << 2;
const OTHER: u8 = 2 << 2;
const DELETION: u8 = 3 << 2;
const KIND: u8 = 3 << 2;

/// Builds a block.
#[derive(Default)]
pub(super) struct BlockWriter {
    entries: Vec<u8>,
    count: u64,
}

impl BlockWriter {
    /// The next key.
    pub(super) fn add(&mut self, entry: &Entry) {
        put_bytes(&mut self.entries, &entry.key);
        let last = entry.folded.last.as_ref();
        let kind = last.map_or(0, |last| match last.kind {
            Kind::Resource => RESOURCE,
            Kind::Other => OTHER,
            Kind::Deletion => DELETION,
        });
        let cleared = if entry.folded.is_cleared { CLEARED } else { 0 };
        let value = last.and_then(|last| last.payload.value());
        let flags = kind | cleared | if value.is_some() { VALUE } else { 0 };
        self.entries.push(flags);
        if let Some(last) = last {
            put_number(&mut self.entries, last.offset.cast_unsigned());
            put_number(&mut self.entries, zigzag(last.time.0));
            put_bytes(&mut self.entries, last.payload.headers());
            value.inspect(|value| put_bytes(&mut self.entries, value));
        }
        self.count += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Entries.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The block, compressed that hard; the writer is empty then.
    pub(super) fn finish(&mut self, level: i32) -> Result<Vec<u8>> {
        let entries = std::mem::take(self).entries;
        let unpacked = u32::try_from(entries.len()).map_err(|_| too_large(entries.len()))?;
        let mut block = Vec::with_capacity(HEAD + entries.len() / 3);
        block.extend_from_slice(MAGIC);
        block.extend_from_slice(&VERSION.to_le_bytes());
        block.extend_from_slice(&unpacked.to_le_bytes());
        zstd::stream::copy_encode(&entries[..], &mut block, level)
            .map_err(|error| Error::new(Reason::Internal, format!("compress a block: {error}")))?;
        let checksum = crc32fast::hash(&block);
        block.extend_from_slice(&checksum.to_le_bytes());
        Ok(block)
    }
}

/// The entries of a block, one after the other.
#[derive(Debug, Default)]
pub(super) struct BlockReader {
    entries: Vec<u8>,
    at: usize,
}

impl BlockReader {
    /// `Err` has what is wrong with it.
    pub(super) fn open(block: &[u8]) -> Result<Self, String> {
        let body = block.len().checked_sub(CHECKSUM).filter(|body| *body >= HEAD);
        let (body, checksum) = block.split_at(body.ok_or("it is cut")?);
        if crc32fast::hash(body).to_le_bytes() != checksum {
            return Err("its checksum is another".to_owned());
        }
        if &body[..4] != MAGIC {
            return Err("it is no block".to_owned());
        }
        let version = u16::from_le_bytes([body[4], body[5]]);
        if version != VERSION {
            return Err(format!(
                "its format is version {version}; this server reads version {VERSION}"
            ));
        }
        let unpacked = u32::from_le_bytes([body[6], body[7], body[8], body[9]]) as usize;
        let entries = unpack(&body[HEAD..], unpacked)?;
        Ok(Self { entries, at: 0 })
    }

    /// The next entry; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Result<Entry, String>> {
        if self.at >= self.entries.len() {
            return None;
        }
        let mut input = Input(&self.entries[self.at..]);
        let entry = input.entry();
        // Behind an entry that makes no sense there is nothing to be read.
        let left = entry.as_ref().map_or(0, |_| input.0.len());
        self.at = self.entries.len() - left;
        Some(entry.ok_or_else(|| "an entry in it makes no sense".to_owned()))
    }
}

/// Grows with what is really there, whatever the block says.
fn unpack(packed: &[u8], unpacked: usize) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let failed = |error: std::io::Error| format!("it cannot be unpacked: {error}");
    let decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(failed)?;
    let mut entries = Vec::new();
    let limit = unpacked as u64 + 1;
    decoder.take(limit).read_to_end(&mut entries).map_err(failed)?;
    match entries.len() == unpacked {
        true => Ok(entries),
        false => Err("its length is another".to_owned()),
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn entry(&mut self) -> Option<Entry> {
        let key = self.bytes()?.into();
        let (flags, rest) = self.0.split_first()?;
        self.0 = rest;
        let kind = match flags & KIND {
            RESOURCE => Some(Kind::Resource),
            OTHER => Some(Kind::Other),
            DELETION => Some(Kind::Deletion),
            _ => None,
        };
        let is_cleared = flags & CLEARED != 0;
        let last = match kind {
            None => None,
            Some(kind) => Some(Kept {
                kind,
                offset: i64::try_from(self.number()?).ok()?,
                time: LogTime(unzigzag(self.number()?)),
                payload: {
                    let headers = self.bytes()?;
                    let value = if flags & VALUE != 0 { Some(self.bytes()?) } else { None };
                    Payload::new(headers, value)
                },
            }),
        };
        Some(Entry {
            key,
            folded: Folded { is_cleared, last },
        })
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn too_large(bytes: usize) -> Error {
    Error::new(Reason::Internal, format!("write a block: it has {bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    fn any_folded() -> impl Strategy<Value = Folded> {
        let kind = prop_oneof![Just(Kind::Resource), Just(Kind::Other), Just(Kind::Deletion)];
        let kept = (
            kind,
            0..i64::MAX,
            any::<i64>(),
            vec(any::<u8>(), 0..20),
            option::of(vec(any::<u8>(), 0..20)),
        );
        let kept = kept.prop_map(|(kind, offset, time, headers, value)| Kept {
            kind,
            offset,
            time: LogTime(time),
            payload: Payload::new(&headers, value.as_deref()),
        });
        (any::<bool>(), option::of(kept)).prop_map(|(is_cleared, last)| Folded { is_cleared, last })
    }

    fn any_entries() -> impl Strategy<Value = Vec<Entry>> {
        let entry = (vec(any::<u8>(), 0..10), any_folded());
        vec(
            entry.prop_map(|(key, folded)| Entry {
                key: key.into(),
                folded,
            }),
            0..20,
        )
    }

    fn block_of(entries: &[Entry]) -> Vec<u8> {
        let mut writer = BlockWriter::default();
        entries.iter().for_each(|entry| writer.add(entry));
        writer.finish(1).expect("a block")
    }

    fn read(block: &[u8]) -> Result<Vec<Entry>, String> {
        let mut reader = BlockReader::open(block)?;
        std::iter::from_fn(|| reader.next()).collect()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(entries in any_entries()) {
            prop_assert_eq!(read(&block_of(&entries)), Ok(entries));
        }

        #[test]
        fn damage_is_found(entries in any_entries(), at in any::<prop::sample::Index>(), bit in 0..8, cut in any::<prop::sample::Index>()) {
            let block = block_of(&entries);
            let mut flipped = block.clone();
            flipped[at.index(block.len())] ^= 1_u8 << bit;
            prop_assert!(read(&flipped).is_err());
            prop_assert!(read(&block[..cut.index(block.len())]).is_err());
        }

        #[test]
        fn any_bytes_give_entries_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            // Behind the checksum too.
            let mut sealed = b"TDGB\x01\x00\x40\x00\x00\x00".to_vec();
            sealed.extend(zstd::encode_all(&bytes[..], 1).expect("compressed"));
            sealed.extend(crc32fast::hash(&sealed).to_le_bytes());
            let _ = read(&sealed);
            let mut reader = BlockReader { entries: bytes, at: 0 };
            while let Some(entry) = reader.next() {
                if entry.is_err() {
                    prop_assert!(reader.next().is_none());
                }
            }
        }
    }

    #[test]
    fn a_block_that_claims_too_little_or_another_version_is_refused() {
        let mut claims_little = b"TDGB\x01\x00\x05\x00\x00\x00".to_vec();
        claims_little.extend(zstd::encode_all(&[0; 1 << 20][..], 1).expect("compressed"));
        claims_little.extend(crc32fast::hash(&claims_little).to_le_bytes());
        let mut newer = b"TDGB\x02\x00\x00\x00\x00\x00".to_vec();
        newer.extend(crc32fast::hash(&newer).to_le_bytes());
        for (block, text) in [(claims_little, "length"), (newer, "version 2")] {
            let error = read(&block).expect_err("refused");
            assert!(error.contains(text), "{error}");
        }
    }
}
