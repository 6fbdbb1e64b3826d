//! A replay on this replica: what of it lies in partitions that it has, how far it has come there, and how fast it may go.
//!
//! ```text
//! the group's record names one ─▶ its row, and `replayed/…` of each partition ─▶ read ─▶ Dispatch, beside the live events
//!                                               ▲ how far it has come ─ with the next commit ◀── acks
//! ```

mod reading;
mod saving;

use std::{collections::VecDeque, sync::Arc, time::Instant};

use futures_util::{future::BoxFuture, stream::FuturesUnordered};
use rustc_hash::{FxHashMap, FxHashSet};

pub(super) use self::saving::Advanced;

use self::reading::{Parked, ReadBack};
use super::{
    buffer::Buffer,
    task::{RETRY, Task},
};
use crate::{
    bus::{
        Inner,
        delivery::{Live, PartitionId},
        replays::{How, ReplayRange, ReplayRow, Replayed},
    },
    error::{Error, Reason, Result},
    filter::Filter,
    log::TopicPartition,
};

/// Beside the group's buffer, one part in so many of it is for the events of a replay.
const PART_OF_BUFFER: usize = 8;

/// The replay that the group has, and what this replica does of it.
pub(super) struct Replaying {
    /// What the group's record named last.
    id: Option<String>,
    /// The same for the dispatcher.
    pub(super) number: u64,
    pub(super) known: Option<Known>,
    /// Partitions that were looked at, whether the replay has something of them or not.
    opened: FxHashSet<PartitionId>,
    parked: VecDeque<Parked>,
    pub(super) reading: usize,
    pub(super) work: FuturesUnordered<BoxFuture<'static, Came>>,
    pub(super) buffer: Arc<Buffer>,
    /// What the log has of each partition.
    saved: FxHashMap<PartitionId, (i64, u64)>,
    /// After a failure of the log.
    again: Option<Instant>,
}

/// What is replayed.
#[derive(Clone)]
pub(super) struct Known {
    pub(super) row: Arc<ReplayRow>,
    pub(super) filter: Option<Filter>,
    /// Its id, for each delivery.
    pub(super) mark: Arc<str>,
}

/// What the replay waited for.
pub(super) struct Came(Kind);

enum Kind {
    Opened(Opened),
    Read(ReadBack),
}

/// Partitions in which the replay may have something, and how far it has come there.
struct Opened {
    number: u64,
    asked: Vec<Place>,
    known: Result<(Known, Vec<Option<Begun>>)>,
}

/// What of a partition is replayed, and how far that has come.
type Begun = (ReplayRange, Arc<Replayed>);

type Place = (PartitionId, u64, Arc<TopicPartition>);

impl Replaying {
    /// Of a group that may hold so many bytes of events.
    pub(super) fn new(group_buffer_bytes: usize) -> Self {
        Self {
            id: None,
            number: 0,
            known: None,
            opened: FxHashSet::default(),
            parked: VecDeque::new(),
            reading: 0,
            work: FuturesUnordered::new(),
            buffer: Buffer::new((group_buffer_bytes / PART_OF_BUFFER).max(1)),
            saved: FxHashMap::default(),
            again: None,
        }
    }

    /// The partition is not ours any more.
    pub(super) fn forget(&mut self, id: PartitionId) {
        if self.opened.remove(&id) {
            self.parked.retain(|parked| parked.id != id);
            self.saved.remove(&id);
        }
    }
}

impl Task {
    /// Goes on with the group's replay, if it has one.
    pub(super) fn replay(&mut self, now: Instant) {
        let record = &self.identity.record;
        let named = record.replay.as_ref().filter(|_| !record.is_deleted());
        if named != self.replaying.id.as_ref() {
            self.replaying.id = named.cloned();
            self.switch_replay(now);
        }
        if self.replaying.id.is_none() {
            return self.let_go_of_replay();
        }
        if self.replaying.again.is_none_or(|again| now >= again) {
            self.open_replay();
        }
        self.read_back();
        let is_behind = !self.starting.is_empty()
            || self.owned.iter().any(|(id, owned)| {
                self.dispatch.partition(*id).is_some_and(|view| view.next < owned.end) && self.dispatch.wants_more(*id)
            });
        self.dispatch
            .weigh_replay(if is_behind { Live::Waits } else { Live::CaughtUp });
    }

    /// When what failed is tried again.
    pub(super) fn replay_at(&self) -> Option<Instant> {
        self.replaying.again.filter(|_| self.replaying.id.is_some())
    }

    /// The record names another one, or none any more.
    fn switch_replay(&mut self, now: Instant) {
        let replaying = &mut self.replaying;
        replaying.parked.clear();
        replaying.work.clear();
        (replaying.reading, replaying.again) = (0, None);
        self.dispatch.stop_replay();
        if self.replaying.known.is_some() {
            // What no client has read must not reach it any more.
            self.take_back_all();
        }
        let replaying = &mut self.replaying;
        if replaying.id.is_none() {
            return;
        }
        replaying.opened.clear();
        replaying.saved.clear();
        replaying.known = None;
        replaying.number += 1;
        self.dispatch.start_replay(replaying.number, now);
    }

    /// Looks up how far the replay has come in partitions that are new here; `replay_came` goes on.
    fn open_replay(&mut self) {
        let is_new = |id: &PartitionId| !self.replaying.opened.contains(id);
        let new = self
            .owned
            .iter()
            .filter(|(id, owned)| is_new(id) && !owned.is_releasing());
        let asked: Vec<Place> = new
            .map(|(id, owned)| (*id, owned.serial, Arc::clone(&owned.partition)))
            .collect();
        let Some(id) = self.replaying.id.clone().filter(|_| !asked.is_empty()) else {
            return;
        };
        self.replaying.again = None;
        self.replaying.opened.extend(asked.iter().map(|(id, ..)| *id));
        let (bus, number) = (Arc::clone(&self.bus), self.replaying.number);
        self.replaying.work.push(Box::pin(async move {
            let known = bus.look_up_replay(&id, &asked).await;
            Came(Kind::Opened(Opened { number, asked, known }))
        }));
    }

    pub(super) fn replay_came(&mut self, came: Came) {
        match came.0 {
            Kind::Opened(opened) => self.replay_opened(opened),
            Kind::Read(read) => self.replay_read(read),
        }
    }

    fn replay_opened(&mut self, opened: Opened) {
        let Opened { number, asked, known } = opened;
        if number != self.replaying.number {
            return;
        }
        let (known, ranges) = match known {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(group = %self.identity.group, %error, "cannot go on with a replay, trying again");
                for (id, ..) in &asked {
                    self.replaying.opened.remove(id);
                }
                self.replaying.again = Some(Instant::now() + RETRY);
                return;
            }
        };
        for ((id, serial, partition), range) in asked.into_iter().zip(ranges) {
            let is_ours = self
                .owned
                .get(&id)
                .is_some_and(|owned| owned.serial == serial && !owned.is_releasing());
            let Some((range, replayed)) = range.filter(|_| is_ours) else {
                continue;
            };
            let Replayed { next, settled, counts } = &*replayed;
            self.dispatch.resume_replay(id, *next, (settled, *counts));
            if let Some(version) = self.dispatch.course_version(id) {
                self.replaying.saved.insert(id, version);
            }
            if *next < range.until {
                let reader = self.bus.feeds.reader((*partition).clone(), *next, Some(range.until));
                self.replaying.parked.push_back(Parked { id, serial, reader });
            }
        }
        self.replaying.known = Some(known);
        self.set_replay_pace();
    }

    /// One that was stopped is forgotten once what was out is settled and saved.
    fn let_go_of_replay(&mut self) {
        if self.replaying.known.is_some() && self.unsaved_replay().is_empty() && self.dispatch.forget_replay() {
            self.replaying.known = None;
        }
    }

    /// The replay cannot go on.
    pub(super) fn fail_replay(&self, error: &Error) {
        let Some(Known { row, .. }) = self.replaying.known.clone() else {
            return;
        };
        let (bus, text) = (Arc::clone(&self.bus), error.to_string());
        tracing::error!(group = %self.identity.group, replay = row.id, %error, "a replay cannot go on");
        self.bus.tasks.spawn(async move {
            if let Err(error) = bus.end_replay_by_itself(&row, How::Failed, &text).await {
                tracing::warn!(replay = row.id, %error, "cannot say that a replay has failed");
            }
        });
    }
}

impl Inner {
    /// The replay, and of each partition its range and how far it has come, as whoever had it before has written.
    async fn look_up_replay(&self, id: &str, asked: &[Place]) -> Result<(Known, Vec<Option<Begun>>)> {
        let row = self.replay_row(id).await?;
        if row.ended.is_some() {
            // The group's record is about to say so too.
            return Err(Error::new(Reason::ReplayNotFound, format!("replay {id} is over")));
        }
        self.replays.progress.catch_up().await?;
        let range = |(_, _, partition): &Place| {
            let range = row.range(partition)?;
            Some((range.clone(), self.replayed(&row, range)))
        };
        let ranges = asked.iter().map(range).collect();
        let filter = row.filter.clone().map(|spec| Filter::compile(spec, "filter"));
        let mark = row.id.as_str().into();
        let filter = filter.transpose()?;
        Ok((Known { row, filter, mark }, ranges))
    }
}
