//! Reading a journal from its start: its whole frames, where they stop and why, and what that means.

use std::path::Path;

use super::{
    fault::{self, At},
    files::{File, Files},
    frame::{self, Frame, HEADER, JOURNAL_HEADER, JournalHeader},
    record::Bad,
};
use crate::error::Result;

const WINDOW: usize = 1 << 20;

/// What a journal's end must be like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its length is known, to the byte.
    Sealed(u64),
    /// It was written to when the log stopped: its tail may be torn.
    Open,
}

/// Where the whole frames end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) place: u64,
    /// Why the next is none.
    pub(crate) what: &'static str,
    /// Where a frame lies that was written when the journal was durable beyond `place`.
    pub(crate) later: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All frames before this place count; what lies behind was never known to be durable.
    Ends(u64),
    /// What lies there was durable once.
    Damaged(u64, &'static str),
}

/// The decision of recovery.
pub(crate) fn judge(stop: Stop, ending: Ending) -> Verdict {
    match ending {
        Ending::Sealed(len) if stop.place == len => Verdict::Ends(len),
        Ending::Sealed(_) => Verdict::Damaged(stop.place, stop.what),
        Ending::Open if stop.later.is_some() => Verdict::Damaged(stop.place, stop.what),
        Ending::Open => Verdict::Ends(stop.place),
    }
}

pub(crate) type Visit<'a> = &'a mut dyn FnMut(&Frame, &[u8]) -> Result<()>;

/// Shows each whole frame, and says where they stop.
pub(crate) fn scan(files: &dyn Files, path: &Path, ending: Ending, visit: Visit<'_>) -> Result<(JournalHeader, Stop)> {
    let file = files.open(path).at("open", path)?;
    let mut scanner = Scanner::new(&*file, path)?;
    let stop = scanner.frames(JOURNAL_HEADER as u64, ending, visit)?;
    Ok((scanner.header, stop))
}

pub(crate) struct Scanner<'a> {
    window: Window<'a>,
    header: JournalHeader,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(file: &'a dyn File, path: &'a Path) -> Result<Self> {
        let mut window = Window {
            file,
            path,
            start: 0,
            bytes: Vec::new(),
        };
        let header = window.get(0, JOURNAL_HEADER)?;
        let header = JournalHeader::decode(header).map_err(|what| fault::damaged(path, 0, what))?;
        Ok(Self { window, header })
    }

    /// Shows the whole frames from a place on.
    pub(crate) fn frames(&mut self, from: u64, ending: Ending, visit: Visit<'_>) -> Result<Stop> {
        let limit = match ending {
            Ending::Sealed(len) => len,
            Ending::Open => u64::MAX,
        };
        let mut place = from;
        let what = loop {
            if place >= limit {
                break "there is more than there should be";
            }
            match self.whole_frame(place)? {
                Ok(frame) => {
                    let records = self.window.get(place + HEADER as u64, frame.len as usize)?;
                    visit(&frame, records)?;
                    place = frame.end();
                }
                Err(Bad::Wrong(what)) => break what,
                Err(Bad::Short(_)) => break "the file is cut",
            }
        };
        let later = if place == limit { None } else { self.find_later(place)? };
        Ok(Stop { place, what, later })
    }

    fn whole_frame(&mut self, place: u64) -> Result<Result<Frame, Bad>> {
        let frame = match Frame::decode(self.window.get(place, HEADER)?, place, self.header.nonce) {
            Ok(frame) => frame,
            Err(bad) => return Ok(Err(bad)),
        };
        let records = self.window.get(place + HEADER as u64, frame.len as usize)?;
        Ok(frame.check_records(records).map(|()| frame))
    }

    fn find_later(&mut self, bad: u64) -> Result<Option<u64>> {
        let mut place = bad;
        loop {
            let bytes = self.window.get(place, WINDOW)?;
            if let Some(found) = frame::find_later(bytes, place, self.header.nonce, bad) {
                return Ok(Some(found));
            }
            if bytes.len() < WINDOW {
                return Ok(None);
            }
            place += (WINDOW - HEADER) as u64;
        }
    }
}

/// A part of a file in memory.
struct Window<'a> {
    file: &'a dyn File,
    path: &'a Path,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// The bytes from a place on: fewer than asked where the file ends.
    fn get(&mut self, place: u64, len: usize) -> Result<&[u8]> {
        let has = place >= self.start && place + len as u64 <= self.start + self.bytes.len() as u64;
        if !has {
            self.bytes.resize(len.max(WINDOW), 0);
            let read = self.file.read_at(&mut self.bytes, place).at("read", self.path)?;
            self.bytes.truncate(read);
            self.start = place;
        }
        let from = (place - self.start) as usize;
        Ok(&self.bytes[from..self.bytes.len().min(from + len)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_open_journal_may_be_torn_and_only_behind_what_was_durable() {
        let torn = Stop {
            place: 100,
            what: "x",
            later: None,
        };
        let holed = Stop {
            later: Some(200),
            ..torn
        };
        assert_eq!(judge(torn, Ending::Open), Verdict::Ends(100));
        assert_eq!(judge(holed, Ending::Open), Verdict::Damaged(100, "x"));
        assert_eq!(judge(torn, Ending::Sealed(100)), Verdict::Ends(100));
        assert_eq!(judge(torn, Ending::Sealed(150)), Verdict::Damaged(100, "x"));
    }
}
