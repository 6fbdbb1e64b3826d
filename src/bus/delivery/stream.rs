//! One stream as the dispatcher sees it: its credit, what it holds, and whether it takes more.

use super::{IdFault, IdRange, Ledger, PartitionId, outstanding::Outstanding, scheduler::EntryId};

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) ledger: Ledger,
    outstanding: Outstanding<Out>,
    bytes: i64,
    /// Its outbox takes more.
    pub(super) has_room: bool,
    /// It takes no more events at all.
    pub(super) closed: bool,
    /// It stands in the list of streams that may take an event.
    pub(super) listed: bool,
}

/// An event that is on the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Out {
    pub(super) entry: EntryId,
    pub(super) partition: PartitionId,
    pub(super) size: u32,
}

impl Stream {
    pub(super) fn new(ledger: Ledger, id_prefix: u32) -> Self {
        Self {
            ledger,
            outstanding: Outstanding::new(id_prefix),
            bytes: 0,
            has_room: true,
            closed: false,
            listed: false,
        }
    }

    pub(super) fn may_take(&self) -> bool {
        self.has_room && !self.closed && self.ledger.may_send()
    }

    /// Puts an event on the stream and names it.
    pub(super) fn send(&mut self, out: Out) -> u64 {
        self.ledger.charge(out.size);
        self.bytes += i64::from(out.size);
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
