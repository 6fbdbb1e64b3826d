//! The journal that is written to: bytes go to its end, and a sync makes them durable.

use std::{io, sync::Arc};

use super::{
    files::{File, Files, Layout},
    frame::{JOURNAL_HEADER, JournalHeader},
};

pub(crate) struct Journal {
    file: Arc<dyn File>,
    pub(crate) header: JournalHeader,
    /// Bytes that count.
    pub(crate) len: u64,
    /// Bytes known to be durable.
    pub(crate) durable: u64,
    /// Bytes the file has been stretched to.
    reserved: u64,
}

/// How a write failed.
pub(crate) enum Failure {
    /// Nothing was written, and the journal is as before.
    Undone(io::Error),
    /// Nobody knows what is on the disk.
    Lost(io::Error),
}

impl Journal {
    /// Creates a journal, durably, name and all.
    pub(crate) fn create(files: &dyn Files, layout: &Layout, number: u64, reserve: u64) -> io::Result<Self> {
        let file = files.create(&layout.journal(number))?;
        let header = JournalHeader {
            number,
            nonce: fastrand::u64(..),
        };
        let journal = Self {
            file,
            header,
            len: JOURNAL_HEADER as u64,
            durable: JOURNAL_HEADER as u64,
            reserved: reserve.max(JOURNAL_HEADER as u64),
        };
        journal.file.set_len(journal.reserved)?;
        journal.file.write_at(&header.encode(), 0)?;
        journal.file.sync()?;
        files.sync_dir(&layout.journals())?;
        Ok(journal)
    }

    /// Goes on with a journal that was found without frames.
    pub(crate) fn reuse(file: Arc<dyn File>, header: JournalHeader) -> io::Result<Self> {
        let len = JOURNAL_HEADER as u64;
        let reserved = file.len()?;
        Ok(Self {
            file,
            header,
            len,
            durable: len,
            reserved,
        })
    }

    /// Writes behind what is there; not durable yet.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self.file.write_at(bytes, self.len) {
            Ok(()) => {
                self.len += bytes.len() as u64;
                self.reserved = self.reserved.max(self.len);
                Ok(())
            }
            Err(error) => match self.cut() {
                Ok(()) => Err(Failure::Undone(error)),
                Err(_) => Err(Failure::Lost(error)),
            },
        }
    }

    /// Makes everything durable. After an error nobody knows what is: the file must not be used again.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.durable < self.len {
            self.file.sync()?;
            self.durable = self.len;
        }
        Ok(())
    }

    /// Throws away what a failed write left behind.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.len)?;
        self.file.set_len(self.reserved.max(self.len))?;
        self.file.sync()
    }
}
