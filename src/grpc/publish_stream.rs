//! One publish stream: requests are handed over one after the other, outcomes told in the same order.
//!
//! ```text
//! request ─▶ handing (waits for room) ─▶ waiting (in order) ─▶ outcome ─▶ answer
//! ```
//!
//! Requests are read only while few enough bytes wait for their outcome. After a write failure nothing more is handed over;
//! what the log already has is told, then the stream ends.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{Stream, future::BoxFuture, stream};
use prost::Message as _;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::{
    Services,
    caller::Caller,
    convert, deadline, foreign,
    publisher::{new_events, response},
    quotas::within_quota,
    status::{Room, publish_rpc_status, reason_of, status},
};
use crate::{
    auth::Rights,
    bus::{self, HandedOver, PublishError, Written},
    error::{Error, Reason, Result},
    name::Verb,
    proto::{
        lean::PublishStreamRequest,
        tidings::v1::{PublishStreamResponse, publish_stream_response},
    },
    telemetry::{CallContext, Publishing},
};

type Outcome = Result<Vec<Written>, PublishError>;
type Answer = Result<PublishStreamResponse, Status>;

pub(super) struct PublishSession {
    services: Services,
    requests: Streaming<PublishStreamRequest>,
    last_sequence: Option<u64>,
    handing: Option<Handing>,
    waiting: VecDeque<Waiting>,
    /// Of requests that are not answered.
    bytes: usize,
    draining: CancellationToken,
    /// What waits for its quota waits no longer.
    hurry: CancellationToken,
    caller: Caller,
    call: CallContext,
    /// The caller is not known any more, or may publish nothing.
    over: BoxFuture<'static, Error>,
    /// No more requests are taken; `Some` is how the stream ends.
    ending: Option<Result<(), Error>>,
}

struct Handing {
    sequence: u64,
    bytes: usize,
    answer_by: Instant,
    publishing: Publishing,
    future: BoxFuture<'static, Result<HandedOver>>,
}

struct Waiting {
    sequence: u64,
    bytes: usize,
    outcome: BoxFuture<'static, Outcome>,
}

impl PublishSession {
    pub(super) fn new(
        services: Services,
        (caller, call): (Caller, CallContext),
        requests: Streaming<PublishStreamRequest>,
    ) -> Self {
        Self {
            draining: services.bus().draining(),
            hurry: CancellationToken::new(),
            over: caller.lifetime(Arc::new(may_publish)).over(),
            caller,
            call,
            services,
            requests,
            last_sequence: None,
            handing: None,
            waiting: VecDeque::new(),
            bytes: 0,
            ending: None,
        }
    }

    pub(super) fn answers(self) -> impl Stream<Item = Answer> {
        stream::unfold(Some(self), |session| async {
            let mut session = session?;
            match session.next().await {
                Some(Ok(answer)) => Some((Ok(answer), Some(session))),
                Some(Err(end)) => Some((Err(end), None)),
                None => None,
            }
        })
    }

    async fn next(&mut self) -> Option<Answer> {
        loop {
            if self.waiting.is_empty() && self.handing.is_none() && self.ending.is_some() {
                return self.ending.take()?.err().map(|error| Err(status(&error)));
            }
            let may_read = self.ending.is_none()
                && self.handing.is_none()
                && self.bytes < self.services.limits().publish_stream_bytes;
            // A future that is not ready stays where it is: nothing is lost when another arm wins.
            tokio::select! {
                biased;
                (sequence, bytes, outcome) = first(&mut self.waiting), if !self.waiting.is_empty() => {
                    self.bytes -= bytes;
                    return Some(Ok(self.answer(sequence, outcome)));
                }
                (handing, handed) = hand(&mut self.handing), if self.handing.is_some() => self.handed(handing, handed),
                // What the client has sent and nobody has read is not written: it sends it again.
                () = self.draining.cancelled(), if self.ending.is_none() => self.end(bus::draining()),
                error = &mut self.over, if self.ending.is_none() => self.end(error),
                request = self.requests.message(), if may_read => self.take(request),
            }
        }
    }

    fn end(&mut self, error: Error) {
        self.hurry.cancel();
        self.ending = Some(Err(error));
    }

    /// A request came, or the client has said everything, or it is gone.
    fn take(&mut self, request: Result<Option<PublishStreamRequest>, Status>) {
        match request {
            Ok(Some(request)) => self.begin(request),
            Ok(None) => self.ending = Some(Ok(())),
            Err(broken) => {
                self.ending = Some(foreign::unreadable(&broken, Reason::FrameUnexpected).map_or(Ok(()), Err))
            }
        }
    }

    fn begin(&mut self, request: PublishStreamRequest) {
        let sequence = request.sequence;
        if self.last_sequence.is_some_and(|last| sequence <= last) {
            let rule = "rises from request to request";
            self.ending = Some(Err(Error::fault(Reason::FrameUnexpected, "sequence", rule)));
            return;
        }
        self.last_sequence = Some(sequence);
        let bytes = request.encoded_len();
        self.bytes += bytes;
        match self.check(request, bytes) {
            Ok((mut new, timeout)) => {
                let publishing = self.services.telemetry().publish(&self.call, &mut new.events);
                let answer_by = Instant::now() + timeout;
                let (bus, caller, hurry) = (self.services.bus().clone(), self.caller.clone(), self.hurry.clone());
                let future = Box::pin(async move {
                    let publish = (new.events.len(), bytes);
                    within_quota(&caller, publish, answer_by, &hurry).await?;
                    bus.hand_over(new, answer_by).await
                });
                self.handing = Some(Handing {
                    sequence,
                    bytes,
                    answer_by,
                    publishing,
                    future,
                });
            }
            Err(error) => self.refuse(sequence, bytes, error),
        }
    }

    fn check(&self, request: PublishStreamRequest, bytes: usize) -> Result<(crate::bus::NewEvents, Duration)> {
        let timeout = match convert::period(request.timeout, "timeout")? {
            None => self.services.limits().publish_timeout,
            Some(timeout) if timeout.is_zero() => return Err(convert::invalid("timeout", "is greater than zero")),
            Some(timeout) => deadline::less_margin(timeout),
        };
        let publish = request.publish.ok_or_else(|| convert::invalid("publish", "is set"))?;
        Ok((
            new_events(publish, bytes, (self.services.limits(), &self.caller))?,
            timeout,
        ))
    }

    fn handed(&mut self, handing: Handing, handed: Result<HandedOver>) {
        let Handing {
            sequence,
            bytes,
            answer_by,
            publishing,
            ..
        } = handing;
        match handed {
            Ok(handed) => {
                let outcome = Box::pin(async move {
                    let outcome = handed.outcome(answer_by).await;
                    publishing.done(&outcome, outcome.as_ref().err().map(reason_of));
                    outcome
                });
                self.waiting.push_back(Waiting {
                    sequence,
                    bytes,
                    outcome,
                });
            }
            Err(error) => {
                let refused = Err(PublishError::refused(error.repeated()));
                publishing.done(&refused, refused.as_ref().err().map(reason_of));
                self.refuse(sequence, bytes, error);
            }
        }
    }

    /// Refused before writing: it fails alone.
    fn refuse(&mut self, sequence: u64, bytes: usize, error: Error) {
        self.caller.note(&error);
        let outcome = Box::pin(std::future::ready(Err(PublishError::refused(error))));
        self.waiting.push_back(Waiting {
            sequence,
            bytes,
            outcome,
        });
    }

    fn answer(&mut self, sequence: u64, outcome: Outcome) -> PublishStreamResponse {
        use publish_stream_response::Result as Out;
        let result = match outcome {
            Ok(written) => Out::Response(response(written)),
            Err(failure) => {
                if failure.was_writing {
                    self.stop_after_failure();
                }
                Out::Error(publish_rpc_status(&failure, Room::InBand))
            }
        };
        PublishStreamResponse {
            sequence,
            result: Some(result),
        }
    }

    /// What was not handed over yet must not be: it would overtake what failed.
    fn stop_after_failure(&mut self) {
        let error = || {
            Error::new(
                Reason::PrecedingFailed,
                "a request before this one failed while writing",
            )
        };
        if let Some(Handing { sequence, bytes, .. }) = self.handing.take() {
            self.refuse(sequence, bytes, error());
        }
        self.ending = Some(Err(error()));
    }
}

fn may_publish(rights: &Rights) -> Result<()> {
    match rights.has(Verb::Publish) {
        true => Ok(()),
        false => Err(Error::denied(Verb::Publish, "anything")),
    }
}

/// The outcome of the first that waits; it is taken out once it is known.
async fn first(waiting: &mut VecDeque<Waiting>) -> (u64, usize, Outcome) {
    let Some(front) = waiting.front_mut() else {
        return std::future::pending().await;
    };
    let outcome = (&mut front.outcome).await;
    let (sequence, bytes) = (front.sequence, front.bytes);
    waiting.pop_front();
    (sequence, bytes, outcome)
}

async fn hand(handing: &mut Option<Handing>) -> (Handing, Result<HandedOver>) {
    let handed = match handing {
        Some(running) => (&mut running.future).await,
        None => std::future::pending().await,
    };
    match handing.take() {
        Some(handing) => (handing, handed),
        None => std::future::pending().await,
    }
}
