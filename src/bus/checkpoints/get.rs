//! Getting a checkpoint: its parts as they are read and checked, so that damage is told and never handed out.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::{
    CheckpointInfo,
    manifest::{Manifest, Part},
    shelf::{Shelf, damaged, missing},
};
use crate::{
    bus::{Bus, Inner, draining},
    error::{Error, Reason, Result},
    log::{Bounds, LogTime, TopicPartition},
    name::CheckpointRef,
};

/// Parts that are read at once. What a slow client does not take is not read.
const AT_ONCE: usize = 2;
/// Milliseconds that a server's clock may be behind the log's. What was written so soon after a checkpoint may be part of it.
const CLOCKS_APART: i64 = 60_000;
/// The largest piece that is handed out.
const PIECE: usize = 256 << 10;

/// A checkpoint that is being read.
pub struct Download {
    info: CheckpointInfo,
    parts: BoxStream<'static, Result<Bytes>>,
    /// What is left of the part that is being handed out.
    part: Bytes,
    hash: Sha256,
    is_over: bool,
    draining: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Bus {
    /// What is known of a checkpoint, without its bytes.
    pub async fn checkpoint(&self, wanted: &CheckpointRef) -> Result<CheckpointInfo> {
        self.0.checkpoint_info(wanted).await
    }

    pub async fn read_checkpoint(&self, wanted: &CheckpointRef) -> Result<Download> {
        let bus = &self.0;
        if bus.draining.is_cancelled() {
            return Err(draining());
        }
        let shelf = Arc::new(Shelf::new(bus.objects()?, &wanted.name));
        let permit = bus.transfer_permit()?;
        let manifest = shelf.manifest(wanted.generation).await?;
        Ok(Download {
            info: manifest.info.clone(),
            parts: parts(bus, shelf, manifest),
            part: Bytes::new(),
            hash: Sha256::new(),
            is_over: false,
            draining: bus.draining.clone(),
            _permit: permit,
        })
    }
}

impl Inner {
    pub(in crate::bus) async fn checkpoint_info(&self, wanted: &CheckpointRef) -> Result<CheckpointInfo> {
        let shelf = Shelf::new(self.objects()?, &wanted.name);
        Ok(shelf.manifest(wanted.generation).await?.info)
    }
}

impl Inner {
    /// Where it stands in these partitions, for those who start there. In a topic that was made anew since, that would skip events
    /// which nobody has seen.
    pub(in crate::bus) async fn checkpoint_positions(
        &self,
        wanted: &CheckpointRef,
        partitions: &[TopicPartition],
        bounds: &[Bounds],
    ) -> Result<FxHashMap<TopicPartition, i64>> {
        let info = self.checkpoint_info(wanted).await?;
        let label = info.label();
        let at: FxHashMap<TopicPartition, i64> = info.positions.into_iter().collect();
        let latest = LogTime(info.created.0.saturating_add(CLOCKS_APART + 1));
        let later = self.log.offsets_at(partitions, latest).await?;
        for ((partition, bounds), later) in partitions.iter().zip(bounds).zip(later) {
            // What is beyond the end is a gap, and told as one.
            if at
                .get(partition)
                .is_some_and(|offset| (later + 1..=bounds.end).contains(offset))
            {
                let topic = &partition.topic;
                let text = format!("start at checkpoint {label}: {topic} was made anew since; start elsewhere");
                return Err(Error::new(Reason::PositionGone, text));
            }
        }
        Ok(at)
    }
}

impl Download {
    pub fn info(&self) -> &CheckpointInfo {
        &self.info
    }

    /// The next bytes; `None` = that was all, and all was as it was put.
    pub async fn next(&mut self) -> Option<Result<Bytes>> {
        if self.is_over {
            return None;
        }
        let next = self.piece().await;
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }

    async fn piece(&mut self) -> Option<Result<Bytes>> {
        while self.part.is_empty() {
            let part = tokio::select! {
                () = self.draining.cancelled() => return Some(Err(draining())),
                part = self.parts.next() => part,
            };
            match part {
                Some(Ok(part)) => self.part = part,
                Some(Err(error)) => return Some(Err(error)),
                None => return self.check_whole().err().map(Err),
            }
        }
        let piece = self.part.split_to(self.part.len().min(PIECE));
        self.hash.update(&piece);
        Some(Ok(piece))
    }

    fn check_whole(&mut self) -> Result<()> {
        let hash: [u8; 32] = std::mem::take(&mut self.hash).finalize().into();
        match hash == self.info.sha256 {
            true => Ok(()),
            false => Err(broken(&self.info, "its parts are whole, and not what was put")),
        }
    }
}

fn parts(bus: &Arc<Inner>, shelf: Arc<Shelf>, manifest: Manifest) -> BoxStream<'static, Result<Bytes>> {
    let manifest = Arc::new(manifest);
    let numbered: Vec<(usize, Part)> = (1..).zip(manifest.parts.iter().copied()).collect();
    let bus = Arc::clone(bus);
    let read = move |(number, part)| {
        let (bus, shelf, manifest) = (Arc::clone(&bus), Arc::clone(&shelf), Arc::clone(&manifest));
        async move { read_part(&bus, &shelf, (&manifest, number, part)).await }
    };
    stream::iter(numbered).map(read).buffered(AT_ONCE).boxed()
}

async fn read_part(bus: &Inner, shelf: &Shelf, (manifest, number, part): (&Manifest, usize, Part)) -> Result<Bytes> {
    let path = shelf.part(&manifest.upload, number);
    let Some(bytes) = bus.objects()?.get_range(&path, 0..u64::from(part.size) + 1).await? else {
        // It was retired while it was read, or is damaged.
        return Err(match shelf.entry(manifest.info.generation).await? {
            Some(_) => broken(&manifest.info, &format!("{path} is gone")),
            None => missing(&CheckpointRef {
                name: manifest.info.name.clone(),
                generation: Some(manifest.info.generation),
            }),
        });
    };
    let is_whole = bytes.len() == part.size as usize && crc32fast::hash(&bytes) == part.crc32;
    match is_whole {
        true => Ok(bytes),
        false => Err(broken(&manifest.info, &format!("the checksum of {path} is wrong"))),
    }
}

fn broken(info: &CheckpointInfo, cause: &str) -> Error {
    let before = info.generation.saturating_sub(1);
    let text = format!(
        "checkpoint {} is damaged: {cause}; the generation before it may be there as {}@{before}",
        info.label(),
        info.name
    );
    damaged(&text, &info.name, info.generation)
}
