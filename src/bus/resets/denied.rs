//! Topics of resets that the log denies: deleted, or unknown for a moment to a broker that has just started.

use std::{
    sync::{Mutex, PoisonError},
    time::Instant,
};

use rustc_hash::FxHashMap;

use crate::{bus::table::GONE_AFTER, name::Group, name::Topic};

/// Since when which topics of a group's reset have been denied.
#[derive(Default)]
pub(in crate::bus) struct Denied(Mutex<FxHashMap<Group, (Vec<Topic>, Instant)>>);

impl Denied {
    /// Whether these, all that the log denies of a group's reset now, are deleted. Until that is sure, the reset is not finished:
    /// the partitions of a topic that comes back would never be moved.
    pub(super) fn are_deleted(&self, group: &Group, denied: Vec<Topic>, now: Instant) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if denied.is_empty() {
            known.remove(group);
            return true;
        }
        let (topics, since) = known.entry(group.clone()).or_insert_with(|| (denied.clone(), now));
        if *topics != denied {
            (*topics, *since) = (denied, now);
        }
        let is_sure = now.duration_since(*since) >= GONE_AFTER;
        if is_sure {
            known.remove(group);
        }
        is_sure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_for_a_moment_is_not_deleted() {
        let (denied, now) = (Denied::default(), Instant::now());
        let group = Group::new("g").expect("valid");
        let topics = |names: &[&str]| {
            names
                .iter()
                .map(|name| Topic::new(name).expect("valid"))
                .collect::<Vec<_>>()
        };
        assert!(!denied.are_deleted(&group, topics(&["a"]), now));
        // Another one too: it begins anew.
        assert!(!denied.are_deleted(&group, topics(&["a", "b"]), now + GONE_AFTER));
        assert!(!denied.are_deleted(&group, topics(&["a", "b"]), now + GONE_AFTER + GONE_AFTER / 2));
        // Both are there again, then one is not.
        assert!(denied.are_deleted(&group, Vec::new(), now + GONE_AFTER * 2));
        assert!(!denied.are_deleted(&group, topics(&["a"]), now + GONE_AFTER * 3));
        assert!(denied.are_deleted(&group, topics(&["a"]), now + GONE_AFTER * 4));
    }
}
