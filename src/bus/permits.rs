//! Places for what may be open at once: each is held as long as it lives, and who finds none tries again.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Inner, Settings, draining};
use crate::error::{Error, Reason, Result};

pub(super) struct Permits {
    streams: Arc<Semaphore>,
    /// Bytes that are being published.
    pub(super) publish_bytes: Arc<Semaphore>,
    /// Checkpoints that are being put or got.
    transfers: Arc<Semaphore>,
}

impl Permits {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            streams: Arc::new(Semaphore::new(settings.streams)),
            publish_bytes: Arc::new(Semaphore::new(settings.publish_bytes)),
            transfers: Arc::new(Semaphore::new(settings.checkpoints.transfers)),
        }
    }

    pub(super) fn open_streams(&self, settings: &Settings) -> usize {
        settings.streams.saturating_sub(self.streams.available_permits())
    }
}

impl Inner {
    /// A place among the open streams, held for a stream's life.
    pub(super) fn stream_permit(&self) -> Result<OwnedSemaphorePermit> {
        if self.draining.is_cancelled() {
            return Err(draining());
        }
        Arc::clone(&self.permits.streams).try_acquire_owned().map_err(|_| {
            let limit = self.settings.streams;
            let text = format!("open a stream: limits.streams = {limit} are open");
            Error::new(Reason::Limit, text).retry_after(Duration::from_secs(5))
        })
    }

    /// A place among restores.
    pub(super) fn restore_permit(&self) -> Result<OwnedSemaphorePermit> {
        let limit = self.settings.snapshots.restores;
        Arc::clone(&self.state.restores).try_acquire_owned().map_err(|_| {
            let text = format!("restore: snapshots.restores = {limit} are under way");
            Error::new(Reason::Limit, text).retry_after(Duration::from_secs(5))
        })
    }

    /// A place among those that put and get checkpoints.
    pub(super) fn transfer_permit(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.permits.transfers).try_acquire_owned().map_err(|_| {
            let limit = self.settings.checkpoints.transfers;
            let text = format!("put or get a checkpoint: checkpoints.transfers = {limit} are under way");
            Error::new(Reason::Limit, text).retry_after(Duration::from_secs(1))
        })
    }
}
