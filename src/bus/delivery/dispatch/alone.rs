//! Events that streams broke over: each is sent with nothing else in flight on its stream, so that it takes no neighbours along.

use std::time::Instant;

use super::{Dispatch, put};
use crate::bus::delivery::{Sending, StreamId};

impl<P> Dispatch<P> {
    /// Sends what goes alone. A stream is kept free for it: it takes nothing else until it has settled all that it has.
    pub(super) fn pump_alone(&mut self, now: Instant, send: &mut impl FnMut(StreamId, Sending<'_, P>) -> bool) {
        while self.scheduler.has_alone() {
            let Some(id) = self.empty_stream() else {
                self.wants_room |= self.streams.iter().any(|(_, stream)| stream.is_held_up());
                self.reserve();
                break;
            };
            let stream = &mut self.streams[id];
            let Some(next) = self.scheduler.send_next_alone(now) else {
                break;
            };
            let is_replayed = next.1.replay().is_some();
            let (partition, sending) = put(stream, next, now, true);
            stream.has_room = send(id, sending);
            stream.reserved = false;
            self.partitions[partition].in_flight += 1;
            if is_replayed {
                self.replayed_sent(partition);
            }
        }
        if !self.scheduler.has_alone() {
            self.unreserve();
        }
    }

    /// A stream that has nothing; the one that the event should avoid only if there is no other.
    fn empty_stream(&self) -> Option<StreamId> {
        let avoid = self.scheduler.peek_alone()?.avoid;
        let empty = self.streams.iter().filter(|(_, stream)| stream.may_take_alone());
        empty.map(|(id, _)| id).min_by_key(|id| (Some(*id) == avoid, *id))
    }

    /// Keeps a stream free: the one that has least.
    fn reserve(&mut self) {
        let is_kept = |stream: &super::Stream| stream.reserved && stream.is_open();
        if self.streams.iter().any(|(_, stream)| is_kept(stream)) {
            return;
        }
        self.unreserve();
        let may_take = self.streams.iter_mut().filter(|(_, stream)| stream.may_take());
        if let Some((_, stream)) = may_take.min_by_key(|(_, stream)| stream.held().0) {
            stream.reserved = true;
        }
    }

    /// Nothing goes alone any more.
    fn unreserve(&mut self) {
        let reserved = self.streams.iter_mut().filter(|(_, stream)| stream.reserved);
        let ids: Vec<StreamId> = reserved
            .map(|(id, stream)| {
                stream.reserved = false;
                id
            })
            .collect();
        ids.into_iter().for_each(|id| self.list(id));
    }
}
