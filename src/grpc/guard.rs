//! What streams need as long as they last: that their caller may have what comes on them.

use std::sync::{Arc, Mutex, PoisonError};

use super::caller::{Caller, Right};
use crate::{
    auth::Rights,
    bus::OpenOptions,
    error::{Error, Result},
    name::{Group, Selectors, Verb},
};

/// All of these topics, whatever patterns among them mean later.
pub(super) fn topics_stay(verb: Verb, topics: Selectors) -> Right {
    Arc::new(move |rights| match rights.topics(verb).outside(&topics) {
        None => Ok(()),
        Some(topic) => Err(Error::denied(verb, format!("topic {topic}"))),
    })
}

/// What a subscription needs: the group, and the topics that the group has, which others may change.
#[derive(Clone)]
pub(super) struct Guard(Arc<Inner>);

struct Inner {
    caller: Caller,
    group: Group,
    /// `None` until the stream is open.
    topics: Mutex<Option<Selectors>>,
}

impl Guard {
    /// Looks at what is asked for before anything else does, and binds it to what the caller may have.
    pub(super) fn of(caller: &Caller, options: &mut OpenOptions) -> Result<Self> {
        caller.on_group(Verb::Subscribe, &options.group)?;
        let scope = caller.rights().topics_of(Verb::Subscribe, &options.group);
        caller.on_start(Verb::Subscribe, &scope, options.start.as_ref())?;
        if let Some(topics) = options.topics.take() {
            options.topics = Some(caller.on_topics(Verb::Subscribe, &scope, topics)?);
        }
        options.scope = scope;
        Ok(Self(Arc::new(Inner {
            caller: caller.clone(),
            group: options.group.clone(),
            topics: Mutex::new(None),
        })))
    }

    pub(super) fn right(&self) -> Right {
        let inner = Arc::clone(&self.0);
        Arc::new(move |rights| inner.check(rights))
    }

    /// The group has these topics now; `Err` if the caller may not have them.
    pub(super) fn has(&self, topics: &Selectors) -> Result<()> {
        *self.0.topics.lock().unwrap_or_else(PoisonError::into_inner) = Some(topics.clone());
        self.0.check(&self.0.caller.rights())
    }
}

impl Inner {
    fn check(&self, rights: &Rights) -> Result<()> {
        let group = &self.group;
        if !rights.on_group(Verb::Subscribe, group) {
            return Err(Error::denied(Verb::Subscribe, format!("group {group}")));
        }
        let scope = rights.topics_of(Verb::Subscribe, group);
        let topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        match topics.as_ref().is_some_and(|topics| scope.outside(topics).is_some()) {
            true => Err(Error::denied(Verb::Subscribe, format!("a topic of group {group}"))),
            false => Ok(()),
        }
    }
}
