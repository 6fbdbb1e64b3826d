//! The codec of one record: the same bytes in the journal, in the segment and in memory.
//!
//! Layout, little-endian: length of the whole (u32), CRC32 of all that follows it (u32), offset (i64), time (i64), key length
//! plus one (u32; 0 = null), headers length (u32), value length plus one (u32; 0 = null), key, headers, value.
//! Any bytes give a record or a reason why they are none.

use bytes::Bytes;

use crate::log::{Headers, LogTime, NewRecord, Record};

/// Bytes of a record besides its key, headers and value.
pub(crate) const OVERHEAD: usize = 36;

/// No record is larger; what claims to be is damage.
pub(crate) const MAX_BYTES: usize = 32 << 20;

/// What is to be encoded.
#[derive(Clone, Copy)]
pub(crate) struct Parts<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) headers: &'a [u8],
    pub(crate) value: Option<&'a [u8]>,
}

impl<'a> From<&'a NewRecord> for Parts<'a> {
    fn from(record: &'a NewRecord) -> Self {
        Self {
            key: record.key.as_deref(),
            headers: record.headers.encoded(),
            value: record.value.as_deref(),
        }
    }
}

impl Parts<'_> {
    pub(crate) fn encoded_len(&self) -> usize {
        OVERHEAD + self.key.map_or(0, <[u8]>::len) + self.headers.len() + self.value.map_or(0, <[u8]>::len)
    }

    /// Appends the record; its parts are within `MAX_BYTES`, so every length fits its field.
    pub(crate) fn encode(&self, offset: i64, time: i64, into: &mut Vec<u8>) {
        let at = into.len();
        into.extend_from_slice(&(self.encoded_len() as u32).to_le_bytes());
        into.extend_from_slice(&[0; 4]);
        into.extend_from_slice(&offset.to_le_bytes());
        into.extend_from_slice(&time.to_le_bytes());
        into.extend_from_slice(&plus_one(self.key).to_le_bytes());
        into.extend_from_slice(&(self.headers.len() as u32).to_le_bytes());
        into.extend_from_slice(&plus_one(self.value).to_le_bytes());
        into.extend_from_slice(self.key.unwrap_or_default());
        into.extend_from_slice(self.headers);
        into.extend_from_slice(self.value.unwrap_or_default());
        let crc = crc32fast::hash(&into[at + 8..]);
        into[at + 4..at + 8].copy_from_slice(&crc.to_le_bytes());
    }
}

fn plus_one(bytes: Option<&[u8]>) -> u32 {
    bytes.map_or(0, |bytes| bytes.len() as u32 + 1)
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// They end before the record does, which is this long (or at least this long).
    Short(usize),
    /// They are something else.
    Wrong(&'static str),
}

/// A record's fixed fields; its bytes are the first `len` of those it was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) len: usize,
    pub(crate) offset: i64,
    pub(crate) time: i64,
    crc: u32,
    key: u32,
    headers: u32,
    value: u32,
}

impl Head {
    /// Reads the fields of the record at the start of `bytes`, which need not hold all of it.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Bad> {
        let Some(fixed) = bytes.get(..OVERHEAD) else {
            return Err(Bad::Short(OVERHEAD));
        };
        let head = Self {
            len: u32_at(fixed, 0) as usize,
            crc: u32_at(fixed, 4),
            offset: i64_at(fixed, 8),
            time: i64_at(fixed, 16),
            key: u32_at(fixed, 24),
            headers: u32_at(fixed, 28),
            value: u32_at(fixed, 32),
        };
        let parts =
            u64::from(head.key.saturating_sub(1)) + u64::from(head.headers) + u64::from(head.value.saturating_sub(1));
        if head.len > MAX_BYTES + OVERHEAD || head.len as u64 != OVERHEAD as u64 + parts {
            return Err(Bad::Wrong("a record's lengths do not agree"));
        }
        if head.offset < 0 {
            return Err(Bad::Wrong("a record's offset is negative"));
        }
        Ok(head)
    }

    /// Reads the record at the start of `bytes` and checks all of it.
    pub(crate) fn check(bytes: &[u8]) -> Result<Self, Bad> {
        let head = Self::read(bytes)?;
        let Some(whole) = bytes.get(8..head.len) else {
            return Err(Bad::Short(head.len));
        };
        if crc32fast::hash(whole) != head.crc {
            return Err(Bad::Wrong("a record's checksum does not match"));
        }
        Ok(head)
    }

    /// The record that lies at `at` in `buffer`, whose bytes it shares.
    pub(crate) fn record(&self, buffer: &Bytes, at: usize) -> Record {
        let key_at = at + OVERHEAD;
        let headers_at = key_at + self.key.saturating_sub(1) as usize;
        let value_at = headers_at + self.headers as usize;
        Record {
            offset: self.offset,
            time: LogTime(self.time),
            key: (self.key > 0).then(|| buffer.slice(key_at..headers_at)),
            value: (self.value > 0).then(|| buffer.slice(value_at..at + self.len)),
            headers: match self.headers {
                0 => Headers::default(),
                _ => Headers::from_encoded(buffer.slice(headers_at..value_at)),
            },
        }
    }

    /// Whether the value is null.
    pub(crate) fn is_tombstone(&self) -> bool {
        self.value == 0
    }

    /// The key, of the record at the start of `bytes`.
    pub(crate) fn key<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        (self.key > 0).then(|| &bytes[OVERHEAD..OVERHEAD + self.key as usize - 1])
    }

    /// The value, of the record at the start of `bytes`.
    pub(crate) fn value<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let at = OVERHEAD + self.key.saturating_sub(1) as usize + self.headers as usize;
        (self.value > 0).then(|| &bytes[at..self.len])
    }
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

pub(crate) fn i64_at(bytes: &[u8], at: usize) -> i64 {
    u64_at(bytes, at) as i64
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, option, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_read(
            key in option::of(vec(any::<u8>(), 0..30)), value in option::of(vec(any::<u8>(), 0..60)),
            headers in vec(any::<u8>(), 0..30), offset in 0..i64::MAX, time in any::<i64>(), before in 0..9_usize,
        ) {
            let parts = Parts { key: key.as_deref(), headers: &headers, value: value.as_deref() };
            let mut bytes = vec![7; before];
            parts.encode(offset, time, &mut bytes);
            prop_assert_eq!(bytes.len(), before + parts.encoded_len());
            let head = Head::check(&bytes[before..]).unwrap();
            prop_assert_eq!(head.key(&bytes[before..]), key.as_deref());
            prop_assert_eq!(head.value(&bytes[before..]), value.as_deref());
            prop_assert_eq!(head.is_tombstone(), value.is_none());
            let record = head.record(&bytes.into(), before);
            prop_assert_eq!((record.offset, record.time.0), (offset, time));
            prop_assert_eq!((record.key.as_deref(), record.value.as_deref()), (key.as_deref(), value.as_deref()));
            prop_assert_eq!(&record.headers.encoded()[..], &headers[..]);
        }

        #[test]
        fn any_bytes_give_a_record_or_a_reason(bytes in vec(any::<u8>(), 0..100)) {
            let _ = Head::check(&bytes);
        }

        #[test]
        fn no_flipped_bit_passes(value in vec(any::<u8>(), 0..40), bit in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            Parts { key: Some(b"key"), headers: b"", value: Some(&value) }.encode(1, 2, &mut bytes);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Head::check(&bytes).is_err());
        }

        #[test]
        fn a_cut_record_is_short(value in vec(any::<u8>(), 0..40), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            Parts { key: None, headers: b"h", value: Some(&value) }.encode(1, 2, &mut bytes);
            let cut = cut.index(bytes.len());
            prop_assert!(matches!(Head::check(&bytes[..cut]), Err(Bad::Short(len)) if len > cut));
        }
    }
}
