//! Policies: which principals may do what with which topics, groups and checkpoints. What no policy allows is denied.

use std::{borrow::Cow, fmt, sync::Arc};

use serde_json::Value;

use super::{Principal, principal::claim, wildcard::Wildcard};
use crate::name::{
    CheckpointName, Group, Pattern, Scope, Tenancy, Tenant, Topic, Verb,
    tenant::{TENANT, filled},
};

/// Something that some principals may.
pub struct Policy {
    /// By name, any of them; empty = whoever has the claims.
    pub principals: Vec<Wildcard>,
    /// All of them: a path of names, and what is or lies there.
    pub claims: Vec<(String, Wildcard)>,
    /// Of one of these tenants; `None` = of any, or of none.
    pub tenants: Option<Vec<Wildcard>>,
    pub verbs: Vec<Verb>,
    pub topics: Vec<Pattern>,
    pub groups: Vec<Pattern>,
    pub checkpoints: Vec<Pattern>,
}

impl Policy {
    fn is_for(&self, principal: &Principal) -> bool {
        let is_named = || self.principals.iter().any(|name| name.matches(principal.name()));
        let has = |(path, wanted): &(String, Wildcard)| claim_matches(principal, path, wanted);
        let is_of = |tenants: &Vec<Wildcard>| {
            let tenant = principal.tenant().map(Tenant::as_str);
            tenant.is_some_and(|tenant| tenants.iter().any(|wanted| wanted.matches(tenant)))
        };
        (self.principals.is_empty() || is_named())
            && self.claims.iter().all(has)
            && self.tenants.as_ref().is_none_or(is_of)
    }

    fn allows(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }
}

/// A policy's patterns, for a caller of this tenant or of none. Those in which `{tenant}` stands mean nothing to whoever has none.
fn patterns<'a>(patterns: &'a [Pattern], tenant: Option<&Tenant>) -> impl Iterator<Item = Cow<'a, Pattern>> {
    patterns
        .iter()
        .filter_map(move |pattern| match pattern.as_str().contains(TENANT) {
            false => Some(Cow::Borrowed(pattern)),
            true => filled(pattern.as_str(), tenant?).map(Cow::Owned),
        })
}

/// A claim of this name, or, as a path, one within others. A text matches by itself or by one of its words (`scope`), a list by one
/// of its texts.
fn claim_matches(principal: &Principal, path: &str, wanted: &Wildcard) -> bool {
    let text_matches = |text: &str| wanted.matches(text) || text.split(' ').any(|word| wanted.matches(word));
    match claim(principal.claims(), path) {
        Some(Value::String(text)) => text_matches(text),
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).any(|text| wanted.matches(text)),
        Some(Value::Bool(value)) => wanted.matches(&value.to_string()),
        Some(Value::Number(value)) => wanted.matches(&value.to_string()),
        _ => false,
    }
}

/// All policies, and what is whose.
#[derive(Default)]
pub struct Policies {
    policies: Vec<Arc<Policy>>,
    tenancy: Arc<Tenancy>,
}

impl Policies {
    pub fn new(policies: impl IntoIterator<Item = Policy>, tenancy: Arc<Tenancy>) -> Self {
        let policies = policies.into_iter().map(Arc::new).collect();
        Self { policies, tenancy }
    }

    pub fn rights(&self, principal: &Principal) -> Rights {
        let own = self.policies.iter().filter(|policy| policy.is_for(principal));
        Rights(Some(Own {
            policies: own.cloned().collect(),
            tenant: principal
                .tenant()
                .map(|tenant| (tenant.clone(), Arc::clone(&self.tenancy))),
        }))
    }
}

/// What one principal may. Everything, where nobody has to say who they are.
#[derive(Clone)]
pub struct Rights(Option<Own>);

#[derive(Clone)]
struct Own {
    policies: Vec<Arc<Policy>>,
    /// Whoever is of a tenant has only what is that tenant's, whatever policies say.
    tenant: Option<(Tenant, Arc<Tenancy>)>,
}

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
        self.any(|_, policy| policy.allows(verb))
    }

    /// The topics that it may do this with.
    pub fn topics(&self, verb: Verb) -> Scope {
        self.scope(verb, |_, _| true)
    }

    /// The topics that it may do this with in a group.
    pub fn topics_of(&self, verb: Verb, group: &Group) -> Scope {
        self.scope(verb, |own, policy| own.means(&policy.groups, group.as_str()))
    }

    /// Whether it may do this with a topic and with all events on it, whoever's they are.
    pub fn on_whole_topic(&self, verb: Verb, topic: &Topic) -> bool {
        let tenancy = self.0.as_ref().and_then(|own| own.tenant.as_ref());
        let is_shared = tenancy.is_some_and(|(_, tenancy)| tenancy.shared(topic).is_some());
        !is_shared && self.topics(verb).allows(topic)
    }

    pub fn on_group(&self, verb: Verb, group: &Group) -> bool {
        self.any(|own, policy| policy.allows(verb) && own.means(&policy.groups, group.as_str()))
            && self.owns(|tenant, tenancy| tenancy.owns_group(tenant, group))
    }

    /// Of no tenant, as there are groups of others.
    pub fn on_every_group(&self, verb: Verb) -> bool {
        let is_every = |pattern: &Pattern| pattern.as_str() == "**";
        self.any(|_, policy| policy.allows(verb) && policy.groups.iter().any(is_every)) && self.owns(|_, _| false)
    }

    pub fn on_checkpoint(&self, verb: Verb, name: &CheckpointName) -> bool {
        self.any(|own, policy| policy.allows(verb) && own.means(&policy.checkpoints, name.as_str()))
            && self.owns(|tenant, tenancy| tenancy.owns_checkpoint(tenant, name))
    }

    pub fn shows_topic(&self, topic: &Topic) -> bool {
        SHOWS_TOPIC.iter().any(|verb| self.topics(*verb).allows(topic))
    }

    pub fn shows_group(&self, group: &Group) -> bool {
        SHOWS_GROUP.iter().any(|verb| self.on_group(*verb, group))
    }

    fn any(&self, holds: impl Fn(&Own, &Policy) -> bool) -> bool {
        self.0
            .as_ref()
            .is_none_or(|own| own.policies.iter().any(|policy| holds(own, policy)))
    }

    /// Whether it is the caller's tenant's, if the caller has one.
    fn owns(&self, is_own: impl Fn(&Tenant, &Tenancy) -> bool) -> bool {
        let tenant = self.0.as_ref().and_then(|own| own.tenant.as_ref());
        tenant.is_none_or(|(tenant, tenancy)| is_own(tenant, tenancy))
    }

    /// With the bus's own topics, only whoever has `admin` on them may do anything.
    fn scope(&self, verb: Verb, applies: impl Fn(&Own, &Policy) -> bool) -> Scope {
        let Some(own) = &self.0 else { return Scope::all() };
        let of = |verb: Verb| -> Vec<Pattern> {
            let allowing = own
                .policies
                .iter()
                .filter(|policy| policy.allows(verb) && applies(own, policy));
            let topics = allowing.flat_map(|policy| patterns(&policy.topics, own.tenant()));
            topics.map(Cow::into_owned).collect()
        };
        match &own.tenant {
            None => Scope::new(of(verb), of(Verb::Admin)),
            Some((tenant, tenancy)) => Scope::of_tenant(tenant.clone(), &of(verb), &tenancy.topics_of(tenant)),
        }
    }
}

impl Own {
    fn tenant(&self) -> Option<&Tenant> {
        self.tenant.as_ref().map(|(tenant, _)| tenant)
    }

    fn means(&self, of: &[Pattern], name: &str) -> bool {
        patterns(of, self.tenant()).any(|pattern| pattern.matches(name))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("everything"),
            Some(own) => write!(f, "{} policies", own.policies.len()),
        }
    }
}

#[cfg(test)]
#[path = "policy/tests.rs"]
mod tests;
