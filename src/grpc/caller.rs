//! Who calls a service, as its handlers see it: what they may, and for how long a call of theirs may last.

use std::{sync::Arc, time::SystemTime};

use futures_util::{
    Stream, StreamExt as _,
    future::{BoxFuture, ready},
    stream::{self, BoxStream, PollNext},
};
use tokio::{sync::watch, time::sleep};
use tonic::{Extensions, Status};

use super::{denials::Denials, status::status};
use crate::{
    auth::{self, Access, Allowance, Auth, Principal, Rights},
    bus::Start,
    error::{Error, Reason, Result},
    name::{CheckpointName, Group, Scope, Selectors, Tenant, Topic, Verb},
};

/// Who calls, where nobody has to say so.
const ANONYMOUS: &str = "anonymous";

/// Who calls; an extension of each request.
#[derive(Clone)]
pub(super) struct Caller(Option<Arc<Known>>);

struct Known {
    principal: Arc<Principal>,
    /// The same one, by the newest token that was shown.
    newest: watch::Sender<Arc<Principal>>,
    auth: Auth,
    denials: Denials,
    /// The method, and where the call comes from.
    called: Called,
}

/// The path of a method, and the address that calls it.
pub(super) type Called = (String, String);

/// What a stream needs as long as it lasts.
pub(super) type Right = Arc<dyn Fn(&Rights) -> Result<()> + Send + Sync>;

impl Caller {
    pub(super) fn anonymous() -> Self {
        Self(None)
    }

    pub(super) fn known(principal: Arc<Principal>, auth: Auth, denials: &Denials, called: Called) -> Self {
        Self(Some(Arc::new(Known {
            newest: watch::Sender::new(Arc::clone(&principal)),
            principal,
            auth,
            denials: denials.clone(),
            called,
        })))
    }

    /// Who calls; only a fault of ours lets a call come here without that.
    pub(super) fn of(extensions: &Extensions) -> Result<Self, Status> {
        let unknown = || status(&Error::new(Reason::Internal, "a call came without its caller"));
        extensions.get::<Self>().cloned().ok_or_else(unknown)
    }

    /// What they have to keep now.
    pub(super) fn allowance(&self) -> Allowance {
        match &self.0 {
            None => Allowance::unbounded(),
            Some(known) => known.auth.allowance(&known.principal),
        }
    }

    /// Whether they had to say who they are. Whoever need not may do everything.
    pub(super) fn is_known(&self) -> bool {
        self.0.is_some()
    }

    /// What they may now.
    pub(super) fn rights(&self) -> Rights {
        match &self.0 {
            None => Rights::all(),
            Some(known) => known.auth.now().policies.rights(&known.newest.borrow()),
        }
    }

    pub(super) fn on_group(&self, verb: Verb, group: &Group) -> Result<()> {
        match self.rights().on_group(verb, group) {
            true => Ok(()),
            false => self.denied(verb, format!("group {group}")),
        }
    }

    pub(super) fn on_topic(&self, verb: Verb, topic: &Topic) -> Result<()> {
        match self.rights().topics(verb).allows(topic) {
            true => Ok(()),
            false => self.denied(verb, format!("topic {topic}")),
        }
    }

    /// With all events on it, whoever's they are.
    pub(super) fn on_whole_topic(&self, verb: Verb, topic: &Topic) -> Result<()> {
        match self.rights().on_whole_topic(verb, topic) {
            true => Ok(()),
            false => self.denied(verb, format!("topic {topic}")),
        }
    }

    pub(super) fn on_checkpoint(&self, verb: Verb, name: &CheckpointName) -> Result<()> {
        match self.rights().on_checkpoint(verb, name) {
            true => Ok(()),
            false => self.denied(verb, format!("checkpoint {name}")),
        }
    }

    /// Those of a list that are shown: of one group, which must be allowed, or of all that are.
    pub(super) fn may_list(&self, verb: Verb, group: &str) -> Result<impl Fn(&Group) -> bool + use<>> {
        let group = (!group.is_empty()).then(|| Group::new(group)).transpose()?;
        if let Some(group) = &group {
            self.on_group(verb, group)?;
        }
        let rights = self.rights();
        Ok(move |of: &Group| group.as_ref().is_none_or(|group| group == of) && rights.on_group(verb, of))
    }

    /// What is named must be allowed; patterns come back narrowed to what is.
    pub(super) fn on_topics(&self, verb: Verb, scope: &Scope, asked: Selectors) -> Result<Selectors> {
        if let Some(topic) = asked.named().find(|topic| !scope.allows(topic)) {
            self.denied(verb, format!("topic {topic}"))?;
        }
        Ok(scope.narrow(asked))
    }

    /// Where something starts may be somebody's: a snapshot is its topic's.
    pub(super) fn on_start(&self, verb: Verb, scope: &Scope, start: Option<&Start>) -> Result<()> {
        match start {
            Some(Start::Snapshot(name)) if !scope.allows(&name.topic) => {
                self.denied(verb, format!("topic {}", name.topic))
            }
            Some(Start::Checkpoint(wanted)) => self.on_checkpoint(Verb::State, &wanted.name),
            _ => Ok(()),
        }
    }

    /// The error, which is written down too.
    pub(super) fn denied(&self, verb: Verb, what: String) -> Result<()> {
        let error = Error::denied(verb, what);
        self.tell(&error);
        Err(error)
    }

    /// Writes down that this was denied.
    fn tell(&self, error: &Error) {
        if let Some(known) = &self.0 {
            let (path, peer) = &known.called;
            known.denials.tell((known.principal.name(), peer), path, error);
        }
    }

    /// An error of the bus, which is written down if it is that something was denied.
    pub(super) fn note(&self, error: &Error) {
        if error.reason() == Reason::PermissionDenied {
            self.tell(error);
        }
    }

    /// As it is written down.
    pub(super) fn name(&self) -> &str {
        self.0.as_ref().map_or(ANONYMOUS, |known| known.principal.name())
    }

    /// Of which tenant they are; empty = of none.
    pub(super) fn tenant(&self) -> &str {
        let tenant = self.0.as_ref().and_then(|known| known.principal.tenant());
        tenant.map_or("", Tenant::as_str)
    }

    pub(super) fn token_expires(&self) -> Option<SystemTime> {
        self.0.as_ref()?.principal.expires()
    }

    /// How long a stream of this caller may last that needs this right.
    pub(super) fn lifetime(&self, right: Right) -> Lifetime {
        self.renewable(right).0
    }

    /// The same, and what makes it longer.
    pub(super) fn renewable(&self, right: Right) -> (Lifetime, Renewal) {
        let Some(known) = &self.0 else {
            return (Lifetime(None), Renewal(None));
        };
        let running = Running {
            principal: known.newest.subscribe(),
            access: known.auth.changes(),
            right,
        };
        (Lifetime(Some(running)), Renewal(Some(Arc::clone(known))))
    }
}

/// How long a stream may last: as long as its caller's credential, and as its caller may have it.
pub(super) struct Lifetime(Option<Running>);

struct Running {
    principal: watch::Receiver<Arc<Principal>>,
    access: watch::Receiver<Arc<Access>>,
    right: Right,
}

/// A fresh token for a stream that goes on. Dropped, the stream lasts as long as the token that it has.
pub(super) struct Renewal(Option<Arc<Known>>);

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
        let over = stream::once(self.over()).map(Step::Over);
        let steps = stream::select_with_strategy(over, messages, |(): &mut ()| PollNext::Left);
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
            let access = Arc::clone(&self.access.borrow_and_update());
            match access.identity.knows(&principal, SystemTime::now()) {
                auth::Known::Still => {}
                auth::Known::Expired => return auth::expired(),
                auth::Known::NoMore => return auth::invalid(),
            }
            if let Err(denied) = (self.right)(&access.policies.rights(&principal)) {
                return denied;
            }
            // Each arm is cancel-safe: what has changed is looked at above.
            tokio::select! {
                () = until(principal.holds_until()) => {}
                Ok(()) = self.principal.changed() => {}
                Ok(()) = self.access.changed() => {}
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
        let Some(known) = &self.0 else {
            return Err(Error::not_built("authenticate, where nobody has to say who they are,"));
        };
        let fresh = known.auth.now().identity.by_token(token, SystemTime::now()).await?;
        if fresh.name() != known.principal.name() || fresh.tenant() != known.principal.tenant() {
            let text = "the token is not of the principal that opened the stream";
            return Err(Error::new(Reason::TokenInvalid, text));
        }
        known.newest.send_replace(fresh);
        Ok(())
    }
}
