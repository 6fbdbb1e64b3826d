//! `Lens`: of a topic that tenants share, what one of them sees: its own events, and nothing else.

use super::{Inner, feed::Item};
use crate::{
    convention::Happening,
    event::Event,
    name::{Keys, Shared, Tenant, Topic},
};

/// What one tenant sees of a topic.
#[derive(Clone, Debug)]
pub(super) struct Lens {
    attribute: String,
    tenant: Tenant,
    /// Where keys begin with their tenant.
    key: Option<Vec<u8>>,
}

impl Inner {
    /// What this tenant sees of a topic; `None` = everything, as whoever is of no tenant does, and everybody of a topic that is not
    /// shared.
    pub(super) fn lens(&self, tenant: Option<&Tenant>, topic: &Topic) -> Option<Lens> {
        let tenant = tenant?;
        let shared = self.settings.tenancy.shared(topic)?;
        Some(Lens::of(shared, tenant))
    }
}

impl Lens {
    fn of(shared: &Shared, tenant: &Tenant) -> Self {
        Self {
            attribute: shared.attribute.clone(),
            tenant: tenant.clone(),
            key: (shared.keys == Keys::Prefixed).then(|| prefix(tenant)),
        }
    }

    /// A record that is no event says nobody's name; its key may. What deletes all and is nobody's deletes this tenant's too.
    pub(super) fn shows(&self, item: &Item) -> bool {
        match item.fault {
            None => self.is_own(&item.event) || self.means_all(&item.event),
            Some(_) => {
                let key = item.key.as_deref().unwrap_or_default();
                self.key.as_ref().is_some_and(|prefix| key.starts_with(prefix))
            }
        }
    }

    fn means_all(&self, event: &Event) -> bool {
        event.attribute(&self.attribute).is_none() && Happening::of(event.ty()) == Happening::DeletedAll
    }

    fn is_own(&self, event: &Event) -> bool {
        let said = event.text_of(&self.attribute);
        said.is_some_and(|said| said == self.tenant.as_str())
    }
}

/// How the keys of a tenant begin.
pub(super) fn prefix(tenant: &Tenant) -> Vec<u8> {
    format!("{tenant}/").into_bytes()
}
