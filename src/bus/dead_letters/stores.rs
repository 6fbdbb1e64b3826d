//! The stores of all groups: one each, shared by who uses it, followed while somebody does.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustc_hash::FxHashMap;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    follow::follow,
    store::{Shared, Store},
};
use crate::{
    error::Result,
    log::Log,
    name::{Group, Topic, template::TopicTemplate},
};

/// Gives each group its dead letters.
pub struct DeadLetters {
    log: Arc<dyn Log>,
    template: TopicTemplate,
    stores: Mutex<FxHashMap<Group, Weak<Store>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl DeadLetters {
    /// Nothing is read before a group's store is asked for; nothing after `stop`.
    pub fn new(log: Arc<dyn Log>, template: TopicTemplate, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self {
            log,
            template,
            stores: Mutex::default(),
            tasks,
            stop,
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
        let stop = self.stop.child_token();
        self.tasks.spawn(follow(Arc::clone(&shared), stop.clone()));
        let store = Arc::new(Store::new(shared, stop.drop_guard()));
        stores.insert(group.clone(), Arc::downgrade(&store));
        Ok(store)
    }
}
