//! What a group tells its streams about itself: heartbeats, and that they have caught up.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Frame,
    ends::{Ends, observe},
    owned::Owned,
    streams::Member,
    task::Task,
};
use crate::{
    bus::{
        age,
        delivery::{Credit, PartitionId, PartitionView},
    },
    log::TopicPartition,
};

/// How far a partition has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionProgress {
    pub partition: TopicPartition,
    /// `None` where there is no group.
    pub committed: Option<i64>,
    pub next: i64,
    pub end: i64,
    /// The age of the oldest event that is not acked; `None` = not known.
    pub lag_time: Option<Duration>,
}

impl PartitionProgress {
    pub(in crate::bus) fn reader(partition: TopicPartition, next: i64, end: i64) -> Self {
        Self {
            partition,
            committed: None,
            next,
            end,
            lag_time: None,
        }
    }

    pub fn lag_events(&self) -> i64 {
        (self.end - self.committed.unwrap_or(self.next)).max(0)
    }
}

/// Why nothing is being sent just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    Nothing,
    CaughtUp,
    NoCredit,
    NoPartitions,
    WindowFull,
    LogUnavailable,
    Limit,
}

#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// Those of which something changed since the last heartbeat.
    pub partitions: Vec<PartitionProgress>,
    pub outstanding_events: usize,
    pub outstanding_bytes: i64,
    pub credit_left: Credit,
    pub waiting: Waiting,
    pub oldest: Option<OldestUnacked>,
}

/// The event that was first delivered longest ago and is not acked.
#[derive(Clone, Debug)]
pub struct OldestUnacked {
    pub partition: TopicPartition,
    pub offset: i64,
    pub age: Duration,
    pub key_hash: u64,
    pub attempt: u32,
}

impl Task {
    /// Once all that there is was sent, each stream is told so, once.
    pub(super) fn tell_caught_up(&mut self) {
        if self.uncaught == 0 || self.owned.is_empty() || self.dispatch.has_ready() || !self.is_caught_up() {
            return;
        }
        let positions: Vec<_> = (self.owned.iter())
            .filter_map(|(id, owned)| Some(((*owned.partition).clone(), self.dispatch.partition(*id)?.next)))
            .collect();
        for member in self.members.values_mut().filter(|member| !member.told_caught_up) {
            member.told_caught_up = true;
            member.push(Frame::CaughtUp(positions.clone()));
        }
        self.uncaught = 0;
    }

    pub(super) fn is_caught_up(&self) -> bool {
        let at_end = |(id, owned): (&PartitionId, &Owned)| {
            self.dispatch.partition(*id).is_none_or(|view| view.next >= owned.end)
        };
        self.starting.is_empty() && !self.dispatch.has_unsent() && self.owned.iter().all(at_end)
    }

    /// Begins a round of heartbeats when the first is due: asks where the partitions end; `observed` goes on.
    pub(super) fn heartbeat(&mut self, now: Instant) {
        if self.members.is_empty() || self.observing.is_some() || now < self.next_heartbeat {
            return;
        }
        let log = Arc::clone(&self.bus.log);
        let asked: Vec<_> = self
            .owned
            .iter()
            .map(|(id, owned)| ((*id, owned.serial), (*owned.partition).clone()))
            .collect();
        self.observing = Some(Box::pin(observe(log, asked)));
    }

    pub(super) fn observed(&mut self, ends: Ends) {
        for ((id, serial), end) in ends {
            let owned = self.owned.get_mut(&id).filter(|owned| owned.serial == serial);
            if let Some(owned) = owned.filter(|owned| end > owned.end) {
                self.version += 1;
                (owned.end, owned.changed) = (end, self.version);
            }
        }
        self.send_heartbeats(Instant::now());
    }

    fn send_heartbeats(&mut self, now: Instant) {
        for owned in self
            .owned
            .iter_mut()
            .map(|(id, owned)| (self.dispatch.partition(*id), owned))
        {
            forget_times(owned);
        }
        let oldest = self.oldest(now);
        // Who has not read the last frames yet gets no more of these.
        let is_due = |member: &Member| now >= member.last_frame + member.heartbeat_interval && member.outbox.is_empty();
        let due: Vec<_> = self
            .members
            .values()
            .filter(|member| is_due(member))
            .map(|member| member.key.id)
            .collect();
        for id in due {
            let heartbeat = self.heartbeat_for(id, oldest.clone());
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            member.seen = self.version;
            member.push(Frame::Heartbeat(Box::new(heartbeat)));
        }
        let next = self
            .members
            .values()
            .map(|member| member.last_frame + member.heartbeat_interval)
            .min();
        self.next_heartbeat = next.unwrap_or(now).max(now + Duration::from_millis(250));
    }

    fn heartbeat_for(&self, id: usize, oldest: Option<OldestUnacked>) -> Heartbeat {
        let seen = self.members.get(&id).map_or(0, |member| member.seen);
        let changed = self.owned.iter().filter(|(_, owned)| owned.changed > seen);
        let (outstanding_events, outstanding_bytes) = self.dispatch.outstanding(id);
        Heartbeat {
            partitions: changed
                .filter_map(|(id, owned)| Some(progress(owned, self.dispatch.partition(*id)?)))
                .collect(),
            outstanding_events,
            outstanding_bytes,
            credit_left: self.dispatch.credit_left(id),
            waiting: self.waiting(id),
            oldest,
        }
    }

    fn waiting(&self, id: usize) -> Waiting {
        if self.bus.log.health().borrow().is_err() {
            Waiting::LogUnavailable
        } else if self.owned.is_empty() {
            Waiting::NoPartitions
        } else if self.has_spent_credit(id) {
            Waiting::NoCredit
        } else if self.is_caught_up() {
            Waiting::CaughtUp
        } else if self.is_window_full() {
            Waiting::WindowFull
        } else if self.watch.gauges.buffer.room() == 0 || self.dispatch.is_held_up(id) {
            Waiting::Limit
        } else {
            Waiting::Nothing
        }
    }

    pub(super) fn has_spent_credit(&self, id: usize) -> bool {
        let left = self.dispatch.credit_left(id);
        left.events <= 0 || left.bytes.is_some_and(|bytes| bytes <= 0)
    }

    /// Whether a partition has more, and is not read on before its oldest event is settled.
    pub(super) fn is_window_full(&self) -> bool {
        let is_full = |(id, owned): (&PartitionId, &Owned)| {
            self.dispatch.partition(*id).is_some_and(|view| view.next < owned.end) && !self.dispatch.wants_more(*id)
        };
        self.owned.iter().any(is_full)
    }

    fn oldest(&self, now: Instant) -> Option<OldestUnacked> {
        let oldest = self.dispatch.oldest()?;
        let owned = self.owned.get(&oldest.partition)?;
        Some(OldestUnacked {
            partition: (*owned.partition).clone(),
            offset: oldest.offset,
            age: oldest.age(now),
            key_hash: oldest.key_hash,
            attempt: oldest.attempt,
        })
    }
}

fn progress(owned: &Owned, view: PartitionView) -> PartitionProgress {
    let lag_time = if view.committed >= owned.end {
        Some(Duration::ZERO)
    } else {
        owned.time_at(view.committed).map(age)
    };
    PartitionProgress {
        partition: (*owned.partition).clone(),
        committed: Some(view.committed),
        next: view.next,
        end: owned.end,
        lag_time,
    }
}

fn forget_times((view, owned): (Option<PartitionView>, &mut Owned)) {
    let Some(view) = view else { return };
    while owned.times.get(1).is_some_and(|(second, _)| *second <= view.committed) {
        owned.times.pop_front();
    }
}
