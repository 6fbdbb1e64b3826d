//! What callers do within their quotas: streams that count against them, and publish streams that are slowed down to them.

use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{caller::Caller, status::status};
use crate::{auth::Place, error::Result};

/// A place for one more stream of this caller.
pub(super) fn place(caller: &Caller) -> Result<Place, Status> {
    caller.allowance().stream().map_err(|error| status(&error))
}

/// Messages of a stream that has its place as long as it lasts.
pub(super) fn placed<T: Send + 'static>(place: Place, messages: BoxStream<'static, T>) -> BoxStream<'static, T> {
    match place.is_of_nobody() {
        true => messages,
        false => messages.map(move |message| (message, &place).0).boxed(),
    }
}

/// A stream is slowed down to its quota, so that its order holds; what cannot be written before its deadline, or
/// while the stream ends, is refused.
pub(super) async fn within_quota(
    caller: &Caller,
    (events, bytes): (usize, usize),
    answer_by: Instant,
    hurry: &CancellationToken,
) -> Result<()> {
    loop {
        let now = Instant::now();
        match caller.allowance().publish(events, bytes, now.into_std()) {
            Ok(()) => return Ok(()),
            Err(error) => match error.retry_delay().and_then(|wait| now.checked_add(wait)) {
                Some(again) if again < answer_by && !hurry.is_cancelled() => {
                    // Either arm looks at everything anew.
                    tokio::select! {
                        () = sleep_until(again) => {}
                        () = hurry.cancelled() => {}
                    }
                }
                _ => return Err(error),
            },
        }
    }
}
