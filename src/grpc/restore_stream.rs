//! The messages of one restore, made as the client takes them.

use std::iter;

use futures_util::{Stream, stream};
use tonic::Status;

use super::{
    convert::{self, Messages},
    size::Sizes,
    status::status,
};
use crate::{
    bus::{RestoreFrame, RestoreSession},
    error::Result,
    proto::lean::RestoreResponse,
    telemetry::CallContext,
};

struct Restoring {
    session: RestoreSession,
    /// What is left of the last frame.
    messages: Messages<RestoreResponse>,
    sizes: Sizes,
    call: CallContext,
}

pub(super) fn messages(
    session: RestoreSession,
    sizes: Sizes,
    call: CallContext,
) -> impl Stream<Item = Result<RestoreResponse, Status>> + Send {
    let restoring = Restoring {
        session,
        messages: Box::new(iter::empty()),
        sizes,
        call,
    };
    stream::unfold(Some(restoring), |restoring| async {
        let mut restoring = restoring?;
        match restoring.next().await? {
            Ok(message) => Some((Ok(message), Some(restoring))),
            Err(status) => Some((Err(status), None)),
        }
    })
}

impl Restoring {
    async fn next(&mut self) -> Option<Result<RestoreResponse, Status>> {
        loop {
            if let Some(message) = self.messages.next() {
                return Some(message.map_err(|error| status(&error)));
            }
            // What was sent must not be held while the log has nothing new.
            self.messages = Box::new(iter::empty());
            match self.session.next().await? {
                Ok(frame) => {
                    self.call.count(events_in(&frame));
                    self.messages = convert::restore_frame(frame, self.sizes.now());
                }
                Err(error) => return Some(Err(status(&error))),
            }
        }
    }
}

fn events_in(frame: &RestoreFrame) -> usize {
    match frame {
        RestoreFrame::States(states) => states.len(),
        RestoreFrame::Events(events) => events.count(),
        _ => 0,
    }
}
