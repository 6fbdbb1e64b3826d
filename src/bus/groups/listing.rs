//! A page of groups, looked at for little: what groups share is asked for once, what owners tell is not asked for again.
//!
//! | | from |
//! |---|---|
//! | where partitions begin and end | the log, once for all groups of the page |
//! | where a group stands that is served | its owners, who told it within 5 s |
//! | where another stands | the log; on a shared one at most every 30 s, as that takes a connection for each group |
//! | how old the next event is | the owner, or the record, read at most every 30 s however many groups stand there |

use std::{
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    GroupRecord,
    view::{GroupPartition, Served, served},
};
use crate::{
    bus::{Inner, age, seen::Sight},
    error::Result,
    log::{Bounds, LogTime, TopicPartition},
    name::Group,
};

/// What the log is asked at the same time.
pub(super) const AT_ONCE: usize = 32;
/// For so long an answer of the log is not asked for again.
const FRESH: Duration = Duration::from_secs(30);
/// At more answers than this, some 30 MB, all are forgotten.
const MOST: usize = 200_000;

pub(super) type AllBounds = FxHashMap<TopicPartition, Bounds>;

/// Answers of the log.
#[derive(Default)]
pub(in crate::bus) struct LogAnswers {
    committed: Fresh<Standing, Option<i64>>,
    times: Fresh<(TopicPartition, i64), LogTime>,
}

/// A group of a page.
pub(super) struct Listed {
    pub(super) name: Group,
    pub(super) record: Arc<GroupRecord>,
    partitions: Vec<TopicPartition>,
}

/// By the group and its record's version, and by what was kept of it, which changes when it was served since.
type Standing = (u64, u64, TopicPartition, Option<i64>);

impl Inner {
    /// Groups, each with its partitions that exist, and the bounds of all of these.
    pub(super) async fn page(&self, listed: Vec<(Group, Arc<GroupRecord>)>) -> Result<(Vec<Listed>, AllBounds)> {
        let (mut page, mut all) = (Vec::with_capacity(listed.len()), FxHashSet::default());
        for (name, record) in listed {
            let partitions = self.existing_partitions(&record.settings.topics).await?;
            all.extend(partitions.iter().cloned());
            page.push(Listed {
                name,
                record,
                partitions,
            });
        }
        let mut all: Vec<TopicPartition> = all.into_iter().collect();
        let bounds = self.bounds_without(&mut all, |_| true).await?;
        Ok((page, all.into_iter().zip(bounds).collect()))
    }

    pub(super) async fn listed_partitions(
        &self,
        group: &Listed,
        sights: &[Sight],
        bounds: &AllBounds,
    ) -> Result<Vec<GroupPartition>> {
        let mut served = served(sights);
        let mut committed = self.committed_lately(group, &served).await?;
        let mut rows = Vec::with_capacity(group.partitions.len());
        for partition in &group.partitions {
            let Some(bounds) = bounds.get(partition).copied() else {
                continue;
            };
            let served = served.remove(partition);
            let asked = committed.remove(partition).flatten();
            rows.push(GroupPartition {
                committed: served.as_ref().map(|served| served.row.committed).or(asked),
                partition: partition.clone(),
                bounds,
                lag_time: Duration::ZERO,
                time_to_loss: None,
                served,
            });
        }
        let next: Vec<Next> = rows.iter().map(Next::of).collect();
        let ages = stream::iter(next).map(|next| self.age_of(next)).buffered(AT_ONCE);
        let ages: Vec<Duration> = ages.collect().await;
        for (row, age) in rows.iter_mut().zip(ages) {
            row.lag_time = age;
            self.losses.warn(&group.name, row);
        }
        Ok(rows)
    }

    /// What the log has as committed in partitions that nobody serves, or had a moment ago: a group stands still there.
    async fn committed_lately(
        &self,
        Listed {
            name,
            record,
            partitions,
        }: &Listed,
        served: &FxHashMap<TopicPartition, Served>,
    ) -> Result<FxHashMap<TopicPartition, Option<i64>>> {
        let known = self.log.is_shared().then_some(&self.answers.committed);
        let key = |partition: &TopicPartition| {
            let kept = self.kept_offset(name, partition);
            (record.id, record.version, partition.clone(), kept)
        };
        let (mut committed, mut unknown) = (FxHashMap::default(), Vec::new());
        for partition in partitions.iter().filter(|partition| !served.contains_key(*partition)) {
            match known.and_then(|known| known.get(&key(partition))) {
                Some(offset) => drop(committed.insert(partition.clone(), offset)),
                None => unknown.push(partition.clone()),
            }
        }
        let asked = self.log.committed(name, &unknown).await?;
        for (partition, asked) in unknown.into_iter().zip(asked) {
            let offset = asked.map(|committed| committed.offset);
            if let Some(known) = known {
                known.learn(key(&partition), offset);
            }
            committed.insert(partition, offset);
        }
        Ok(committed)
    }

    async fn age_of(&self, next: Next) -> Duration {
        let time = match next {
            Next::Nothing => None,
            Next::Written(time) => Some(time),
            Next::At(partition, offset) => self.time_lately(partition, offset).await,
        };
        time.map_or(Duration::ZERO, age)
    }

    /// When the record at an offset was written.
    async fn time_lately(&self, partition: TopicPartition, offset: i64) -> Option<LogTime> {
        let (known, key) = (&self.answers.times, (partition, offset));
        if let Some(time) = known.get(&key) {
            return Some(time);
        }
        let time = self.time_at(&key.0, offset).await?;
        known.learn(key, time);
        Some(time)
    }
}

/// The next event of a partition.
enum Next {
    Nothing,
    /// When, as its owner says.
    Written(LogTime),
    /// The record has to be asked.
    At(TopicPartition, i64),
}

impl Next {
    fn of(row: &GroupPartition) -> Self {
        let next = row.position().max(row.bounds.start);
        let told = row.served.as_ref().filter(|served| served.row.committed == next);
        match told.and_then(|served| served.row.next_time) {
            _ if next >= row.bounds.end => Self::Nothing,
            Some(time) => Self::Written(time),
            None => Self::At(row.partition.clone(), next),
        }
    }
}

/// Answers that are not older than `FRESH`, and not more than `MOST`.
struct Fresh<K, V>(Mutex<FxHashMap<K, (V, Instant)>>);

impl<K, V> Default for Fresh<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, V: Copy> Fresh<K, V> {
    fn get(&self, key: &K) -> Option<V> {
        let (answer, at) = *self.lock().get(key)?;
        (at.elapsed() < FRESH).then_some(answer)
    }

    fn learn(&self, key: K, answer: V) {
        let mut known = self.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, (answer, Instant::now()));
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, FxHashMap<K, (V, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
