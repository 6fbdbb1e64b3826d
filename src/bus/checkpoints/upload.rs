//! The bytes of a checkpoint on their way into the store, in parts: one is being filled while the one before it is written.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use sha2::{Digest as _, Sha256};
use tokio::{sync::OwnedSemaphorePermit, task::JoinHandle};

use super::{
    CheckpointInfo,
    manifest::Part,
    put::{NewCheckpoint, Wanted},
    shelf::{Shelf, new_upload},
};
use crate::{
    bus::{Bus, Inner, draining},
    error::{Error, Reason, Result},
};

/// Held in memory twice at most.
const PART: usize = 4 << 20;
/// What is left over by puts is looked for only among what is older than any put can be.
const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);

/// A checkpoint that is being put. Dropped before it has finished it leaves nothing.
pub struct Upload {
    pub(super) bus: Arc<Inner>,
    pub(super) wanted: Wanted,
    pub(super) data: Data,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// The bytes so far.
pub(super) struct Data {
    bus: Arc<Inner>,
    shelf: Arc<Shelf>,
    pub(super) upload: String,
    pub(super) parts: Vec<Part>,
    pub(super) size: u64,
    filling: BytesMut,
    writing: Option<JoinHandle<Result<()>>>,
    hash: Sha256,
    began: Instant,
    /// A generation may name the parts.
    pub(super) is_named: bool,
}

impl Upload {
    /// Takes more bytes, and waits while the store is slower. Cancelled, it is not known how many it took: give it up.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if self.bus.draining.is_cancelled() {
            return Err(draining());
        }
        self.wanted.check_size(self.data.size + bytes.len() as u64)?;
        self.data.write(bytes).await
    }

    /// Stores it, and commits its group there. From here on it goes on, whether the caller waits for it or not.
    pub async fn finish(self) -> Result<CheckpointInfo> {
        let bus = Bus(Arc::clone(&self.bus));
        let tasks = self.bus.tasks.clone();
        let finishing = tasks.spawn(async move { bus.finish_upload(self).await });
        let failed = |error| Error::new(Reason::Internal, "put a checkpoint").caused_by(error);
        finishing.await.map_err(failed)?
    }

    pub(super) fn new(bus: &Arc<Inner>, wanted: Wanted, permit: OwnedSemaphorePermit, shelf: Shelf) -> Self {
        Self {
            bus: Arc::clone(bus),
            wanted,
            data: Data {
                bus: Arc::clone(bus),
                shelf: Arc::new(shelf),
                upload: new_upload(),
                parts: Vec::new(),
                size: 0,
                filling: BytesMut::new(),
                writing: None,
                hash: Sha256::new(),
                began: Instant::now(),
                is_named: false,
            },
            _permit: permit,
        }
    }
}

impl Data {
    async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        if self.began.elapsed() > LONGEST {
            let text = format!("put a checkpoint: it takes longer than {} h", LONGEST.as_secs() / 3_600);
            return Err(Error::new(Reason::DeadlineExceeded, text));
        }
        self.hash.update(&bytes);
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = PART - self.filling.len();
            self.filling.extend_from_slice(&bytes.split_to(room.min(bytes.len())));
            if self.filling.len() == PART {
                self.write_part().await?;
            }
        }
        Ok(())
    }

    /// All parts are durable when this returns; what the bytes add up to.
    pub(super) async fn complete(&mut self) -> Result<[u8; 32]> {
        if !self.filling.is_empty() {
            self.write_part().await?;
        }
        self.written().await?;
        Ok(std::mem::take(&mut self.hash).finalize().into())
    }

    /// Begins to write what is filled, once the part before it is written.
    async fn write_part(&mut self) -> Result<()> {
        self.written().await?;
        let bytes = self.filling.split().freeze();
        self.parts.push(Part {
            size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            crc32: crc32fast::hash(&bytes),
        });
        let path = self.shelf.part(&self.upload, self.parts.len());
        let objects = self.bus.objects()?.clone();
        self.writing = Some(self.bus.tasks.spawn(async move { objects.put(&path, bytes).await }));
        Ok(())
    }

    async fn written(&mut self) -> Result<()> {
        let Some(writing) = &mut self.writing else {
            return Ok(());
        };
        let written = writing.await;
        self.writing = None;
        written.map_err(|error| Error::new(Reason::Internal, "write a part of a checkpoint").caused_by(error))?
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if self.is_named || self.parts.is_empty() {
            return;
        }
        let (shelf, upload, writing) = (Arc::clone(&self.shelf), self.upload.clone(), self.writing.take());
        self.bus.tasks.spawn(async move {
            if let Some(writing) = writing {
                // However it ends, nothing is written behind it.
                let _ = writing.await;
            }
            if let Err(error) = shelf.remove_upload(&upload).await {
                tracing::debug!(upload, %error, "cannot remove what a put has left over; a later put does");
            }
        });
    }
}

impl NewCheckpoint {
    /// Whether what came is what was announced.
    pub(super) fn check_bytes(&self, size: u64, sha256: &[u8; 32]) -> Result<()> {
        let fault = |field: &str, rule: String| Err(Error::fault(Reason::RequestInvalid, field, rule));
        match self.size {
            Some(announced) if announced != size => {
                return fault(
                    "header.size",
                    format!("{announced} bytes are announced, and {size} came"),
                );
            }
            _ => {}
        }
        match &self.sha256 {
            Some(announced) if announced != sha256 => {
                fault("header.sha256", "is not the hash of the bytes that came".to_owned())
            }
            _ => Ok(()),
        }
    }
}
