//! The messages of one restore, made as the client takes them.

use std::iter;

use futures_util::{Stream, stream};
use tonic::Status;

use super::{
    convert::{self, Messages},
    size::Sizes,
    status::status,
};
use crate::{bus::RestoreSession, error::Result, proto::lean::RestoreResponse};

struct Restoring {
    session: RestoreSession,
    /// What is left of the last frame.
    messages: Messages<RestoreResponse>,
    sizes: Sizes,
}

pub(super) fn messages(
    session: RestoreSession,
    sizes: Sizes,
) -> impl Stream<Item = Result<RestoreResponse, Status>> + Send {
    let restoring = Restoring {
        session,
        messages: Box::new(iter::empty()),
        sizes,
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
                Ok(frame) => self.messages = convert::restore_frame(frame, self.sizes.now()),
                Err(error) => return Some(Err(status(&error))),
            }
        }
    }
}
