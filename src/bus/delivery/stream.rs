//! One stream as the dispatcher sees it: its credit, what it holds and for how long, and whether it takes more.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{IdFault, IdRange, Ledger, PartitionId, Verdict, entry::EntryId, outstanding::Outstanding};
use crate::tab::{Share, Tab};

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) ledger: Ledger,
    outstanding: Outstanding<Out>,
    /// Bytes that are not settled.
    share: Share,
    /// How long it may have an event; `None` = for ever.
    lease: Option<Duration>,
    /// No lease is over before.
    next_expiry: Option<Instant>,
    /// Its outbox takes more.
    pub(super) has_room: bool,
    /// It takes no more events at all.
    pub(super) closed: bool,
    /// It stands in the list of streams that may take an event.
    pub(super) listed: bool,
    /// It takes nothing until all it has is settled, and then one event that goes alone.
    pub(super) reserved: bool,
    /// What it has goes alone.
    alone: bool,
    /// Replayed events and bytes that are not settled.
    replayed: (i64, i64),
    /// Live events sent since the last replayed one.
    since_replayed: u32,
}

/// An event that is on the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    pub(super) entry: EntryId,
    pub(super) partition: PartitionId,
    pub(super) size: u32,
    pub(super) until: Option<Instant>,
    pub(super) is_replayed: bool,
}

/// After so many live events a replayed one may be sent although live ones wait; and it has at most one in so many and one more
/// of the stream's credit then.
const LIVE_FIRST: u32 = 9;

impl Stream {
    pub(super) fn new(ledger: Ledger, lease: Option<Duration>, id_prefix: u32) -> Self {
        Self {
            ledger,
            outstanding: Outstanding::new(id_prefix),
            share: Share::default(),
            lease,
            next_expiry: None,
            has_room: true,
            closed: false,
            listed: false,
            reserved: false,
            alone: false,
            replayed: (0, 0),
            since_replayed: LIVE_FIRST,
        }
    }

    /// What it has counts on these too. It has nothing yet.
    pub(super) fn bind(&mut self, tabs: Vec<Arc<Tab>>) {
        self.share = Share::of(tabs);
    }

    /// Whether others may hold it up.
    pub(super) fn is_bounded(&self) -> bool {
        self.share.is_bounded()
    }

    /// Whether what others have holds it up.
    pub(super) fn is_held_up(&self) -> bool {
        !self.share.has_room()
    }

    pub(super) fn may_take(&self) -> bool {
        self.may_stand() && self.share.has_room()
    }

    /// Whether it would take an event if others had less.
    pub(super) fn may_stand(&self) -> bool {
        let has_place = !(self.alone && self.outstanding.count() > 0);
        !self.reserved && self.has_room && !self.closed && self.ledger.may_send() && has_place
    }

    /// Whether an event may be sent that goes alone.
    pub(super) fn may_take_alone(&self) -> bool {
        self.is_open() && self.outstanding.count() == 0
    }

    /// Whether a replayed event may be sent although live ones wait.
    pub(super) fn owes_replay(&self) -> bool {
        let (events, bytes) = self.replayed;
        let left = self.ledger.left();
        let share = |left: i64, held: i64| left.max(0).saturating_add(held) / i64::from(LIVE_FIRST + 1);
        let held = i64::try_from(self.outstanding.count()).unwrap_or(i64::MAX);
        let has_bytes = left.bytes.is_none_or(|left| bytes < share(left, self.share.bytes()));
        self.since_replayed >= LIVE_FIRST
            && self.may_take()
            && (events == 0 || (events < share(left.events, held) && has_bytes))
    }

    /// Whether this is the id of a replayed event that is not settled.
    pub(super) fn is_replayed(&self, range: IdRange) -> bool {
        range.first == range.last && self.outstanding.get(range.first).is_some_and(|out| out.is_replayed)
    }

    pub(super) fn is_open(&self) -> bool {
        self.has_room && !self.closed && self.ledger.may_send() && self.share.has_room()
    }

    /// Puts an event on the stream and names it.
    pub(super) fn send(&mut self, mut out: Out, now: Instant, alone: bool) -> u64 {
        self.ledger.charge(out.size);
        self.share.add(i64::from(out.size));
        match out.is_replayed {
            true => {
                self.replayed = (self.replayed.0 + 1, self.replayed.1 + i64::from(out.size));
                self.since_replayed = 0;
            }
            false => self.since_replayed = self.since_replayed.saturating_add(1),
        }
        self.alone = alone;
        out.until = self.lease.map(|lease| now + lease);
        if self.next_expiry.is_none() {
            self.next_expiry = out.until;
        }
        self.outstanding.add(out)
    }

    /// Takes back one event that was never written.
    pub(super) fn unsend(&mut self, id: u64) -> Option<Out> {
        let out = self.outstanding.take(id).ok()?;
        self.ledger.refund(out.size);
        self.landed(&out);
        Some(out)
    }

    /// Settles what the ranges name; each comes with its id.
    pub(super) fn take(&mut self, ranges: &[IdRange]) -> (Vec<(u64, Out)>, Vec<IdFault>) {
        let (mut taken, mut faults) = (Vec::new(), Vec::new());
        for range in ranges {
            if range.first == range.last {
                match self.outstanding.take(range.first) {
                    Ok(out) => taken.push((range.first, out)),
                    Err(verdict) => faults.push(IdFault { ids: *range, verdict }),
                }
            } else {
                faults.extend(self.outstanding.take_range(*range, |id, out| taken.push((id, out))));
            }
        }
        for (_, out) in &taken {
            self.ledger.settled(out.size);
            self.landed(out);
        }
        (taken, faults)
    }

    /// Settles what is done, whether the stream says so or not.
    pub(super) fn settle(&mut self, is_done: impl FnMut(&Out) -> bool) -> Vec<Out> {
        let settled = self.outstanding.settle(is_done);
        for out in &settled {
            self.ledger.settled(out.size);
            self.share.add(-i64::from(out.size));
        }
        self.find_next_expiry();
        settled
    }

    /// The stream has these until then; for ever where it has no lease.
    pub(super) fn extend(&mut self, ranges: &[IdRange], until: Instant) -> Vec<IdFault> {
        let mut faults = Vec::new();
        for range in ranges {
            if range.first == range.last {
                match self.outstanding.get_mut(range.first) {
                    Ok(out) => out.until = out.until.map(|_| until),
                    Err(verdict) => faults.push(IdFault { ids: *range, verdict }),
                }
                continue;
            }
            let open = self.outstanding.open_in(*range);
            if open.is_empty() {
                let verdict = Verdict::Unknown;
                faults.push(IdFault { ids: *range, verdict });
            }
            for id in open {
                if let Ok(out) = self.outstanding.get_mut(id) {
                    out.until = out.until.map(|_| until);
                }
            }
        }
        self.find_next_expiry();
        faults
    }

    /// Looks for leases that are over not before this.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.next_expiry
    }

    /// Takes back what it has had for too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<Out> {
        let expired = self
            .outstanding
            .expire(|out| out.until.is_some_and(|until| until <= now));
        for out in &expired {
            self.ledger.settled(out.size);
            self.landed(out);
        }
        self.find_next_expiry();
        expired
    }

    fn find_next_expiry(&mut self) {
        self.next_expiry = self.outstanding.items().filter_map(|out| out.until).min();
    }

    /// Events of this partition are gone: acks of them are stale. Tells how many of them were replayed.
    pub(super) fn lose(&mut self, partition: PartitionId) -> usize {
        let mut lost = Vec::new();
        self.outstanding.make_stale(|out| {
            let stale = out.partition == partition;
            if stale {
                lost.push(out);
            }
            stale
        });
        for out in &lost {
            self.ledger.settled(out.size);
            self.landed(out);
        }
        lost.iter().filter(|out| out.is_replayed).count()
    }

    /// The event is not on the stream any more.
    fn landed(&mut self, out: &Out) {
        self.share.add(-i64::from(out.size));
        if out.is_replayed {
            self.replayed = (self.replayed.0 - 1, self.replayed.1 - i64::from(out.size));
        }
    }

    /// Gives up what is not settled, oldest first; nothing more is sent.
    pub(super) fn surrender(&mut self) -> Vec<Out> {
        let items = self.outstanding.items().collect();
        self.outstanding.make_stale(|_| true);
        self.share.clear();
        self.replayed = (0, 0);
        self.closed = true;
        items
    }

    /// Events and bytes that are not settled.
    pub(super) fn held(&self) -> (usize, i64) {
        (self.outstanding.count(), self.share.bytes())
    }
}
