//! What the dispatcher carries for each event: a place in a shared batch, counted against the group's buffer.

use std::sync::Arc;

use super::{
    super::feed::{FeedBatch, Item},
    buffer::{Buffer, Share},
};
use crate::log::{Record, TopicPartition};

/// A batch that the group holds; its bytes count until the last event of it is settled.
#[derive(Debug)]
pub(super) struct Held {
    batch: Arc<FeedBatch>,
    _share: Share,
    redriven: Option<Redriven>,
}

/// Dead letters that are sent again.
#[derive(Debug)]
pub(super) struct Redriven {
    /// The id of the redrive.
    pub(super) request: Arc<str>,
    /// As they were.
    pub(super) records: Vec<Record>,
}

impl Held {
    pub(super) fn new(batch: Arc<FeedBatch>, redriven: Option<Redriven>, buffer: &Arc<Buffer>) -> Arc<Self> {
        Arc::new(Self {
            _share: buffer.hold(batch.bytes),
            batch,
            redriven,
        })
    }
}

#[derive(Clone, Debug)]
pub(super) struct Payload {
    pub(super) held: Arc<Held>,
    pub(super) index: usize,
}

impl Payload {
    pub(super) fn item(&self) -> &Item {
        &self.held.batch.items[self.index]
    }

    /// The redrive that it is sent by, and its record as it was.
    pub(super) fn redriven(&self) -> Option<(&Arc<str>, &Record)> {
        let redriven = self.held.redriven.as_ref()?;
        Some((&redriven.request, &redriven.records[self.index]))
    }
}

/// One event, sent once.
#[derive(Debug)]
pub struct Delivery {
    /// Names this sending on this stream.
    pub id: u64,
    /// Counts sendings, from 1.
    pub attempt: u32,
    /// How often it was nacked.
    pub failures: u32,
    pub partition: Arc<TopicPartition>,
    /// What put the group below it, if it was sent before that.
    pub(super) reset: Option<Arc<str>>,
    pub(super) payload: Payload,
}

impl Delivery {
    pub fn item(&self) -> &Item {
        self.payload.item()
    }

    /// The reset that sends it again; `None` = it is not sent again by one.
    pub fn reset_id(&self) -> Option<&str> {
        self.reset.as_deref()
    }

    /// The redrive that sent it; `None` = it comes from its topic.
    pub fn redrive_id(&self) -> Option<&str> {
        self.payload.redriven().map(|(request, _)| &**request)
    }
}
