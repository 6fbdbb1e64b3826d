//! Who calls a service, as its handlers see it, and for how long a call of theirs may last.

use std::{sync::Arc, time::SystemTime};

use futures_util::{
    Stream, StreamExt as _,
    future::{BoxFuture, ready},
    stream::{self, BoxStream},
};
use tokio::{sync::watch, time::sleep};
use tonic::{Extensions, Status};

use super::status::status;
use crate::{
    auth::{self, Auth, Identity, Known, Principal},
    error::{Error, Reason, Result},
};

/// Who calls, where nobody has to say so.
const ANONYMOUS: &str = "anonymous";

/// Who calls; an extension of each request.
#[derive(Clone)]
pub(super) struct Caller(Option<(Arc<Principal>, Auth)>);

impl Caller {
    pub(super) fn anonymous() -> Self {
        Self(None)
    }

    pub(super) fn known(principal: Arc<Principal>, auth: Auth) -> Self {
        Self(Some((principal, auth)))
    }

    /// Who calls; only a fault of ours lets a call come here without that.
    pub(super) fn of(extensions: &Extensions) -> Result<Self, Status> {
        let unknown = || status(&Error::new(Reason::Internal, "a call came without its caller"));
        extensions.get::<Self>().cloned().ok_or_else(unknown)
    }

    /// As it is written down.
    pub(super) fn name(&self) -> &str {
        self.0.as_ref().map_or(ANONYMOUS, |(principal, _)| principal.name())
    }

    pub(super) fn token_expires(&self) -> Option<SystemTime> {
        self.0.as_ref()?.0.expires()
    }

    /// How long a stream of this caller may last, and what makes it longer.
    pub(super) fn lifetime(&self) -> (Lifetime, Renewal) {
        let Some((principal, auth)) = &self.0 else {
            return (Lifetime(None), Renewal(None));
        };
        let (renewal, principal) = watch::channel(Arc::clone(principal));
        let running = Running {
            principal,
            identity: auth.changes(),
        };
        (Lifetime(Some(running)), Renewal(Some((renewal, auth.clone()))))
    }
}

/// How long a stream may last: as long as its caller's credential.
pub(super) struct Lifetime(Option<Running>);

struct Running {
    principal: watch::Receiver<Arc<Principal>>,
    identity: watch::Receiver<Arc<Identity>>,
}

/// A fresh token for a stream that goes on. Dropped, the stream lasts as long as the token that it has.
pub(super) struct Renewal(Option<(watch::Sender<Arc<Principal>>, Auth)>);

impl Lifetime {
    /// Ready when the stream must end, and why.
    pub(super) fn over(self) -> BoxFuture<'static, Error> {
        match self.0 {
            None => Box::pin(std::future::pending()),
            Some(running) => Box::pin(running.over()),
        }
    }

    /// Ends the messages when the stream must end.
    pub(super) fn cut<T: Send + 'static>(
        self,
        messages: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> BoxStream<'static, Result<T, Status>> {
        enum Step<T> {
            Message(Result<T, Status>),
            Done,
            Over(Error),
        }
        if self.0.is_none() {
            return messages.boxed();
        }
        let messages = messages.map(Step::Message).chain(stream::iter([Step::Done]));
        let steps = stream::select(stream::once(self.over()).map(Step::Over), messages);
        let until_over = steps.scan(false, |is_over, step| {
            ready(match step {
                _ if *is_over => None,
                Step::Message(message) => Some(message),
                Step::Done => None,
                Step::Over(error) => {
                    *is_over = true;
                    Some(Err(status(&error)))
                }
            })
        });
        until_over.boxed()
    }
}

impl Running {
    async fn over(mut self) -> Error {
        loop {
            let principal = Arc::clone(&self.principal.borrow_and_update());
            let known = self.identity.borrow_and_update().knows(&principal, SystemTime::now());
            match known {
                Known::Still => {}
                Known::Expired => return auth::expired(),
                Known::NoMore => return auth::invalid(),
            }
            // Each arm is cancel-safe: what has changed is looked at above.
            tokio::select! {
                () = until(principal.holds_until()) => {}
                Ok(()) = self.principal.changed() => {}
                Ok(()) = self.identity.changed() => {}
            }
        }
    }
}

/// Clocks may be set meanwhile: whoever waits looks at them again.
async fn until(end: Option<SystemTime>) {
    match end {
        Some(end) => sleep(end.duration_since(SystemTime::now()).unwrap_or_default()).await,
        None => std::future::pending().await,
    }
}

impl Renewal {
    /// Takes a fresh token, which must be the same principal's.
    pub(super) async fn renew(&self, token: &str) -> Result<()> {
        let Some((current, auth)) = &self.0 else {
            return Err(Error::not_built("authenticate, where nobody has to say who they are,"));
        };
        let fresh = auth.identity().by_token(token, SystemTime::now()).await?;
        if fresh.name() != current.borrow().name() {
            let text = "the token is not of the principal that opened the stream";
            return Err(Error::new(Reason::TokenInvalid, text));
        }
        current.send_replace(fresh);
        Ok(())
    }
}
