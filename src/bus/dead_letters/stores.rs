//! The stores of all groups: one each, shared by who uses it, followed while somebody does and a little longer.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};

use rustc_hash::FxHashMap;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{follow::follow, store::Store, topic::Shared};
use crate::{
    error::Result,
    log::Log,
    name::{Group, Topic, template::TopicTemplate},
};

/// How long a store is followed after a call: the next one, such as for another page, need not read the topic again.
const LINGER: Duration = Duration::from_secs(60);

/// Gives each group its dead letters.
pub struct DeadLetters {
    log: Arc<dyn Log>,
    template: TopicTemplate,
    stores: Mutex<FxHashMap<Group, Weak<Store>>>,
    tasks: TaskTracker,
    draining: CancellationToken,
}

impl DeadLetters {
    /// Nothing is read before a group's store is asked for. Stores that are in use go on while the bus drains: groups write
    /// what they give up then.
    pub fn new(log: Arc<dyn Log>, template: TopicTemplate, tasks: TaskTracker, draining: CancellationToken) -> Self {
        Self {
            log,
            template,
            stores: Mutex::default(),
            tasks,
            draining,
        }
    }

    /// The group's topic.
    pub fn topic(&self, group: &Group) -> Result<Topic> {
        self.template.topic(group)
    }

    /// The group's store, which begins to follow the topic if nobody has it yet. Wait for `Store::ready`.
    pub fn of(&self, group: &Group) -> Result<Arc<Store>> {
        let topic = self.topic(group)?;
        // Nothing panics while it holds this lock, so a poisoned one is whole.
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = stores.get(group).and_then(Weak::upgrade) {
            return Ok(store);
        }
        stores.retain(|_, store| store.strong_count() > 0);
        let shared = Shared::new(Arc::clone(&self.log), group.clone(), topic);
        let stop = CancellationToken::new();
        self.tasks.spawn(follow(Arc::clone(&shared), stop.clone()));
        let store = Arc::new(Store::new(shared, stop.drop_guard()));
        stores.insert(group.clone(), Arc::downgrade(&store));
        Ok(store)
    }

    /// The same for a call, which others may follow.
    pub(super) fn lingering(&self, group: &Group) -> Result<Arc<Store>> {
        let store = self.of(group)?;
        store.was_asked.store(true, Ordering::Relaxed);
        if !store.lingers.swap(true, Ordering::Relaxed) {
            self.tasks.spawn(linger(Arc::clone(&store), self.draining.clone()));
        }
        Ok(store)
    }
}

/// Holds a store until nobody has asked for it for a while.
async fn linger(store: Arc<Store>, draining: CancellationToken) {
    while store.was_asked.swap(false, Ordering::Relaxed) {
        tokio::select! {
            () = draining.cancelled() => return,
            () = tokio::time::sleep(LINGER) => {}
        }
    }
    store.lingers.store(false, Ordering::Relaxed);
}
