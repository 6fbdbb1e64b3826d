//! Which group it is, and what its record says.

use std::sync::Arc;

use crate::{
    bus::{
        delivery::{Doom, Why},
        feed::Item,
        groups::{GroupRecord, OnGap, Undecodable},
    },
    filter::Filter,
    name::{Group, Tenant},
};

/// What the task needs to know of the group.
pub(super) struct Identity {
    pub(super) group: Group,
    /// Whose it is; `None` = nobody's, so that it has the events of all tenants.
    pub(super) tenant: Option<Tenant>,
    pub(super) record: Arc<GroupRecord>,
}

impl Identity {
    /// What is no event becomes a dead letter, if the group wants that.
    pub(super) fn doom_of(&self, item: &Item) -> Option<Box<Doom>> {
        let fault = item.fault.as_ref()?;
        (self.record.settings.undecodable == Undecodable::DeadLetter).then(|| {
            Box::new(Doom {
                detail: format!("{}: {}", fault.field, fault.rule).into(),
                ..Doom::of(Why::Undecodable)
            })
        })
    }

    pub(super) fn filter(&self) -> Option<Filter> {
        self.record.settings.filter.clone()
    }

    pub(super) fn on_gap(&self) -> OnGap {
        self.record.settings.on_gap
    }
}
