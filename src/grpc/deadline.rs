//! The caller's deadline: the server answers shortly before it, so that the caller sees the details.

use std::{
    future::ready,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{
    Stream, StreamExt as _,
    future::{BoxFuture, Either},
    stream,
    stream::BoxStream,
};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{
    Status,
    codegen::http::{HeaderMap, Request, Response},
    metadata::MetadataMap,
};
use tower::{Layer, Service};

use super::status::status;
use crate::error::{Error, Reason, Result};

const MIN_MARGIN: Duration = Duration::from_millis(20);

/// When to answer at the latest: 20 ms or 5 % before the caller's deadline, whichever is more; `default` without one.
pub(super) fn answer_by(metadata: &MetadataMap, default: Duration) -> Instant {
    Instant::now() + timeout(metadata.as_ref()).map_or(default, less_margin)
}

/// Runs a unary call until shortly before its deadline.
pub(super) async fn bounded<T>(
    metadata: &MetadataMap,
    default: Duration,
    call: impl Future<Output = Result<T>>,
) -> Result<T, Status> {
    match timeout_at(answer_by(metadata, default), call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(status(&error)),
        Err(_) => Err(status(&exceeded())),
    }
}

/// When a stream must end; `None` = never.
pub(super) fn end_of_stream(metadata: &MetadataMap) -> Option<Instant> {
    timeout(metadata.as_ref()).map(|timeout| Instant::now() + less_margin(timeout))
}

/// Runs the beginning of a stream until the stream must end.
pub(super) async fn before<T>(
    end_at: Option<Instant>,
    begin: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(end_at) = end_at else { return begin.await };
    match timeout_at(end_at, begin).await {
        Ok(begun) => begun,
        Err(_) => Err(status(&exceeded())),
    }
}

/// Ends a stream shortly before its deadline, if it has one.
pub(super) fn cut<T: Send + 'static>(
    messages: impl Stream<Item = Result<T, Status>> + Send + 'static,
    end_at: Option<Instant>,
) -> BoxStream<'static, Result<T, Status>> {
    let Some(end_at) = end_at else { return messages.boxed() };
    let done = stream::iter([None]);
    let late = stream::iter([Some(Err(status(&exceeded())))]);
    let until_late = messages.map(Some).chain(done).take_until(sleep_until(end_at));
    until_late.chain(late).scan((), |(), message| ready(message)).boxed()
}

/// Around all services: ends a call that nothing has answered at its deadline. What a service does in time it does by the
/// above; this is for calls that have not come to one, as their request does not come whole.
#[derive(Clone, Copy)]
pub struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadlines<S>;

    fn layer(&self, inner: S) -> Deadlines<S> {
        Deadlines(inner)
    }
}

#[derive(Clone)]
pub struct Deadlines<S>(S);

impl<S, B, A> Service<Request<B>> for Deadlines<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Future: Send + 'static,
    A: Default,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<A>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let timeout = timeout(request.headers());
        let answer = self.0.call(request);
        let Some(timeout) = timeout else {
            return Either::Left(answer);
        };
        Either::Right(Box::pin(async move {
            let late = |_| Ok(status(&exceeded()).into_http());
            tokio::time::timeout(timeout + LEEWAY, answer)
                .await
                .unwrap_or_else(late)
        }))
    }
}

fn exceeded() -> Error {
    Error::new(Reason::DeadlineExceeded, "the caller's deadline passed")
}

pub(super) fn less_margin(timeout: Duration) -> Duration {
    timeout.saturating_sub(MIN_MARGIN.max(timeout / 20))
}

/// A call's own answer knows more (what was written), so it has this long to come late.
const LEEWAY: Duration = Duration::from_secs(1);

/// `grpc-timeout`: at most eight digits and a unit. What does not parse is no deadline.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3_600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().expect("a header's value"));
        timeout(&headers)
    }

    #[test]
    fn timeouts_are_read_as_the_protocol_says() {
        assert_eq!(parsed("100m"), Some(Duration::from_millis(100)));
        assert_eq!(parsed("99999999H"), Some(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(parsed("7u"), Some(Duration::from_micros(7)));
        for bad in ["", "m", "1", "1x", "-1S", "123456789S", "1.5S", "1 S"] {
            assert_eq!(parsed(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn a_stream_that_ends_before_its_deadline_ends_as_it_did() {
        let far = Some(Instant::now() + Duration::from_secs(3_600));
        let messages = cut(stream::iter([Ok(1), Ok(2)]), far).map(|message| message.expect("no error"));
        assert_eq!(messages.collect::<Vec<_>>().await, [1, 2]);
    }

    #[tokio::test]
    async fn a_stream_that_is_open_at_its_deadline_ends_with_an_error() {
        let endless = stream::iter([Ok(1)]).chain(stream::pending());
        let mut messages = cut(endless, Some(Instant::now() + Duration::from_millis(1)));
        let mut last = messages.next().await;
        while let Some(message) = messages.next().await {
            last = Some(message);
        }
        let code = last.map(|message: Result<i32, Status>| message.expect_err("the deadline").code());
        assert_eq!(code, Some(tonic::Code::DeadlineExceeded));
    }

    #[test]
    fn the_margin_is_twenty_milliseconds_or_five_percent() {
        assert_eq!(less_margin(Duration::from_millis(100)), Duration::from_millis(80));
        assert_eq!(less_margin(Duration::from_secs(10)), Duration::from_millis(9_500));
        assert_eq!(less_margin(Duration::from_millis(5)), Duration::ZERO);
    }
}
