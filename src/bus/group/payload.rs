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
    cause: Cause,
}

/// Why a batch is delivered.
#[derive(Debug)]
pub(super) enum Cause {
    /// It comes from its topic, in its turn.
    Live,
    Redriven(Redriven),
    /// By the replay of this id.
    Replayed(Arc<str>),
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
    pub(super) fn new(batch: Arc<FeedBatch>, cause: Cause, buffer: &Arc<Buffer>) -> Arc<Self> {
        Arc::new(Self {
            _share: buffer.hold(batch.bytes),
            batch,
            cause,
        })
    }
}

impl Held {
    pub(super) fn bytes(&self) -> usize {
        self.batch.bytes
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

    /// The same without its batch; `None` where it is alone already, or must stay as it was.
    pub(super) fn alone(&self, buffer: &Arc<Buffer>) -> Option<Self> {
        let cause = match &self.held.cause {
            Cause::Live => Cause::Live,
            Cause::Replayed(id) => Cause::Replayed(Arc::clone(id)),
            Cause::Redriven(_) => return None,
        };
        if self.held.batch.items.len() == 1 {
            return None;
        }
        let batch = Arc::new(self.item().alone());
        Some(Self {
            held: Held::new(batch, cause, buffer),
            index: 0,
        })
    }

    /// It comes from its topic, in its turn.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.held.cause, Cause::Live)
    }

    /// The replay that it is sent by.
    pub(super) fn replay_id(&self) -> Option<&str> {
        match &self.held.cause {
            Cause::Replayed(id) => Some(id),
            Cause::Live | Cause::Redriven(_) => None,
        }
    }

    /// The redrive that it is sent by, and its record as it was.
    pub(super) fn redriven(&self) -> Option<(&Arc<str>, &Record)> {
        let Cause::Redriven(redriven) = &self.held.cause else {
            return None;
        };
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

    /// The replay that sent it; `None` = it is not sent by one.
    pub fn replay_id(&self) -> Option<&str> {
        self.payload.replay_id()
    }

    /// The redrive that sent it; `None` = it comes from its topic.
    pub fn redrive_id(&self) -> Option<&str> {
        self.payload.redriven().map(|(request, _)| &**request)
    }
}
