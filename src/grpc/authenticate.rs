//! Around all services: who calls is told by a token or a certificate, before anything of the call is read.

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use futures_util::future::{BoxFuture, Either};
use tonic::codegen::http::{Extensions, HeaderMap, Request, Response, header::AUTHORIZATION};
use tower::{Layer, Service};

use super::{caller::Caller, status::status};
use crate::{
    auth::{self, Auth, Principal},
    error::Result,
};

/// Whoever keeps the process running asks without a token.
const OPEN: &str = "/grpc.health.v1.Health/";

/// The other end of a connection; an extension of each of its requests.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// The names in its certificate, if it has shown one: URIs, and hosts.
    pub uris: Vec<String>,
    pub hosts: Vec<String>,
}

/// `None` = nobody has to say who they are.
#[derive(Clone)]
pub struct AuthenticateLayer(pub Option<Auth>);

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated {
            inner,
            auth: self.0.clone(),
        }
    }
}

#[derive(Clone)]
pub struct Authenticated<S> {
    inner: S,
    auth: Option<Auth>,
}

impl<S, B, A> Service<Request<B>> for Authenticated<S>
where
    S: Service<Request<B>, Response = Response<A>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Send + 'static,
    A: Default,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<A>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let auth = match &self.auth {
            Some(auth) if !request.uri().path().starts_with(OPEN) => auth.clone(),
            _ => {
                request.extensions_mut().insert(Caller::anonymous());
                return Either::Left(self.inner.call(request));
            }
        };
        // The one that is ready is called; its clone becomes ready for the next call.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Either::Right(Box::pin(async move {
            match principal(&auth, request.headers(), request.extensions()).await {
                Ok(principal) => {
                    request.extensions_mut().insert(Caller::known(principal, auth));
                    inner.call(request).await
                }
                Err(error) => Ok(status(&error).into_http()),
            }
        }))
    }
}

/// A token counts before a certificate: a bad one is not made good by it.
fn principal(
    auth: &Auth,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> impl Future<Output = Result<Arc<Principal>>> + Send + use<> {
    let (identity, now) = (auth.identity(), SystemTime::now());
    let shown = bearer(headers);
    let peer = extensions.get::<Peer>();
    let by_certificate = peer.and_then(|peer| identity.by_certificate(&peer.uris, &peer.hosts));
    async move {
        match shown? {
            Some(token) => identity.by_token(&token, now).await,
            None => by_certificate.map(Arc::new).ok_or_else(auth::invalid),
        }
    }
}

/// `None` = no token is shown. What is shown must be one, and a bearer's.
fn bearer(headers: &HeaderMap) -> Result<Option<String>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| auth::invalid())?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && values.next().is_none() => {
            Ok(Some(token.trim().to_owned()))
        }
        _ => Err(auth::invalid()),
    }
}
