//! A panic is a fault of ours: it ends the call it happened in, with `INTERNAL`, and nobody else's.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    task::{Context, Poll},
};

use futures_util::{
    FutureExt as _,
    future::{CatchUnwind, Map},
};
use tonic::codegen::http::Response;
use tower::{Layer, Service};

use super::status::status;
use crate::error::{Error, Reason};

/// Around all services. What a stream does after its beginning happens in tasks of its own, or in its connection's.
#[derive(Clone, Copy)]
pub struct PanicLayer;

impl<S> Layer<S> for PanicLayer {
    type Service = Panics<S>;

    fn layer(&self, inner: S) -> Panics<S> {
        Panics(inner)
    }
}

#[derive(Clone)]
pub struct Panics<S>(S);

type Caught<T> = Result<T, Box<dyn Any + Send>>;

impl<S, B, A> Service<B> for Panics<S>
where
    S: Service<B, Response = Response<A>>,
    A: Default,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = Map<
        CatchUnwind<AssertUnwindSafe<S::Future>>,
        fn(Caught<Result<Response<A>, S::Error>>) -> Result<Response<A>, S::Error>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: B) -> Self::Future {
        // Nothing of the call is used after it: what it shares with others holds, or its lock is poisoned.
        AssertUnwindSafe(self.0.call(request)).catch_unwind().map(answer)
    }
}

fn answer<A: Default, E>(caught: Caught<Result<Response<A>, E>>) -> Result<Response<A>, E> {
    caught.unwrap_or_else(|_| {
        let text = "the server has a fault, which its log tells; whether the call did anything is not known";
        Ok(status(&Error::new(Reason::Internal, text)).into_http())
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tonic::{Code, Status};
    use tower::{ServiceBuilder, ServiceExt as _, service_fn};

    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_call_and_no_other() {
        let service = service_fn(|divisor: u32| async move {
            let quotient = 12_u32.checked_div(divisor).expect("not zero");
            Ok::<_, Infallible>(Response::new(quotient))
        });
        let service = ServiceBuilder::new().layer(PanicLayer).service(service);
        let failed = service.clone().oneshot(0).await.expect("an answer");
        let failed = Status::from_header_map(failed.headers()).expect("a status");
        assert_eq!(failed.code(), Code::Internal);
        assert!(!failed.details().is_empty() && !failed.message().contains("zero"));
        assert_eq!(service.oneshot(3).await.expect("an answer").into_body(), 4);
    }
}
