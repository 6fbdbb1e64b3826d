//! Sorted runs on the disk: what had no room in memory, in blocks of a temporary file that all partitions of a topic share.
//!
//! Runs are kept in the order of their age. Many small ones are merged into a larger one, so that however much is spilled, few
//! are read at once.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{
    block::{BlockReader, BlockWriter, Entry},
    merge::{Merge, Source},
};
use crate::{
    error::{Error, Reason, Result},
    scratch::{Scratch, ScratchFile},
};

/// Of a block before it is compressed.
const BLOCK: usize = 64 << 10;
/// Quick rather than small.
const LEVEL: i32 = 1;
/// So many runs of one size become one.
const FAN_IN: usize = 16;

/// A temporary file that is made when it is first needed.
#[derive(Clone)]
pub(super) struct Spill {
    scratch: Scratch,
    file: Arc<OnceCell<ScratchFile>>,
}

impl Spill {
    pub(super) fn new(scratch: &Scratch) -> Self {
        Self {
            scratch: scratch.clone(),
            file: Arc::default(),
        }
    }

    async fn file(&self) -> Result<&ScratchFile> {
        self.file.get_or_try_init(|| self.scratch.file()).await
    }
}

/// The runs of one partition, oldest first.
pub(super) struct Runs {
    spill: Spill,
    runs: Vec<Run>,
}

#[derive(Clone)]
struct Run {
    /// How often its entries were merged.
    level: u32,
    /// Where each block lies, and how long it is.
    blocks: Arc<Vec<(u64, u32)>>,
}

impl Runs {
    pub(super) fn new(spill: Spill) -> Self {
        Self {
            spill,
            runs: Vec::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        self.runs.clear();
    }

    /// Adds the newest run: entries in the order of their keys.
    pub(super) async fn add(&mut self, entries: Vec<Entry>) -> Result<()> {
        let mut writer = RunWriter::new(self.spill.clone());
        for entry in &entries {
            writer.add(entry).await?;
        }
        let blocks = writer.finish().await?;
        self.runs.push(Run { level: 0, blocks });
        self.merge_small().await
    }

    /// What lies in them, oldest first.
    pub(super) fn sources(&self) -> impl Iterator<Item = Source> {
        self.runs.iter().map(|run| {
            Source::Run(RunReader {
                spill: self.spill.clone(),
                blocks: Arc::clone(&run.blocks),
                next: 0,
                block: BlockReader::default(),
            })
        })
    }

    async fn merge_small(&mut self) -> Result<()> {
        while let Some(level) = self.runs.last().map(|run| run.level) {
            let first = self.runs.iter().position(|run| run.level == level).unwrap_or(0);
            if self.runs.len() - first < FAN_IN {
                return Ok(());
            }
            let rest = self.runs.split_off(first);
            let small = Self {
                spill: self.spill.clone(),
                runs: rest,
            };
            let mut merge = Merge::new(small.sources().collect());
            let mut writer = RunWriter::new(self.spill.clone());
            while let Some(entry) = merge.next().await? {
                writer.add(&entry).await?;
            }
            let blocks = writer.finish().await?;
            let level = level + 1;
            self.runs.push(Run { level, blocks });
        }
        Ok(())
    }
}

struct RunWriter {
    spill: Spill,
    block: BlockWriter,
    blocks: Vec<(u64, u32)>,
}

impl RunWriter {
    fn new(spill: Spill) -> Self {
        Self {
            spill,
            block: BlockWriter::default(),
            blocks: Vec::new(),
        }
    }

    async fn add(&mut self, entry: &Entry) -> Result<()> {
        self.block.add(entry);
        match self.block.len() >= BLOCK {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self) -> Result<()> {
        let block = self.block.finish(LEVEL)?;
        let len = u32::try_from(block.len()).map_err(|_| broken("a block is too large"))?;
        let at = self.spill.file().await?.append(block).await?;
        self.blocks.push((at, len));
        Ok(())
    }

    async fn finish(mut self) -> Result<Arc<Vec<(u64, u32)>>> {
        if self.block.len() > 0 {
            self.flush().await?;
        }
        Ok(Arc::new(self.blocks))
    }
}

/// Reads one run.
pub(super) struct RunReader {
    spill: Spill,
    blocks: Arc<Vec<(u64, u32)>>,
    next: usize,
    block: BlockReader,
}

impl RunReader {
    /// The next entry; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.block.next() {
                return entry.map(Some).map_err(|what| broken(&what));
            }
            let Some((at, len)) = self.blocks.get(self.next).copied() else {
                return Ok(None);
            };
            let block = self.spill.file().await?.read(at, len as usize).await?;
            self.block = BlockReader::open(&block).map_err(|what| broken(&what))?;
            self.next += 1;
        }
    }
}

fn broken(what: &str) -> Error {
    Error::new(Reason::Internal, format!("read a temporary file: {what}"))
}
