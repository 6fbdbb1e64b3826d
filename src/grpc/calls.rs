//! Around all services: each call is measured, traced and told from its headers to the end of its answer.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::body::{Frame, SizeHint};
use tonic::{
    Code, Extensions, Status,
    body::Body,
    codegen::http::{HeaderMap, Request, Response},
};
use tower::{Layer, Service};
use tracing::Instrument as _;

use super::methods::method;
use crate::telemetry::{Call, CallContext, Telemetry};

/// Everything that may answer is within.
#[derive(Clone)]
pub struct CallLayer(pub Telemetry);

impl<S> Layer<S> for CallLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        let telemetry = self.0.clone();
        Calls { inner, telemetry }
    }
}

#[derive(Clone)]
pub struct Calls<S> {
    inner: S,
    telemetry: Telemetry,
}

impl<S, B> Service<Request<B>> for Calls<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let (method, authority) = (method(request.uri().path()), request.uri().authority());
        let call = self.telemetry.call(method, request.headers(), authority);
        if let Some(context) = call.context() {
            request.extensions_mut().insert(context);
        }
        let answer = call.log().in_scope(|| self.inner.call(request));
        let answer = answer.instrument(call.log().clone());
        Box::pin(async move { Ok(begun(answer.await?, call)) })
    }
}

/// What a handler knows of its call.
pub(super) fn call_of(extensions: &Extensions) -> CallContext {
    extensions.get().cloned().unwrap_or_default()
}

/// The service has answered: with its headers, and what they say is all or there is more to come.
fn begun(answer: Response<Body>, mut call: Call) -> Response<Body> {
    if let Some(code) = code(answer.headers()) {
        call.end(code);
        return answer;
    }
    call.opened();
    answer.map(|body| Body::new(Answer { body, call }))
}

fn code(headers: &HeaderMap) -> Option<i32> {
    headers.get(Status::GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

/// An answer on its way. Dropped before its end, the client has gone.
struct Answer {
    body: Body,
    call: Call,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let body = Pin::new(&mut this.body);
        let frame = ready!(this.call.log().in_scope(|| body.poll_frame(context)));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.call.end(code(trailers).unwrap_or(Code::Unknown.into()));
                }
            }
            Some(Err(status)) => this.call.end(status.code().into()),
            None => this.call.end(Code::Unknown.into()),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
