//! The codec of the journal: a header, then frames; a frame holds records of one partition that were made durable together.
//!
//! Journal header: `TIDINGSJ`, version (u32), CRC32 of what follows (u32), number (u64), nonce (u64).
//! Frame: `TFRM`, CRC32 of what follows and of the nonce (u32), its own place (u64), the journal's length known durable when
//! it was written (u64), topic (u32), partition (u32), first offset (i64), bytes of records (u32), count (u32), the records.
//! The nonce is random, so no client can write a record that looks like a frame.

use super::record::{self, Bad, Head, i64_at, u32_at, u64_at};

/// Where the first frame lies.
pub(crate) const JOURNAL_HEADER: usize = 32;
/// Bytes of a frame before its records.
pub(crate) const HEADER: usize = 48;
/// A frame is closed when it has this many bytes of records; one record more may lie above it.
pub(crate) const FULL: usize = 1 << 20;

const VERSION: u32 = 1;
const JOURNAL_MAGIC: &[u8; 8] = b"TIDINGSJ";
const MAGIC: &[u8; 4] = b"TFRM";
const MAX_BYTES: usize = FULL + record::MAX_BYTES + record::OVERHEAD;

/// Which journal a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JournalHeader {
    pub(crate) number: u64,
    pub(crate) nonce: u64,
}

impl JournalHeader {
    pub(crate) fn encode(&self) -> [u8; JOURNAL_HEADER] {
        let mut bytes = [0; JOURNAL_HEADER];
        bytes[..8].copy_from_slice(JOURNAL_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..].copy_from_slice(&self.nonce.to_le_bytes());
        let crc = crc32fast::hash(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let Some(bytes) = bytes.get(..JOURNAL_HEADER) else {
            return Err("the journal's header is cut");
        };
        if &bytes[..8] != JOURNAL_MAGIC {
            return Err("this is no journal");
        }
        if u32_at(bytes, 8) != VERSION {
            return Err("the journal is of another version");
        }
        if crc32fast::hash(&bytes[16..]) != u32_at(bytes, 12) {
            return Err("the journal header's checksum does not match");
        }
        Ok(Self {
            number: u64_at(bytes, 16),
            nonce: u64_at(bytes, 24),
        })
    }
}

/// A frame's fixed fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) position: u64,
    pub(crate) durable: u64,
    pub(crate) topic: u32,
    pub(crate) partition: i32,
    pub(crate) base: i64,
    pub(crate) len: u32,
    pub(crate) count: u32,
}

impl Frame {
    pub(crate) fn encode(&self, nonce: u64) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.position.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.durable.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.topic.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.partition.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.base.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.len.to_le_bytes());
        bytes[44..].copy_from_slice(&self.count.to_le_bytes());
        let crc = checksum(&bytes, nonce);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of the frame that lies at `position`.
    pub(crate) fn decode(bytes: &[u8], position: u64, nonce: u64) -> Result<Self, Bad> {
        let Some(bytes) = bytes.get(..HEADER) else {
            return Err(Bad::Short(HEADER));
        };
        if &bytes[..4] != MAGIC {
            return Err(Bad::Wrong("there is no frame"));
        }
        if checksum(bytes, nonce) != u32_at(bytes, 4) {
            return Err(Bad::Wrong("a frame header's checksum does not match"));
        }
        let frame = Self {
            position: u64_at(bytes, 8),
            durable: u64_at(bytes, 16),
            topic: u32_at(bytes, 24),
            partition: u32_at(bytes, 28) as i32,
            base: i64_at(bytes, 32),
            len: u32_at(bytes, 40),
            count: u32_at(bytes, 44),
        };
        if frame.position != position || frame.len as usize > MAX_BYTES || frame.base < 0 {
            return Err(Bad::Wrong("a frame's fields make no sense"));
        }
        Ok(frame)
    }

    /// Checks the frame's records: whole, in order, as many as said.
    pub(crate) fn check_records(&self, bytes: &[u8]) -> Result<(), Bad> {
        let Some(mut rest) = bytes.get(..self.len as usize) else {
            return Err(Bad::Short(self.len as usize));
        };
        for offset in self.base..self.base.saturating_add(i64::from(self.count)) {
            let head = Head::check(rest).map_err(|bad| match bad {
                Bad::Short(_) => Bad::Wrong("a record is cut"),
                wrong @ Bad::Wrong(_) => wrong,
            })?;
            if head.offset != offset {
                return Err(Bad::Wrong("a record's offset is out of order"));
            }
            rest = &rest[head.len..];
        }
        match rest {
            [] => Ok(()),
            _ => Err(Bad::Wrong("a frame is longer than its records")),
        }
    }

    /// Where the next frame lies.
    pub(crate) fn end(&self) -> u64 {
        self.position + HEADER as u64 + u64::from(self.len)
    }
}

fn checksum(header: &[u8], nonce: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&nonce.to_le_bytes());
    hasher.update(&header[8..HEADER]);
    hasher.finalize()
}

/// Looks in `bytes`, which lie at `position`, for a frame that was written when the journal was known to be durable beyond
/// `bad`: where there is one, what lies at `bad` is damage and no torn tail.
pub(crate) fn find_later(bytes: &[u8], position: u64, nonce: u64, bad: u64) -> Option<u64> {
    let mut at = 0;
    while at + HEADER <= bytes.len() {
        let page = &bytes[at..bytes.len().min(at + 4096)];
        if page.iter().all(|byte| *byte == 0) {
            at += page.len();
            continue;
        }
        for start in at..(at + page.len()).min(bytes.len() - HEADER + 1) {
            if bytes[start] != MAGIC[0] {
                continue;
            }
            let place = position + start as u64;
            if let Ok(frame) = Frame::decode(&bytes[start..], place, nonce)
                && frame.durable > bad
            {
                return Some(place);
            }
        }
        at += page.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::log::embedded::record::Parts;

    fn frame(position: u64, durable: u64, count: u32) -> (Frame, Vec<u8>) {
        let mut records = Vec::new();
        for offset in 0..i64::from(count) {
            Parts {
                key: None,
                headers: b"",
                value: Some(b"value"),
            }
            .encode(40 + offset, 1, &mut records);
        }
        let len = records.len() as u32;
        (
            Frame {
                position,
                durable,
                topic: 3,
                partition: 4,
                base: 40,
                len,
                count,
            },
            records,
        )
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read(position in any::<u32>(), nonce in any::<u64>(), count in 0..5_u32) {
            let (frame, records) = frame(u64::from(position), 9, count);
            let bytes = frame.encode(nonce);
            prop_assert_eq!(Frame::decode(&bytes, u64::from(position), nonce), Ok(frame));
            prop_assert_eq!(frame.check_records(&records), Ok(()));
            prop_assert!(Frame::decode(&bytes, u64::from(position), nonce ^ 1).is_err());
            prop_assert!(Frame::decode(&bytes, u64::from(position) + 1, nonce).is_err());
        }

        #[test]
        fn any_bytes_give_a_frame_or_a_reason(bytes in vec(any::<u8>(), 0..200)) {
            let _ = JournalHeader::decode(&bytes);
            let _ = Frame::decode(&bytes, 0, 0);
            let (frame, _) = frame(0, 0, 3);
            prop_assert!(frame.check_records(&bytes).is_err());
            prop_assert_eq!(find_later(&bytes, 0, 1, 0), None);
        }

        #[test]
        fn a_later_frame_is_found_wherever_it_lies(before in 0..10_000_usize, after in 0..100_usize, bad in 0..20_u64) {
            let (frame, _) = frame(1000 + before as u64, 10, 1);
            let mut bytes = vec![0; before];
            bytes.extend(frame.encode(7));
            bytes.extend(vec![0; after]);
            prop_assert_eq!(find_later(&bytes, 1000, 7, bad), (bad < 10).then_some(1000 + before as u64));
        }
    }

    #[test]
    fn a_journal_header_is_checked() {
        let header = JournalHeader { number: 5, nonce: 6 };
        let mut bytes = header.encode();
        assert_eq!(JournalHeader::decode(&bytes), Ok(header));
        bytes[20] ^= 1;
        assert!(JournalHeader::decode(&bytes).is_err());
    }
}
