//! A page of groups, looked at for little: what groups share is asked for once, what is known is not asked for again.
//!
//! | | from |
//! |---|---|
//! | where partitions begin and end | the log, once for all groups of the page |
//! | where a group stands that is served | its owners, who told it within 5 s |
//! | where another stands | what the log said last, or what was kept when the group was left; the log is asked again meanwhile |
//! | how old the next event is | the owner, or the record, read at most every 30 s however many groups stand there |

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    GroupRecord,
    lately::{Stale, Stood},
    view::{GroupInfo, GroupPartition, Served, served},
};
use crate::{
    bus::{
        Inner, age,
        seen::{Others, Sight},
    },
    error::Result,
    log::{Bounds, LogTime, TopicPartition},
    name::Group,
};

/// What the log is asked at the same time.
const AT_ONCE: usize = 32;

type AllBounds = FxHashMap<TopicPartition, Bounds>;

/// A group of a page.
struct Listed {
    name: Group,
    record: Arc<GroupRecord>,
    /// Those that exist.
    partitions: Vec<TopicPartition>,
}

/// The same, looked at.
struct Seen {
    group: Listed,
    sights: Vec<Sight>,
    rows: Vec<GroupPartition>,
    /// Partitions of which the log should be asked again.
    stale: Vec<TopicPartition>,
}

impl Inner {
    /// These groups, and where they stand.
    pub(super) async fn page(self: &Arc<Self>, listed: Vec<(Group, Arc<GroupRecord>)>) -> Result<Vec<GroupInfo>> {
        let (listed, bounds) = self.with_bounds(listed).await?;
        let (bounds, others) = (&bounds, &self.others());
        let seen = stream::iter(listed).map(|group| self.see(group, others, bounds));
        let seen: Vec<Seen> = seen.buffered(AT_ONCE).try_collect().await?;
        let times = self.times_of(&seen).await;
        let (mut page, mut stale) = (Vec::with_capacity(seen.len()), Vec::new());
        for mut seen in seen {
            let Listed { name, record, .. } = seen.group;
            for row in &mut seen.rows {
                row.lag_time = Next::of(row).time(&times).map_or(Duration::ZERO, age);
                self.losses.warn(&name, row);
            }
            if !seen.stale.is_empty() {
                stale.push(Stale {
                    group: name.clone(),
                    record: Arc::clone(&record),
                    partitions: seen.stale,
                });
            }
            page.push(self.group_info(name, (record, seen.rows), &seen.sights));
        }
        if !stale.is_empty() {
            self.ask_again(stale);
        }
        Ok(page)
    }

    /// Groups, each with its partitions that exist, and the bounds of all of these.
    async fn with_bounds(&self, listed: Vec<(Group, Arc<GroupRecord>)>) -> Result<(Vec<Listed>, AllBounds)> {
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

    async fn see(&self, group: Listed, others: &Others, bounds: &AllBounds) -> Result<Seen> {
        let sights = self.sights(&group.name, others).await;
        let mut served = served(&sights);
        let (mut stands, stale) = self.standing(&group, &served, bounds).await?;
        let mut rows = Vec::with_capacity(group.partitions.len());
        for partition in &group.partitions {
            let Some(bounds) = bounds.get(partition).copied() else {
                continue;
            };
            let (served, stood) = (served.remove(partition), stands.remove(partition));
            let committed = served.as_ref().map(|served| served.row.committed);
            rows.push(GroupPartition {
                committed: committed.or(stood.and_then(|stood| stood.offset)),
                partition: partition.clone(),
                bounds,
                lag_time: Duration::ZERO,
                time_to_loss: None,
                observed: served
                    .as_ref()
                    .map(|served| served.at)
                    .or(stood.and_then(|stood| stood.at)),
                served,
            });
        }
        Ok(Seen {
            group,
            sights,
            rows,
            stale,
        })
    }

    /// Where the group stands in partitions that nobody serves: on a log that takes a connection for each group to say so, as it
    /// was lately; with those that should be asked again.
    async fn standing(
        &self,
        group: &Listed,
        served: &FxHashMap<TopicPartition, Served>,
        bounds: &AllBounds,
    ) -> Result<(FxHashMap<TopicPartition, Stood>, Vec<TopicPartition>)> {
        let of = (&group.name, &*group.record);
        let (mut stands, mut stale, mut unknown) = (FxHashMap::default(), Vec::new(), Vec::new());
        for partition in group
            .partitions
            .iter()
            .filter(|partition| !served.contains_key(*partition))
        {
            let end = bounds.get(partition).map_or(0, |bounds| bounds.end);
            let lately = self.log.is_shared().then(|| self.stood_lately(of, partition, end));
            let Some((stood, is_stale)) = lately.flatten() else {
                unknown.push(partition.clone());
                continue;
            };
            stands.insert(partition.clone(), stood);
            if is_stale {
                stale.push(partition.clone());
            }
        }
        if !unknown.is_empty() {
            let now = self.stands_now(of, &unknown).await?;
            stands.extend(unknown.into_iter().zip(now));
        }
        Ok((stands, stale))
    }

    /// When the next events of all groups were written; each record is read once.
    async fn times_of(&self, seen: &[Seen]) -> FxHashMap<(TopicPartition, i64), LogTime> {
        let nexts = seen.iter().flat_map(|seen| &seen.rows).map(Next::of);
        let asked: FxHashSet<(TopicPartition, i64)> = nexts.filter_map(Next::at).collect();
        let times = stream::iter(asked).map(|at| async {
            let time = self.time_lately(&at).await?;
            Some((at, time))
        });
        times
            .buffer_unordered(AT_ONCE)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    /// When the record at an offset was written.
    async fn time_lately(&self, at: &(TopicPartition, i64)) -> Option<LogTime> {
        let known = &self.answers.times;
        if let Some(time) = known.get(at) {
            return Some(time);
        }
        let time = self.time_at(&at.0, at.1).await?;
        known.learn(at.clone(), time);
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

    fn at(self) -> Option<(TopicPartition, i64)> {
        match self {
            Self::At(partition, offset) => Some((partition, offset)),
            Self::Nothing | Self::Written(_) => None,
        }
    }

    fn time(self, times: &FxHashMap<(TopicPartition, i64), LogTime>) -> Option<LogTime> {
        match self {
            Self::Nothing => None,
            Self::Written(time) => Some(time),
            Self::At(partition, offset) => times.get(&(partition, offset)).copied(),
        }
    }
}
