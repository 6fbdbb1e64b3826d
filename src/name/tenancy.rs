//! `Tenancy`: whose topics, groups and checkpoints are, told from their names, and the topics that tenants share.

use super::{CheckpointName, Group, Pattern, Tenant, TenantPattern, Topic};

/// What is whose. Where it says nothing, nothing is a tenant's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenancy {
    pub topics: Option<TenantPattern>,
    pub groups: Option<TenantPattern>,
    pub checkpoints: Option<TenantPattern>,
    pub shared: Vec<Shared>,
}

/// Topics that tenants share: each publishes as itself, and receives what is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    pub topics: Vec<Pattern>,
    /// The attribute of an event that says whose it is.
    pub attribute: String,
    /// The field of JSON data that says the same, where it is there: names, from the outermost.
    pub body: Option<String>,
    pub keys: Keys,
}

/// How the keys of tenants are kept apart on a topic that they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// A key begins with its tenant: `TENANT/KEY`.
    Prefixed,
    /// They are as they come. Who publishes under another's key replaces its state.
    AsGiven,
}

impl Tenancy {
    pub fn owns_group(&self, tenant: &Tenant, group: &Group) -> bool {
        self.tenant_of(group).as_ref() == Some(tenant)
    }

    pub fn owns_checkpoint(&self, tenant: &Tenant, name: &CheckpointName) -> bool {
        let of = |pattern: &TenantPattern| pattern.tenant_in(name.as_str());
        self.checkpoints.as_ref().and_then(of).as_ref() == Some(tenant)
    }

    /// Whose group it is, whoever works in it.
    pub fn tenant_of(&self, group: &Group) -> Option<Tenant> {
        self.groups.as_ref()?.tenant_in(group.as_str())
    }

    /// How tenants share the topic; `None` = they do not.
    pub fn shared(&self, topic: &Topic) -> Option<&Shared> {
        let is_among = |shared: &&Shared| shared.topics.iter().any(|pattern| pattern.matches(topic.as_str()));
        self.shared.iter().find(is_among)
    }

    /// All topics that a tenant may have to do with, its own ones and those that are shared.
    pub fn topics_of(&self, tenant: &Tenant) -> Vec<Pattern> {
        let own = self.topics.as_ref().and_then(|pattern| pattern.of(tenant));
        let shared = self.shared.iter().flat_map(|shared| &shared.topics).cloned();
        own.into_iter().chain(shared).collect()
    }
}
