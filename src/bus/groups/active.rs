//! The groups that this replica serves: one task each, found by name, started when first needed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::OwnedMutexGuard;

use crate::{bus::group::Handle, name::Group};

#[derive(Default)]
pub(in crate::bus) struct Active {
    groups: Mutex<FxHashMap<Group, Slot>>,
}

#[derive(Default)]
struct Slot {
    /// Held while a group is created, changed, or joined by a stream.
    #[expect(clippy::disallowed_types, reason = "guards a sequence of calls to the log, not data")]
    lock: Arc<tokio::sync::Mutex<()>>,
    handle: Option<Handle>,
}

impl Active {
    /// One at a time may create or change a group.
    pub(in crate::bus) async fn lock(&self, group: &Group) -> OwnedMutexGuard<()> {
        let lock = Arc::clone(&self.groups().entry(group.clone()).or_default().lock);
        lock.lock_owned().await
    }

    /// The group's task, if it runs.
    pub(in crate::bus) fn get(&self, group: &Group) -> Option<Handle> {
        let groups = self.groups();
        let handle = groups.get(group)?.handle.as_ref()?;
        (!handle.is_closed()).then(|| handle.clone())
    }

    /// The tasks that run.
    pub(in crate::bus) fn all(&self) -> Vec<(Group, Handle)> {
        let running = |(group, slot): (&Group, &Slot)| {
            let handle = slot.handle.as_ref().filter(|handle| !handle.is_closed())?;
            Some((group.clone(), handle.clone()))
        };
        self.groups().iter().filter_map(running).collect()
    }

    /// How many groups' tasks run.
    pub(in crate::bus) fn running(&self) -> usize {
        let is_running = |slot: &&Slot| slot.handle.as_ref().is_some_and(|handle| !handle.is_closed());
        self.groups().values().filter(is_running).count()
    }

    /// The group's task runs now. Forgets groups that nobody uses.
    pub(in crate::bus) fn insert(&self, group: &Group, handle: Handle) {
        let mut groups = self.groups();
        groups.retain(|_, slot| {
            Arc::strong_count(&slot.lock) > 1 || slot.handle.as_ref().is_some_and(|handle| !handle.is_closed())
        });
        groups.entry(group.clone()).or_default().handle = Some(handle);
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn groups(&self) -> MutexGuard<'_, FxHashMap<Group, Slot>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
