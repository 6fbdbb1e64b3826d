//! The two directions of one subscription: frames out as the client reads, frames in to the group.

use std::{
    iter,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::Stream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, Streaming};

use super::{
    caller::{Lifetime, Renewal},
    convert::{self, FrameParts, Messages, Oversized},
    foreign,
    guard::Guard,
    status::status,
};
use crate::{
    bus::{self, Control, Frames},
    error::{Error, Reason, Result},
    proto::{
        lean::SubscribeResponse,
        tidings::v1::{SubscribeRequest, subscribe_request::Frame},
    },
    telemetry::Delivering,
};

/// Messages to the client. Dropped by tonic when the call ends, whoever ends it: then the stream leaves its group.
pub(super) struct Outbound {
    frames: Option<Frames>,
    parts: FrameParts,
    guard: Guard,
    delivering: Arc<Delivering>,
    /// What is left of the last frame.
    messages: Messages<SubscribeResponse, Oversized>,
    ended: CancellationToken,
    /// Nothing more is sent but how the stream ends.
    over: CancellationToken,
    _ended_on_drop: DropGuard,
}

/// What the two directions tell each other.
pub(super) struct Ends {
    /// The call has ended.
    ended: CancellationToken,
    /// The client may have nothing more.
    over: CancellationToken,
}

impl Outbound {
    pub(super) fn new(frames: Frames, parts: FrameParts, (guard, delivering): (Guard, Arc<Delivering>)) -> Self {
        let ended = CancellationToken::new();
        let _ended_on_drop = ended.clone().drop_guard();
        Self {
            frames: Some(frames),
            parts,
            guard,
            delivering,
            messages: Box::new(iter::empty()),
            ended,
            over: CancellationToken::new(),
            _ended_on_drop,
        }
    }

    pub(super) fn ends(&self) -> Ends {
        Ends {
            ended: self.ended.clone(),
            over: self.over.clone(),
        }
    }
}

impl Stream for Outbound {
    type Item = Result<SubscribeResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.over.is_cancelled() {
                self.messages = Box::new(iter::empty());
            }
            match self.messages.next() {
                Some(Ok(message)) => return Poll::Ready(Some(Ok(message))),
                Some(Err(oversized)) => {
                    // The group decides whether the stream ends for it.
                    if let Some(frames) = &self.frames {
                        frames.too_large(oversized.id, oversized.error);
                    }
                    continue;
                }
                // What was sent must not be held any longer: it counts against buffers.
                None => self.messages = Box::new(iter::empty()),
            }
            let Some(frames) = &mut self.frames else {
                return Poll::Ready(None);
            };
            match ready!(Pin::new(frames).poll_next(context)) {
                Some(Ok(frame)) => match self.check(&frame) {
                    Ok(()) => self.messages = convert::subscribe_response(frame, &self.parts),
                    Err(error) => return self.end(Some(&error)),
                },
                Some(Err(error)) => return self.end(Some(&error)),
                None => return self.end(None),
            }
        }
    }
}

impl Outbound {
    /// What comes later is of the topics that these frames tell of.
    fn check(&self, frame: &bus::Frame) -> Result<()> {
        match frame {
            bus::Frame::Opened(opened) => self.guard.has(&opened.settings.topics),
            bus::Frame::GroupChanged { settings, .. } => self.guard.has(&settings.topics),
            bus::Frame::Deliveries(deliveries) => {
                self.delivering.sent(deliveries);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self, error: Option<&Error>) -> Poll<Option<Result<SubscribeResponse, Status>>> {
        (self.frames, self.messages) = (None, Box::new(iter::empty()));
        Poll::Ready(error.map(|error| Err(status(error))))
    }
}

/// What comes from the client, and where it goes.
pub(super) struct Inbound {
    pub(super) frames: Streaming<SubscribeRequest>,
    pub(super) control: Control,
    pub(super) renewal: Renewal,
    pub(super) delivering: Arc<Delivering>,
}

impl Inbound {
    /// Takes the client's frames to the group until the client has said everything, is not known any more, or the call has
    /// ended.
    pub(super) async fn steer(mut self, lifetime: Lifetime, ends: Ends) {
        let mut over = lifetime.over();
        loop {
            let message = tokio::select! {
                () = ends.ended.cancelled() => return,
                error = &mut over => {
                    ends.over.cancel();
                    return self.control.fail(error).await;
                }
                message = async {
                    self.control.until_read().await;
                    self.frames.message().await
                } => message,
            };
            let result = match message {
                Ok(Some(request)) => self.take(request).await,
                Ok(None) => return self.control.half_close().await,
                Err(broken) => match foreign::unreadable(&broken, Reason::FrameUnexpected) {
                    Some(error) => Err(error),
                    // The client is gone; the outbound side is dropped with the call, and leaves.
                    None => return,
                },
            };
            if let Err(error) = result {
                return self.control.fail(error).await;
            }
        }
    }

    async fn take(&self, request: SubscribeRequest) -> Result<()> {
        let control = &self.control;
        let unexpected = |rule: &str| Error::fault(Reason::FrameUnexpected, "frame", rule);
        match request.frame {
            None => return Err(unexpected("a frame is set")),
            Some(Frame::Open(_)) => return Err(unexpected("open is the first frame, and comes once")),
            Some(Frame::Credit(credit)) => control.credit(convert::credit(credit)?).await,
            Some(Frame::Ack(ack)) => {
                let ids = convert::id_ranges(&ack.delivery_ids, &ack.ranges);
                let _acking = self.delivering.settle("ack", &ids);
                control.ack(ids, ack.sequence).await;
            }
            Some(Frame::Nack(nack)) => {
                let refusal = convert::refusal(&nack)?;
                let ids = convert::id_ranges(&nack.delivery_ids, &nack.ranges);
                let _nacking = self.delivering.settle("nack", &ids);
                control.nack(ids, refusal, nack.sequence).await;
            }
            Some(Frame::Close(_)) => control.close().await,
            Some(Frame::Extend(extend)) => {
                let by = convert::extension(&extend, control.max_lease())?;
                let ids = convert::id_ranges(&extend.delivery_ids, &extend.ranges);
                control.extend(ids, by, extend.sequence).await;
            }
            Some(Frame::Authenticate(fresh)) => self.renewal.renew(&fresh.token).await?,
            Some(Frame::CommandReply(reply)) => control.reply(convert::command_reply(reply)).await?,
        }
        Ok(())
    }
}
