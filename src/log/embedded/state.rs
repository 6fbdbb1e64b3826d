//! What the log knows besides records: topics, and what groups have committed. Changed by operations only, each of which is
//! a record of the internal partition; all of it is kept in memory.
//!
//! Operations may be applied again over a later state, as replay does: in the end the state is the same.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::log::{Cleanup, Committed, TopicSettings};

/// The internal partition's topic.
pub(crate) const INTERNAL: u32 = 0;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The last number that a topic got; none is used again.
    pub(crate) last_topic: u32,
    pub(crate) topics: BTreeMap<u32, TopicState>,
    /// By group, topic and partition.
    commits: BTreeMap<String, BTreeMap<u32, BTreeMap<i32, CommitState>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicState {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    pub(crate) retention_ms: Option<u64>,
    pub(crate) retention_bytes: Option<u64>,
    pub(crate) compact: bool,
    pub(crate) created: i64,
    /// Where partitions start that retention has cut.
    #[serde(default)]
    pub(crate) starts: BTreeMap<i32, i64>,
}

impl TopicState {
    pub(crate) fn new(name: String, settings: &TopicSettings, created: i64) -> Self {
        let mut topic = Self {
            name,
            partitions: 0,
            retention_ms: None,
            retention_bytes: None,
            compact: false,
            created,
            starts: BTreeMap::new(),
        };
        topic.set(settings);
        topic
    }

    pub(crate) fn set(&mut self, settings: &TopicSettings) {
        self.partitions = settings.partitions;
        self.retention_ms = settings
            .retention
            .map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        self.retention_bytes = settings.retention_bytes;
        self.compact = settings.cleanup == Cleanup::Compact;
    }

    pub(crate) fn settings(&self) -> TopicSettings {
        TopicSettings {
            partitions: self.partitions,
            retention: self.retention_ms.map(Duration::from_millis),
            retention_bytes: self.retention_bytes,
            cleanup: if self.compact {
                Cleanup::Compact
            } else {
                Cleanup::Delete
            },
        }
    }

    pub(crate) fn start(&self, partition: i32) -> i64 {
        self.starts.get(&partition).copied().unwrap_or(0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CommitState {
    offset: i64,
    note: String,
}

/// A change of the state, as the internal partition holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Op {
    Create {
        id: u32,
        topic: TopicState,
    },
    Alter {
        id: u32,
        topic: TopicState,
    },
    Delete {
        id: u32,
    },
    Commit {
        group: String,
        commits: Vec<CommitOp>,
    },
    Trim {
        id: u32,
        partition: i32,
        start: i64,
    },
    /// What a group has committed.
    Forget {
        group: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommitOp {
    pub(crate) id: u32,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) note: String,
}

impl Op {
    /// The topics of what it commits, in order.
    pub(crate) fn topics(&self) -> impl Iterator<Item = u32> {
        let commits = match self {
            Self::Commit { commits, .. } => commits.as_slice(),
            _ => &[],
        };
        commits.iter().map(|commit| commit.id)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("maps with plain keys become JSON")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("an operation cannot be read: {error}"))
    }
}

impl State {
    pub(crate) fn apply(&mut self, op: Op) {
        match op {
            Op::Create { id, topic } if id > self.last_topic => {
                self.last_topic = id;
                self.topics.insert(id, topic);
            }
            // It was there already when this state was written, or is deleted by now.
            Op::Create { .. } => {}
            Op::Alter { id, topic } => {
                if let Some(old) = self.topics.get_mut(&id) {
                    let starts = std::mem::take(&mut old.starts);
                    *old = TopicState { starts, ..topic };
                }
            }
            Op::Delete { id } => self.delete(id),
            Op::Commit { group, commits } => self.commit(group, commits),
            Op::Forget { group } => drop(self.commits.remove(&group)),
            Op::Trim { id, partition, start } => {
                if let Some(topic) = self.topics.get_mut(&id) {
                    let old = topic.starts.entry(partition).or_default();
                    *old = start.max(*old);
                }
            }
        }
    }

    pub(crate) fn committed(&self, group: &str, id: u32, partition: i32) -> Option<Committed> {
        let commit = self.commits.get(group)?.get(&id)?.get(&partition)?;
        Some(Committed {
            offset: commit.offset,
            note: commit.note.clone(),
        })
    }

    fn delete(&mut self, id: u32) {
        self.topics.remove(&id);
        self.commits.retain(|_, topics| {
            topics.remove(&id);
            !topics.is_empty()
        });
    }

    fn commit(&mut self, group: String, commits: Vec<CommitOp>) {
        let group = self.commits.entry(group).or_default();
        for CommitOp {
            id,
            partition,
            offset,
            note,
        } in commits
        {
            if self.topics.contains_key(&id) {
                group
                    .entry(id)
                    .or_default()
                    .insert(partition, CommitState { offset, note });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn op() -> impl Strategy<Value = Op> {
        let id = 1..4_u32;
        let settings = TopicSettings {
            partitions: 2,
            retention: None,
            retention_bytes: None,
            cleanup: Cleanup::Delete,
        };
        let topic = TopicState::new("t".into(), &settings, 0);
        let altered = TopicState {
            partitions: 3,
            ..topic.clone()
        };
        prop_oneof![
            id.clone().prop_map(move |id| Op::Create {
                id,
                topic: topic.clone()
            }),
            id.clone().prop_map(move |id| Op::Alter {
                id,
                topic: altered.clone()
            }),
            id.clone().prop_map(|id| Op::Delete { id }),
            (id.clone(), 0..2, 0..9_i64).prop_map(|(id, partition, start)| Op::Trim { id, partition, start }),
            Just(Op::Forget { group: "g".into() }),
            (id, 0..2, 0..9_i64).prop_map(|(id, partition, offset)| Op::Commit {
                group: "g".into(),
                commits: vec![CommitOp {
                    id,
                    partition,
                    offset,
                    note: String::new()
                }],
            }),
        ]
    }

    /// As the writer does: no number twice, nothing about topics that are not there.
    fn possible(ops: Vec<Op>) -> Vec<Op> {
        let mut state = State::default();
        let mut possible = Vec::new();
        for op in ops {
            let fits = match &op {
                Op::Create { id, .. } => *id > state.last_topic,
                Op::Alter { id, .. } | Op::Delete { id } | Op::Trim { id, .. } => state.topics.contains_key(id),
                Op::Forget { .. } => true,
                Op::Commit { commits, .. } => state.topics.contains_key(&commits[0].id),
            };
            if fits {
                state.apply(op.clone());
                possible.push(op);
            }
        }
        possible
    }

    proptest! {
        #[test]
        fn replay_over_a_later_state_ends_the_same(ops in vec(op(), 0..40), from in any::<prop::sample::Index>()) {
            let ops = possible(ops);
            let mut state = State::default();
            ops.iter().for_each(|op| state.apply(op.clone()));
            let mut again = state.clone();
            let from = if ops.is_empty() { 0 } else { from.index(ops.len()) };
            ops[from..].iter().for_each(|op| again.apply(op.clone()));
            again.commits.retain(|_, topics| !topics.is_empty());
            state.commits.retain(|_, topics| !topics.is_empty());
            prop_assert_eq!(again, state);
        }

        #[test]
        fn operations_survive_their_encoding(op in op()) {
            prop_assert_eq!(Op::decode(&op.encode()), Ok(op));
        }

        #[test]
        fn any_bytes_give_an_operation_or_a_reason(bytes in vec(any::<u8>(), 0..50)) {
            let _ = Op::decode(&bytes);
        }
    }
}
