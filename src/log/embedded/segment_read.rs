//! Reading a segment's file: found through its index, in pieces of at most 1 MiB, each record checked. Blocks.

use std::{ops::Range, path::Path};

use bytes::Bytes;

use super::{
    fault::{self, At},
    files::{self, File, SegmentName},
    index,
    partition::IndexEntry,
    reader::BATCH_BYTES,
    record::{Bad, Head},
    segments, sheet,
    table::Shared,
};
use crate::{error::Result, log::Record};

/// What is read after a jump; then `BATCH_BYTES` at a time.
const FIRST_BYTES: usize = 64 << 10;

pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    pub(crate) known: sheet::Segment,
    /// Entries that the side file does not have yet.
    pub(crate) index: Vec<IndexEntry>,
}

/// Where a segment goes on.
#[derive(Clone, Copy)]
pub(crate) struct Cursor {
    name: SegmentName,
    offset: i64,
    place: u64,
}

pub(crate) struct Read {
    pub(crate) records: Vec<Record>,
    pub(crate) next: i64,
    pub(crate) cursor: Option<Cursor>,
}

/// Reads records of a range of offsets, as many as one piece has.
pub(crate) fn batch(shared: &Shared, segment: &Segment, range: Range<i64>, cursor: Option<Cursor>) -> Result<Read> {
    let file = open(shared, segment.name)?;
    let (mut place, mut len) = begin(shared, segment, &*file, (range.start, cursor))?;
    let mut records = Vec::new();
    while place < segment.known.len && records.is_empty() {
        let bytes = piece(shared, segment, &*file, place, len)?;
        let walked = walk(&bytes, |head, at| {
            if range.contains(&head.offset) {
                records.push(head.record(&bytes, at));
            }
            head.offset < range.end
        });
        len = match walked.stop {
            Stop::Short(needed) => needed.max(BATCH_BYTES),
            _ => BATCH_BYTES,
        };
        place += walked.len as u64;
        if check(shared, segment, place, walked.stop)? {
            break;
        }
    }
    let next = match records.last() {
        _ if place >= segment.known.len => segment.known.end,
        Some(last) => last.offset + 1,
        None => range.end.min(segment.known.end),
    };
    let cursor = Some(Cursor {
        name: segment.name,
        offset: next,
        place,
    });
    Ok(Read { records, next, cursor })
}

/// Where to read first, and how much.
fn begin(shared: &Shared, segment: &Segment, file: &dyn File, from: (i64, Option<Cursor>)) -> Result<(u64, usize)> {
    let (offset, cursor) = from;
    let goes_on = cursor.filter(|cursor| cursor.name == segment.name && cursor.offset == offset);
    if let Some(cursor) = goes_on {
        return Ok((cursor.place, BATCH_BYTES));
    }
    check_header(shared, segment.name, file)?;
    let place = place_before(shared, segment, |entry| entry.offset <= offset);
    Ok((place, FIRST_BYTES))
}

/// Whether the walk has ended where it was asked to.
fn check(shared: &Shared, segment: &Segment, place: u64, stop: Stop) -> Result<bool> {
    match stop {
        Stop::Wrong(what) => Err(damaged(shared, segment.name, place, what)),
        Stop::Short(needed) if place + needed as u64 > segment.known.len => {
            Err(damaged(shared, segment.name, place, "a record is cut"))
        }
        Stop::Short(_) | Stop::End => Ok(false),
        Stop::Asked => Ok(true),
    }
}

/// The offset of the first record at this time or later; the segment's end if there is none.
pub(crate) fn offset_at(shared: &Shared, segment: &Segment, time: i64) -> Result<i64> {
    let file = open(shared, segment.name)?;
    check_header(shared, segment.name, &*file)?;
    let mut place = place_before(shared, segment, |entry| entry.time < time);
    let mut len = FIRST_BYTES;
    let mut found = None;
    while place < segment.known.len && found.is_none() {
        let bytes = piece(shared, segment, &*file, place, len)?;
        let walked = walk(&bytes, |head, _| {
            found = found.or((head.time >= time).then_some(head.offset));
            found.is_none()
        });
        if let Stop::Short(needed) = walked.stop {
            len = needed.max(BATCH_BYTES);
        }
        place += walked.len as u64;
        check(shared, segment, place, walked.stop)?;
    }
    Ok(found.unwrap_or(segment.known.end))
}

fn open(shared: &Shared, name: SegmentName) -> Result<std::sync::Arc<dyn File>> {
    let path = shared.layout.segment(name);
    match shared.handles.get(name) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(fault::missing(&path)),
        other => other.at("open", &path),
    }
}

fn check_header(shared: &Shared, name: SegmentName, file: &dyn File) -> Result<()> {
    let mut header = [0; segments::HEADER as usize];
    let path = shared.layout.segment(name);
    let read = file.read_at(&mut header, 0).at("read", &path)?;
    segments::check_header(&header[..read], name).map_err(|what| fault::damaged(&path, 0, what))
}

/// The place of the last indexed record of which this is true; the first record's if there is none.
fn place_before(shared: &Shared, segment: &Segment, is_before: impl Fn(&IndexEntry) -> bool) -> u64 {
    let bytes = files::read_whole(&*shared.files, &shared.layout.index(segment.name)).unwrap_or_default();
    let mut entries = index::read(&bytes, segment.known.len);
    entries.extend(&segment.index);
    let before = entries.partition_point(is_before);
    before.checked_sub(1).map_or(segments::HEADER, |at| entries[at].place)
}

fn piece(shared: &Shared, segment: &Segment, file: &dyn File, place: u64, len: usize) -> Result<Bytes> {
    let path = shared.layout.segment(segment.name);
    let len = len.min(usize::try_from(segment.known.len - place).unwrap_or(len));
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, place).at("read", &path)?;
    if read < len {
        let what = format!("the file should have {} bytes", segment.known.len);
        return Err(fault::damaged(&path, place + read as u64, &what));
    }
    Ok(bytes.into())
}

fn damaged(shared: &Shared, name: SegmentName, place: u64, what: &str) -> crate::error::Error {
    fault::damaged(&shared.layout.segment(name), place, what)
}

pub(crate) struct Walked {
    /// Bytes of the records seen.
    pub(crate) len: usize,
    pub(crate) stop: Stop,
}

#[derive(Clone, Copy)]
pub(crate) enum Stop {
    /// A record begins there that has at least this many bytes.
    Short(usize),
    Wrong(&'static str),
    Asked,
    End,
}

/// Shows record after record, checked, with its place, until `see` says no: that record is not counted.
pub(crate) fn walk(bytes: &[u8], mut see: impl FnMut(&Head, usize) -> bool) -> Walked {
    let mut len = 0;
    let stop = loop {
        if len == bytes.len() {
            break Stop::End;
        }
        match Head::check(&bytes[len..]) {
            Ok(head) if see(&head, len) => len += head.len,
            Ok(_) => break Stop::Asked,
            Err(Bad::Short(needed)) => break Stop::Short(needed),
            Err(Bad::Wrong(what)) => break Stop::Wrong(what),
        }
    };
    Walked { len, stop }
}

/// Walks all records. Says where the first bad one lies, and why; `next` is then the first offset not seen.
pub(crate) fn first_bad(file: &dyn File, path: &Path, len: u64, next: &mut i64) -> Result<Option<(u64, &'static str)>> {
    walk_file(file, path, len, &mut |head, _| {
        let is_ordered = head.offset >= *next;
        *next = head.offset + 1;
        is_ordered
    })
}

/// Shows all records, with their bytes. An error if one is damaged.
pub(crate) fn each(file: &dyn File, path: &Path, len: u64, see: &mut dyn FnMut(&Head, &[u8])) -> Result<()> {
    let mut always = |head: &Head, bytes: &[u8]| {
        see(head, bytes);
        true
    };
    match walk_file(file, path, len, &mut always)? {
        None => Ok(()),
        Some((place, what)) => Err(fault::damaged(path, place, what)),
    }
}

type Check<'a> = &'a mut dyn FnMut(&Head, &[u8]) -> bool;

fn walk_file(file: &dyn File, path: &Path, len: u64, check: Check<'_>) -> Result<Option<(u64, &'static str)>> {
    let mut place = segments::HEADER;
    let mut size = BATCH_BYTES;
    while place < len {
        let mut bytes = vec![0; size.min(usize::try_from(len - place).unwrap_or(size))];
        let read = file.read_at(&mut bytes, place).at("read", path)?;
        let is_cut = read < bytes.len();
        bytes.truncate(read);
        let walked = walk(&bytes, |head, at| check(head, &bytes[at..]));
        place += walked.len as u64;
        match walked.stop {
            Stop::Wrong(what) => return Ok(Some((place, what))),
            Stop::Asked => return Ok(Some((place, "a record's offset is out of order"))),
            Stop::Short(_) | Stop::End if is_cut => return Ok(Some((place, "the file is shorter than it was"))),
            Stop::Short(needed) if place + needed as u64 > len => return Ok(Some((place, "a record is cut"))),
            Stop::Short(needed) => size = needed.max(BATCH_BYTES),
            Stop::End => {}
        }
    }
    Ok(None)
}
