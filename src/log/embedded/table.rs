//! The topics as callers look them up: by name, with their partitions; and what else callers, readers and writer share.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU32, AtomicU64},
};

use rustc_hash::FxHashMap;
use tokio::sync::watch;

use super::{
    Options,
    files::{Files, Layout},
    handles::Handles,
    partition::{Gone, Partition},
    state::State,
};
use crate::{
    error::Result,
    log::{LogTime, TopicInfo, TopicPartition, rules::no_such_partition},
    name::Topic,
};

pub(crate) type Health = Result<(), Arc<str>>;

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) layout: Layout,
    pub(crate) handles: Arc<Handles>,
    pub(crate) state: RwLock<State>,
    pub(crate) table: RwLock<Table>,
    pub(crate) metadata: watch::Sender<u64>,
    pub(crate) health: watch::Sender<Health>,
    /// How often the segments were cut and written again while the log ran.
    pub(crate) recoveries: AtomicU64,
}

pub(crate) type Table = FxHashMap<Topic, Arc<Entry>>;

pub(crate) struct Entry {
    pub(crate) id: u32,
    pub(crate) info: TopicInfo,
    pub(crate) partitions: Vec<Arc<Partition>>,
    /// Where the next call puts its records without a key.
    pub(crate) rotation: Arc<AtomicU32>,
}

impl Shared {
    pub(crate) fn new(options: Options, files: Arc<dyn Files>) -> Self {
        let layout = Layout(options.directory.clone());
        Self {
            handles: Arc::new(Handles::new(files.clone(), layout.clone(), options.open_files)),
            files,
            layout,
            options,
            state: RwLock::default(),
            table: RwLock::default(),
            metadata: watch::Sender::new(0),
            health: watch::Sender::new(Ok(())),
            recoveries: AtomicU64::new(0),
        }
    }

    pub(crate) fn entry(&self, topic: &Topic) -> Option<Arc<Entry>> {
        self.read_table(|table| table.get(topic).cloned())
    }

    pub(crate) fn partition(&self, partition: &TopicPartition) -> Result<Arc<Partition>> {
        let found = self.read_table(|table| {
            let entry = table.get(&partition.topic)?;
            entry
                .partitions
                .get(usize::try_from(partition.partition).ok()?)
                .cloned()
        });
        found.ok_or_else(|| no_such_partition(partition))
    }

    pub(crate) fn partitions(&self) -> Vec<Arc<Partition>> {
        self.read_table(|table| {
            table
                .values()
                .flat_map(|entry| entry.partitions.iter().cloned())
                .collect()
        })
    }

    pub(crate) fn read_table<T>(&self, with: impl FnOnce(&Table) -> T) -> T {
        with(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn read_state<T>(&self, with: impl FnOnce(&State) -> T) -> T {
        with(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn change_state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes the table what the state says. Partitions that callers hold stay the same; new ones are taken from `found`.
    pub(crate) fn refresh(&self, found: &FxHashMap<(u32, i32), Arc<Partition>>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let new = self.read_state(|state| new_table(state, &table, found));
        let mut dropped = Vec::new();
        for entry in table.values() {
            if new.get(&entry.info.name).is_none_or(|same| same.id != entry.id) {
                dropped.extend(entry.partitions.iter().cloned());
            }
        }
        *table = new;
        drop(table);
        dropped.iter().for_each(|partition| partition.end(Gone::Deleted));
        self.metadata.send_modify(|version| *version += 1);
    }
}

fn new_table(state: &State, old: &Table, found: &FxHashMap<(u32, i32), Arc<Partition>>) -> Table {
    let mut table = Table::default();
    for (id, topic) in &state.topics {
        let Ok(name) = Topic::new(&topic.name) else {
            continue;
        };
        let old = old.get(&name).filter(|entry| entry.id == *id);
        let partition = |number: i32| {
            let held = old.and_then(|entry| entry.partitions.get(number as usize));
            held.or_else(|| found.get(&(*id, number))).cloned().unwrap_or_else(|| {
                let name = TopicPartition {
                    topic: name.clone(),
                    partition: number,
                };
                Arc::new(Partition::new(*id, name, topic.start(number)))
            })
        };
        let entry = Entry {
            id: *id,
            partitions: (0..topic.partitions).map(partition).collect(),
            rotation: old.map(|entry| entry.rotation.clone()).unwrap_or_default(),
            info: TopicInfo {
                name: name.clone(),
                settings: topic.settings(),
                created: Some(LogTime(topic.created)),
            },
        };
        table.insert(name, Arc::new(entry));
    }
    table
}
