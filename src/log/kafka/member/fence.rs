//! The fence between a member's commits and the group: a commit is made only for partitions that are the member's own, by the
//! client that they were assigned to, and a partition goes only when no commit of it is on its way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{
    client::Client,
    table::{Place, Table},
};
use crate::log::TopicPartition;

#[derive(Default)]
pub(super) struct Fence {
    inner: Mutex<Inner>,
    /// A commit ended.
    ended: Notify,
}

#[derive(Default)]
struct Inner {
    table: Table,
    /// The client that has joined; none between two lives.
    client: Option<Arc<Client>>,
}

/// Lets a commit through, and keeps its partitions where they are until it is dropped.
pub(super) struct Pass {
    fence: Arc<Fence>,
    places: Vec<Place>,
    pub(super) client: Arc<Client>,
}

impl Fence {
    pub(super) fn begin(self: &Arc<Self>, partitions: &[TopicPartition]) -> Option<Pass> {
        let mut inner = self.lock();
        let client = Arc::clone(inner.client.as_ref()?);
        let places = inner.table.begin(partitions)?;
        Some(Pass {
            fence: Arc::clone(self),
            places,
            client,
        })
    }

    /// Asks or changes the table; short.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Table) -> T) -> T {
        act(&mut self.lock().table)
    }

    /// Another life begins: what is assigned from now on is assigned to this client.
    pub(super) fn enter(&self, client: Arc<Client>) {
        self.lock().client = Some(client);
    }

    /// The life is over. Returns what was announced and is lost now.
    pub(super) fn leave(&self) -> Vec<TopicPartition> {
        let mut inner = self.lock();
        inner.client = None;
        inner.table.clear()
    }

    /// Ready when a commit has ended since it was asked last.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// Whether the commit may still be made: nothing was let go or lost since it began.
    pub(super) fn is_valid(&self) -> bool {
        self.fence.with(|table| table.may_go_on(&self.places))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.fence.with(|table| table.end(&self.places));
        self.fence.ended.notify_one();
    }
}
