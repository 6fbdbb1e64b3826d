//! What the log said of groups a while ago, so that a list need not wait for it to say so again.

use std::{
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use rustc_hash::FxHashMap;
use tokio::sync::Semaphore;

use super::GroupRecord;
use crate::{
    bus::Inner,
    error::Result,
    log::{LogTime, TopicPartition},
    name::Group,
};

/// For so long an answer of the log is not asked for again.
const FRESH: Duration = Duration::from_secs(30);
/// At more answers than this, some 30 MB, all are forgotten.
const MOST: usize = 200_000;
/// Groups that are asked for anew at the same time, while nobody waits.
const BEHIND_AT_ONCE: usize = 4;

/// Answers of the log.
pub(in crate::bus) struct LogAnswers {
    committed: Fresh<Standing, Option<i64>>,
    pub(super) times: Fresh<(TopicPartition, i64), LogTime>,
    /// Held by whoever asks anew, while nobody waits.
    asking: Arc<Semaphore>,
}

/// By the group's record, and by what was kept of it, which changes when it was served since.
type Standing = (u64, u64, TopicPartition, Option<i64>);

/// What is committed in a partition that nobody serves.
#[derive(Clone, Copy)]
pub(super) struct Stood {
    pub(super) offset: Option<i64>,
    /// When it was so; `None` = now.
    pub(super) at: Option<LogTime>,
}

/// Partitions of a group of which the log should be asked again.
pub(super) struct Stale {
    pub(super) group: Group,
    pub(super) record: Arc<GroupRecord>,
    pub(super) partitions: Vec<TopicPartition>,
}

impl Default for LogAnswers {
    fn default() -> Self {
        Self {
            committed: Fresh::default(),
            times: Fresh::default(),
            asking: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Inner {
    /// Where a group stands in a partition, without asking the log: as it said last, or as it was kept when the group was left.
    /// With whether that should be asked again.
    pub(super) fn stood_lately(
        &self,
        (group, record): (&Group, &GroupRecord),
        partition: &TopicPartition,
        end: i64,
    ) -> Option<(Stood, bool)> {
        let kept = self.kept_offset(group, record.id, partition);
        let key = standing(record, partition, kept.map(|(offset, _)| offset));
        // What is beyond the end was so of a topic that has been made anew since.
        let known = self.answers.committed.find(&key);
        if let Some((offset, at, is_fresh)) = known.filter(|(offset, ..)| offset.is_none_or(|offset| offset <= end)) {
            return Some((Stood { offset, at: Some(at) }, !is_fresh));
        }
        let (offset, at) = kept.filter(|(offset, _)| *offset <= end)?;
        let stood = Stood {
            offset: Some(offset),
            at: Some(at),
        };
        Some((stood, true))
    }

    /// What the log has as committed.
    pub(super) async fn stands_now(
        &self,
        (group, record): (&Group, &GroupRecord),
        partitions: &[TopicPartition],
    ) -> Result<Vec<Stood>> {
        let committed = self.log.committed(group, partitions).await?;
        let mut stood = Vec::with_capacity(partitions.len());
        for (partition, committed) in partitions.iter().zip(committed) {
            let offset = committed.map(|committed| committed.offset);
            if self.log.is_shared() {
                let kept = self.kept_offset(group, record.id, partition);
                let key = standing(record, partition, kept.map(|(offset, _)| offset));
                self.answers.committed.learn(key, offset);
            }
            stood.push(Stood { offset, at: None });
        }
        Ok(stood)
    }

    /// Asks the log again while nobody waits, so that the next list knows; one such task at a time.
    pub(super) fn ask_again(self: &Arc<Self>, stale: Vec<Stale>) {
        let Ok(alone) = Arc::clone(&self.answers.asking).try_acquire_owned() else {
            return;
        };
        let bus = Arc::clone(self);
        self.tasks.spawn(async move {
            let _alone = alone;
            let asked = stream::iter(stale).for_each_concurrent(BEHIND_AT_ONCE, |stale| bus.ask(stale));
            tokio::select! {
                () = bus.draining.cancelled() => {}
                () = asked => {}
            }
        });
    }

    async fn ask(&self, stale: Stale) {
        let asked = self.stands_now((&stale.group, &stale.record), &stale.partitions).await;
        if let Err(error) = asked {
            tracing::debug!(group = %stale.group, %error, "cannot ask where the group stands");
        }
    }
}

fn standing(record: &GroupRecord, partition: &TopicPartition, kept: Option<i64>) -> Standing {
    (record.id, record.version, partition.clone(), kept)
}

/// Answers with when they were given, not more than `MOST`.
pub(super) struct Fresh<K, V>(Mutex<FxHashMap<K, Answer<V>>>);

#[derive(Clone, Copy)]
struct Answer<V> {
    value: V,
    since: Instant,
    at: LogTime,
}

impl<K, V> Default for Fresh<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Copy> Fresh<K, V> {
    /// If it is not old.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.find(key)
            .and_then(|(value, _, is_fresh)| is_fresh.then_some(value))
    }

    /// With when it was given, and whether it need not be asked for again.
    fn find(&self, key: &K) -> Option<(V, LogTime, bool)> {
        let answer = *self.lock().get(key)?;
        Some((answer.value, answer.at, answer.since.elapsed() < FRESH))
    }

    pub(super) fn learn(&self, key: K, value: V) {
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        let (since, at) = (Instant::now(), LogTime::now());
        known.insert(key, Answer { value, since, at });
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, FxHashMap<K, Answer<V>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
