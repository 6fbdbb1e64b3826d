//! One stream as the dispatcher sees it: its credit, what it holds and for how long, and whether it takes more.

use std::time::{Duration, Instant};

use super::{IdFault, IdRange, Ledger, PartitionId, Verdict, entry::EntryId, outstanding::Outstanding};

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) ledger: Ledger,
    outstanding: Outstanding<Out>,
    bytes: i64,
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
}

/// An event that is on the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    pub(super) entry: EntryId,
    pub(super) partition: PartitionId,
    pub(super) size: u32,
    pub(super) until: Option<Instant>,
}

impl Stream {
    pub(super) fn new(ledger: Ledger, lease: Option<Duration>, id_prefix: u32) -> Self {
        Self {
            ledger,
            outstanding: Outstanding::new(id_prefix),
            bytes: 0,
            lease,
            next_expiry: None,
            has_room: true,
            closed: false,
            listed: false,
            reserved: false,
            alone: false,
        }
    }

    pub(super) fn may_take(&self) -> bool {
        !self.reserved && self.is_open() && !(self.alone && self.outstanding.count() > 0)
    }

    /// Whether an event may be sent that goes alone.
    pub(super) fn may_take_alone(&self) -> bool {
        self.is_open() && self.outstanding.count() == 0
    }

    pub(super) fn is_open(&self) -> bool {
        self.has_room && !self.closed && self.ledger.may_send()
    }

    /// Puts an event on the stream and names it.
    pub(super) fn send(&mut self, mut out: Out, now: Instant, alone: bool) -> u64 {
        self.ledger.charge(out.size);
        self.bytes += i64::from(out.size);
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
        self.bytes -= i64::from(out.size);
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
            self.bytes -= i64::from(out.size);
        }
        (taken, faults)
    }

    /// Settles what is done, whether the stream says so or not.
    pub(super) fn settle(&mut self, is_done: impl FnMut(&Out) -> bool) -> Vec<Out> {
        let settled = self.outstanding.settle(is_done);
        for out in &settled {
            self.ledger.settled(out.size);
            self.bytes -= i64::from(out.size);
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
            self.bytes -= i64::from(out.size);
        }
        self.find_next_expiry();
        expired
    }

    fn find_next_expiry(&mut self) {
        self.next_expiry = self.outstanding.items().filter_map(|out| out.until).min();
    }

    /// Events of this partition are gone: acks of them are stale.
    pub(super) fn lose(&mut self, partition: PartitionId) {
        let (bytes, ledger) = (&mut self.bytes, &mut self.ledger);
        self.outstanding.make_stale(|out| {
            let stale = out.partition == partition;
            if stale {
                *bytes -= i64::from(out.size);
                ledger.settled(out.size);
            }
            stale
        });
    }

    /// Gives up what is not settled, oldest first; nothing more is sent.
    pub(super) fn surrender(&mut self) -> Vec<Out> {
        let items = self.outstanding.items().collect();
        self.outstanding.make_stale(|_| true);
        self.bytes = 0;
        self.closed = true;
        items
    }

    /// Events and bytes that are not settled.
    pub(super) fn held(&self) -> (usize, i64) {
        (self.outstanding.count(), self.bytes)
    }
}
