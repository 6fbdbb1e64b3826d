//! Groups of consumers outside the bus, which use the same log: there to be seen, and to be moved by a reset.

use std::collections::BTreeMap;

use super::{GroupInfo, GroupKind, GroupSettings, OnGap, Undecodable};
use crate::{
    bus::{Inner, rules::RetryOverride},
    error::Result,
    log::{LogTime, TopicPartition},
    name::{Group, Selectors},
};

impl Inner {
    /// By name, those after `after`, each with how many members it has.
    pub(super) async fn foreign_groups(&self, after: Option<&Group>) -> Result<BTreeMap<Group, usize>> {
        let is_ours = |group: &Group| self.groups.known(group).is_some_and(|known| !known.leaves_the_name());
        let mut groups: BTreeMap<Group, usize> = self.log.foreign_groups().await?.into_iter().collect();
        groups.retain(|group, _| after.is_none_or(|after| group > after) && !is_ours(group));
        Ok(groups)
    }

    /// Where its consumers have committed something, and how far behind they are; `None` = there is no such group.
    pub(super) async fn foreign_group(&self, group: &Group) -> Result<Option<GroupInfo>> {
        let Some(members) = self.foreign_groups(None).await?.remove(group) else {
            return Ok(None);
        };
        let mut partitions = Vec::new();
        for topic in self.log.names().await?.into_iter().filter(|topic| !topic.is_internal()) {
            let count = self.log.partitions(&topic).await?.unwrap_or(0);
            partitions.extend((0..count).map(|partition| TopicPartition {
                topic: topic.clone(),
                partition,
            }));
        }
        let committed = self.log.committed(group, &partitions).await?;
        let (partitions, committed): (Vec<_>, Vec<_>) = (partitions.into_iter().zip(committed))
            .filter(|(_, committed)| committed.is_some())
            .unzip();
        let bounds = self.log.bounds(&partitions).await?;
        let rows = partitions.into_iter().zip(bounds).zip(committed);
        let mut info = self.foreign_info(group.clone(), members);
        info.partitions = self.partition_rows(group, rows, &[]).await;
        Ok(Some(info))
    }

    pub(super) fn foreign_info(&self, name: Group, members: usize) -> GroupInfo {
        GroupInfo {
            kind: GroupKind::Foreign,
            retry: self.settings.delivery.of(&name).retry,
            tenant: self.settings.tenancy.tenant_of(&name),
            name,
            revision: 0,
            epoch: 0,
            active_reset: None,
            settings: GroupSettings {
                topics: Selectors::new(Vec::new()),
                filter: None,
                on_gap: OnGap::default(),
                undecodable: Undecodable::default(),
                retry: RetryOverride::default(),
            },
            created: LogTime(0),
            members,
            streams: 0,
            open: Vec::new(),
            last_commit: None,
            partitions: Vec::new(),
        }
    }
}
