//! Whose turn it is: streams that may take an event stand in a line.

use std::{sync::Arc, time::Instant};

use super::Dispatch;
use crate::{
    bus::delivery::{
        PartitionId, Sending, StreamId,
        entry::{Entry, EntryId},
        stream::{Out, Stream},
    },
    tab::Tab,
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
                self.wants_room |= stream.may_stand();
            }
        }
        None
    }

    pub(super) fn list(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id)
            && stream.may_stand()
            && !stream.listed
        {
            stream.listed = true;
            self.eligible.push_back(id);
        }
    }

    /// What the stream has counts on these too, on which others are.
    pub fn bind(&mut self, id: StreamId, tabs: Vec<Arc<Tab>>) {
        if let Some(stream) = self.streams.get_mut(id).filter(|_| !tabs.is_empty()) {
            stream.bind(tabs);
        }
    }

    /// Others may have less now: streams that they held up may take events again.
    pub fn look_for_room(&mut self) {
        self.wants_room = false;
        let bounded = self.streams.iter().filter(|(_, stream)| stream.is_bounded());
        for id in bounded.map(|(id, _)| id).collect::<Vec<_>>() {
            self.list(id);
        }
    }

    /// Whether an event waits for a stream that what others have holds up.
    pub fn wants_room(&self) -> bool {
        self.wants_room
    }

    /// Whether what others have holds up this stream.
    pub fn is_held_up(&self, id: StreamId) -> bool {
        self.streams.get(id).is_some_and(Stream::is_held_up)
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
