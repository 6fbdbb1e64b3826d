//! The streams on this replica that take commands, by group.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use rustc_hash::FxHashMap;

use super::{Instance, words::CommandTarget};
use crate::name::Group;

#[derive(Default)]
pub(in crate::bus) struct Instances {
    groups: Mutex<FxHashMap<Group, FxHashMap<String, Arc<Instance>>>>,
    places: AtomicUsize,
}

/// A stream takes commands, or is about to: while there is one, other replicas are told that this one listens.
pub(in crate::bus) struct Place(Arc<Instances>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.places.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Instances {
    pub(in crate::bus) fn place(self: &Arc<Self>) -> Place {
        self.places.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(self))
    }

    /// Whether a stream takes commands, or is about to.
    pub(in crate::bus) fn are_some(&self) -> bool {
        self.places.load(Ordering::Relaxed) > 0
    }

    pub(super) fn add(&self, instance: &Arc<Instance>) {
        let mut groups = self.lock();
        let of_group = groups.entry(instance.group.clone()).or_default();
        of_group.insert(instance.name.stream_id.clone(), Arc::clone(instance));
    }

    pub(super) fn remove(&self, instance: &Instance) {
        let mut groups = self.lock();
        if let Some(of_group) = groups.get_mut(&instance.group) {
            of_group.remove(&instance.name.stream_id);
            if of_group.is_empty() {
                groups.remove(&instance.group);
            }
        }
    }

    /// The topic was made anew: all that comes was sent since.
    pub(super) fn begin_anew(&self) {
        self.lock()
            .values()
            .flat_map(FxHashMap::values)
            .for_each(|one| one.begin_anew());
    }

    /// Those that a command is for, which lies there.
    pub(super) fn meant(&self, target: &CommandTarget, offset: i64) -> Vec<Arc<Instance>> {
        let groups = self.lock();
        let mut meant: Vec<Arc<Instance>> = match target {
            CommandTarget::Group(group) => groups
                .get(group)
                .into_iter()
                .flat_map(|all| all.values())
                .cloned()
                .collect(),
            CommandTarget::Instance(id) => groups
                .values()
                .find_map(|all| all.get(id))
                .into_iter()
                .cloned()
                .collect(),
        };
        meant.retain(|instance| instance.is_open_at(offset));
        meant
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, FxHashMap<Group, FxHashMap<String, Arc<Instance>>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
