//! The topics that are told one by one: those that are used first, as many as there is room for. All others are one.

use std::sync::{PoisonError, RwLock};

use opentelemetry::KeyValue;
use rustc_hash::FxHashMap;

use crate::name::Topic;

const DESTINATION: &str = "messaging.destination.name";
/// All without a place of their own, and several at once.
const OTHER: &str = "other";

pub(super) struct Topics {
    most: usize,
    known: RwLock<FxHashMap<Topic, KeyValue>>,
}

impl Topics {
    pub(super) fn new(most: usize) -> Self {
        let known = RwLock::default();
        Self { most, known }
    }

    /// As it stands in the series of metrics.
    pub(super) fn label(&self, topic: &Topic) -> KeyValue {
        // Nothing is left half done here, so a poisoned lock is whole.
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match known.get(topic) {
            Some(label) => return label.clone(),
            None if known.len() >= self.most => return Self::other(),
            None => drop(known),
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.most && !known.contains_key(topic) {
            return Self::other();
        }
        let label = || KeyValue::new(DESTINATION, std::sync::Arc::<str>::from(topic.as_str()));
        known.entry(topic.clone()).or_insert_with(label).clone()
    }

    pub(super) fn other() -> KeyValue {
        KeyValue::new(DESTINATION, OTHER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_beyond_the_limit_are_one() {
        let topics = Topics::new(2);
        let told = |name: &str| topics.label(&Topic::new(name).expect("a name")).value.to_string();
        let labels = ["a", "b", "c", "a", "d", "b"].map(told);
        assert_eq!(labels, ["a", "b", "other", "a", "other", "b"]);
    }
}
