//! Whose turn it is: streams that may take an event stand in a line.

use std::time::Instant;

use super::Dispatch;
use crate::bus::delivery::{
    PartitionId, Sending, StreamId,
    entry::{Entry, EntryId},
    stream::{Out, Stream},
};

impl<P> Dispatch<P> {
    /// The stream whose turn it is; the one to avoid only if there is no other.
    pub(super) fn next_eligible(&mut self, avoid: Option<StreamId>) -> Option<StreamId> {
        let first = self.pop_eligible()?;
        if avoid != Some(first) {
            return Some(first);
        }
        let Some(second) = self.pop_eligible() else {
            return Some(first);
        };
        self.streams[first].listed = true;
        self.eligible.push_front(first);
        Some(second)
    }

    fn pop_eligible(&mut self) -> Option<StreamId> {
        while let Some(id) = self.eligible.pop_front() {
            if let Some(stream) = self.streams.get_mut(id) {
                stream.listed = false;
                if stream.may_take() {
                    return Some(id);
                }
            }
        }
        None
    }

    pub(super) fn list(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id)
            && stream.may_take()
            && !stream.listed
        {
            stream.listed = true;
            self.eligible.push_back(id);
        }
    }
}

/// Puts an event on a stream.
pub(super) fn put<'a, P>(
    stream: &mut Stream,
    (id, entry): (EntryId, &'a Entry<P>),
    now: Instant,
    alone: bool,
) -> (PartitionId, Sending<'a, P>) {
    let out = Out {
        entry: id,
        partition: entry.partition,
        size: entry.arrival.size,
        until: None,
        is_replayed: entry.replay().is_some(),
    };
    let sending = Sending {
        id: stream.send(out, now, alone),
        partition: entry.partition,
        attempt: entry.tries.attempt,
        failures: entry.tries.failures,
        payload: &entry.arrival.payload,
    };
    (entry.partition, sending)
}
