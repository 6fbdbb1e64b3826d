//! Events that streams broke over: each is sent with nothing else in flight on its stream, so that it takes no neighbours along.

use std::time::Instant;

use super::{Dispatch, put};
use crate::bus::delivery::{Sending, StreamId};

impl<P> Dispatch<P> {
    /// Sends what goes alone. A stream is kept free for it: it takes nothing else until it has settled all that it has.
    pub(super) fn pump_alone(&mut self, now: Instant, send: &mut impl FnMut(StreamId, Sending<'_, P>) -> bool) {
        while self.scheduler.has_alone() {
            let Some(id) = self.reserved() else { break };
            let stream = &mut self.streams[id];
            if !stream.may_take_alone() {
                break;
            }
            let Some(next) = self.scheduler.send_next_alone(now) else {
                break;
            };
            let (partition, sending) = put(stream, next, now, true);
            stream.has_room = send(id, sending);
            stream.reserved = false;
            self.partitions[partition].in_flight += 1;
        }
        if !self.scheduler.has_alone() {
            self.unreserve();
        }
    }

    /// The stream that is kept free; if there is none, the one that has least becomes it.
    fn reserved(&mut self) -> Option<StreamId> {
        let is_kept = |stream: &super::Stream| stream.reserved && !stream.closed;
        if let Some((id, _)) = self.streams.iter().find(|(_, stream)| is_kept(stream)) {
            return Some(id);
        }
        let may_take = self.streams.iter_mut().filter(|(_, stream)| stream.may_take());
        let (id, stream) = may_take.min_by_key(|(_, stream)| stream.held().0)?;
        stream.reserved = true;
        Some(id)
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
