//! Policies: which principals may do what with which topics, groups and checkpoints. What no policy allows is denied.

use std::{fmt, sync::Arc};

use serde_json::Value;

use super::{Principal, wildcard::Wildcard};
use crate::name::{CheckpointName, Group, Pattern, Scope, Topic, Verb};

/// Something that some principals may.
pub struct Policy {
    /// By name, any of them; empty = whoever has the claims.
    pub principals: Vec<Wildcard>,
    /// All of them: a path of names, and what is or lies there.
    pub claims: Vec<(String, Wildcard)>,
    pub verbs: Vec<Verb>,
    pub topics: Vec<Pattern>,
    pub groups: Vec<Pattern>,
    pub checkpoints: Vec<Pattern>,
}

impl Policy {
    fn is_for(&self, principal: &Principal) -> bool {
        let is_named = || self.principals.iter().any(|name| name.matches(principal.name()));
        let has = |(path, wanted): &(String, Wildcard)| claim_matches(principal, path, wanted);
        (self.principals.is_empty() || is_named()) && self.claims.iter().all(has)
    }

    fn allows(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }

    fn means_group(&self, group: &Group) -> bool {
        self.groups.iter().any(|pattern| pattern.matches(group.as_str()))
    }
}

/// A claim of this name, or, as a path, one within others. A text matches by itself or by one of its words (`scope`), a list by one
/// of its texts.
fn claim_matches(principal: &Principal, path: &str, wanted: &Wildcard) -> bool {
    let claims = principal.claims();
    let within = || {
        let mut names = path.split('.');
        let first = claims.get(names.next()?)?;
        names.try_fold(first, |value, name| value.get(name))
    };
    let text_matches = |text: &str| wanted.matches(text) || text.split(' ').any(|word| wanted.matches(word));
    match claims.get(path).or_else(within) {
        Some(Value::String(text)) => text_matches(text),
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).any(|text| wanted.matches(text)),
        Some(Value::Bool(value)) => wanted.matches(&value.to_string()),
        Some(Value::Number(value)) => wanted.matches(&value.to_string()),
        _ => false,
    }
}

/// All policies.
#[derive(Default)]
pub struct Policies(Vec<Arc<Policy>>);

impl Policies {
    pub fn new(policies: impl IntoIterator<Item = Policy>) -> Self {
        Self(policies.into_iter().map(Arc::new).collect())
    }

    pub fn rights(&self, principal: &Principal) -> Rights {
        let own = self.0.iter().filter(|policy| policy.is_for(principal));
        Rights(Some(own.cloned().collect()))
    }
}

/// What one principal may. Everything, where nobody has to say who they are.
#[derive(Clone)]
pub struct Rights(Option<Vec<Arc<Policy>>>);

/// Whoever may do one of these with a topic may know of it; and the same of groups.
const SHOWS_TOPIC: [Verb; 5] = [Verb::Publish, Verb::Subscribe, Verb::Read, Verb::Topics, Verb::State];
const SHOWS_GROUP: [Verb; 5] = [
    Verb::Subscribe,
    Verb::Reset,
    Verb::DeadLetter,
    Verb::Command,
    Verb::Admin,
];

impl Rights {
    pub fn all() -> Self {
        Self(None)
    }

    /// Whether there is anything that it may do this with.
    pub fn has(&self, verb: Verb) -> bool {
        self.any(|policy| policy.allows(verb))
    }

    /// The topics that it may do this with.
    pub fn topics(&self, verb: Verb) -> Scope {
        self.scope(verb, |_| true)
    }

    /// The topics that it may do this with in a group.
    pub fn topics_of(&self, verb: Verb, group: &Group) -> Scope {
        self.scope(verb, |policy| policy.means_group(group))
    }

    pub fn on_group(&self, verb: Verb, group: &Group) -> bool {
        self.any(|policy| policy.allows(verb) && policy.means_group(group))
    }

    pub fn on_every_group(&self, verb: Verb) -> bool {
        let is_every = |pattern: &Pattern| pattern.as_str() == "**";
        self.any(|policy| policy.allows(verb) && policy.groups.iter().any(is_every))
    }

    pub fn on_checkpoint(&self, verb: Verb, name: &CheckpointName) -> bool {
        let means = |policy: &Policy| policy.checkpoints.iter().any(|pattern| pattern.matches(name.as_str()));
        self.any(|policy| policy.allows(verb) && means(policy))
    }

    pub fn shows_topic(&self, topic: &Topic) -> bool {
        SHOWS_TOPIC.iter().any(|verb| self.topics(*verb).allows(topic))
    }

    pub fn shows_group(&self, group: &Group) -> bool {
        SHOWS_GROUP.iter().any(|verb| self.on_group(*verb, group))
    }

    fn any(&self, holds: impl Fn(&Policy) -> bool) -> bool {
        self.0
            .as_ref()
            .is_none_or(|policies| policies.iter().any(|policy| holds(policy)))
    }

    /// With the bus's own topics, only whoever has `admin` on them may do anything.
    fn scope(&self, verb: Verb, applies: impl Fn(&Policy) -> bool) -> Scope {
        let Some(policies) = &self.0 else { return Scope::all() };
        let of = |verb: Verb| {
            let allowing = policies.iter().filter(|policy| policy.allows(verb) && applies(policy));
            allowing.flat_map(|policy| policy.topics.iter().cloned()).collect()
        };
        Scope::new(of(verb), of(Verb::Admin))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("everything"),
            Some(policies) => write!(f, "{} policies", policies.len()),
        }
    }
}

#[cfg(test)]
#[path = "policy/tests.rs"]
mod tests;
