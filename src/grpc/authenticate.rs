//! Around all services: who calls is told by a token or a certificate, and whether they may call at all, before anything of the
//! call is read.

use std::{
    net::SocketAddr,
    sync::Arc,
    task::{Context, Poll},
    time::SystemTime,
};

use futures_util::future::{BoxFuture, Either};
use tonic::codegen::http::{Extensions, HeaderMap, Request, Response, header::AUTHORIZATION};
use tower::{Layer, Service};

use super::{
    caller::Caller,
    denials::Denials,
    methods::{Need, need},
    status::status,
};
use crate::{
    auth::{self, Auth, Principal},
    error::{Error, Reason, Result},
};

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
pub struct AuthenticateLayer(pub Option<(Auth, Denials)>);

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
    auth: Option<(Auth, Denials)>,
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
        let need = need(request.uri().path());
        let (auth, denials) = match &self.auth {
            Some(auth) if need != Some(Need::Nothing) => auth.clone(),
            _ => {
                request.extensions_mut().insert(Caller::anonymous());
                return Either::Left(self.inner.call(request));
            }
        };
        // The one that is ready is called; its clone becomes ready for the next call.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        Either::Right(Box::pin(async move {
            let (path, peer) = (request.uri().path().to_owned(), peer(request.extensions()));
            let principal = principal(&auth, request.headers(), request.extensions()).await;
            let told = principal.as_ref().map_or("", |principal| principal.name()).to_owned();
            let called = (path.clone(), peer.clone());
            let caller = principal.map(|principal| Caller::known(principal, auth, &denials, called));
            match caller.and_then(|caller| admitted(caller, need)) {
                Ok(caller) => {
                    request.extensions_mut().insert(caller);
                    inner.call(request).await
                }
                Err(error) => {
                    denials.tell((&told, &peer), &path, &error);
                    Ok(status(&error).into_http())
                }
            }
        }))
    }
}

/// Whoever has the verb with nothing at all learns nothing more.
fn admitted(caller: Caller, need: Option<Need>) -> Result<Caller> {
    match need {
        Some(Need::Nothing | Need::Known) => Ok(caller),
        Some(Need::Right(verb)) if caller.rights().has(verb) => Ok(caller),
        Some(Need::Right(verb)) => Err(Error::denied(verb, "anything")),
        None => Err(Error::new(Reason::PermissionDenied, "nobody may call this method")),
    }
}

/// Where the call comes from.
fn peer(extensions: &Extensions) -> String {
    extensions
        .get::<Peer>()
        .map(|peer| peer.address.ip().to_string())
        .unwrap_or_default()
}

/// A token counts before a certificate: a bad one is not made good by it.
fn principal(
    auth: &Auth,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> impl Future<Output = Result<Arc<Principal>>> + Send + use<> {
    let (access, now) = (auth.now(), SystemTime::now());
    let shown = bearer(headers);
    let peer = extensions.get::<Peer>();
    let by_certificate = peer.and_then(|peer| access.identity.by_certificate(&peer.uris, &peer.hosts));
    async move {
        match shown? {
            Some(token) => access.identity.by_token(&token, now).await,
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
