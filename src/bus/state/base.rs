//! A partition of a snapshot, read from the store chunk by chunk; each is checked whole before anything of it is used.

use std::{collections::VecDeque, sync::Arc};

use super::{
    block::{BlockReader, Entry},
    manifest::{Chunk, Manifest},
    shelf,
};
use crate::{
    error::{Error, Reason, Result},
    log::LogTime,
    objects::Objects,
};

/// Reads a partition's entries. `STORE_DAMAGED` = it cannot be used any further.
pub(super) struct BaseReader {
    objects: Objects,
    manifest: Arc<Manifest>,
    chunks: VecDeque<Chunk>,
    block: BlockReader,
    /// States older than this count no more.
    before: LogTime,
    /// Of the entry before, for the order.
    last: Option<Box<[u8]>>,
}

impl BaseReader {
    pub(super) fn new(objects: Objects, manifest: Arc<Manifest>, partition: i32, before: LogTime) -> Self {
        let held = manifest.partition(partition);
        let chunks = held.map_or_else(VecDeque::new, |held| held.chunks.clone().into());
        Self {
            objects,
            manifest,
            chunks,
            block: BlockReader::default(),
            before,
            last: None,
        }
    }

    /// The next entry; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Entry>> {
        loop {
            match self.block.next() {
                Some(Ok(entry)) => {
                    self.check_order(&entry)?;
                    if entry.folded.state().is_some_and(|kept| kept.time >= self.before) {
                        return Ok(Some(entry));
                    }
                }
                Some(Err(what)) => return Err(self.damaged("a chunk", &what)),
                None => {
                    let Some(chunk) = self.chunks.front().cloned() else {
                        return Ok(None);
                    };
                    self.block = self.open(&chunk).await?;
                    self.chunks.pop_front();
                }
            }
        }
    }

    async fn open(&self, chunk: &Chunk) -> Result<BlockReader> {
        let path = shelf::object(&self.manifest.topic, &self.manifest.id, &chunk.name);
        let bytes = self.objects.get(&path, chunk.bytes).await?;
        let bytes = bytes.ok_or_else(|| self.damaged(&chunk.name, "it is missing"))?;
        if bytes.len() as u64 != chunk.bytes || crc32fast::hash(&bytes) != chunk.crc32 {
            return Err(self.damaged(&chunk.name, "it is not the one that was written"));
        }
        BlockReader::open(&bytes).map_err(|what| self.damaged(&chunk.name, &what))
    }

    fn check_order(&mut self, entry: &Entry) -> Result<()> {
        if self.last.as_ref().is_some_and(|last| *last >= entry.key) {
            return Err(self.damaged("a chunk", "its keys are not in order"));
        }
        self.last = Some(entry.key.clone());
        Ok(())
    }

    fn damaged(&self, what: &str, how: &str) -> Error {
        let text = format!("read snapshot {}: {what}: {how}", self.manifest.name());
        Error::new(Reason::StoreDamaged, text)
    }
}
