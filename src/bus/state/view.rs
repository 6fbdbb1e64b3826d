//! Looking at snapshots: one by its name, or all by topic, the newest of each first.

use std::collections::BTreeSet;

use super::{
    info::{Alive, SnapshotInfo},
    manifest::Manifest,
    name::SnapshotName,
    row::SnapshotRow,
    shelf::{self, Found},
};
use crate::{
    bus::{Bus, Inner, table::Row as _},
    error::Result,
    name::Topic,
    objects::Objects,
};

impl Bus {
    /// One snapshot, also while it is being taken.
    pub async fn snapshot(&self, name: &SnapshotName) -> Result<SnapshotInfo> {
        let Some(id) = &name.id else {
            return Ok(SnapshotInfo::ready(&self.0.newest_snapshot(&name.topic).await?));
        };
        if let Some(stored) = self.0.stored(&name.topic, id).await? {
            return Ok(stored);
        }
        let row = self.0.snapshots.newest(&SnapshotRow::key(&name.topic)).await?;
        let row = row.filter(|row| row.id == *id).ok_or_else(|| name.not_found())?;
        if row.taken_by(&row.request_id) != Some(id) {
            return Ok(SnapshotInfo::of_row(&name.topic, &row, self.0.takes(&name.topic, &row)));
        }
        // It was stored in between, or is removed.
        let stored = self.0.stored(&name.topic, id).await?;
        stored.ok_or_else(|| name.not_found())
    }

    /// Of one topic or of all, behind `after`, at most `count`.
    pub async fn snapshots(
        &self,
        (topic, may): (Option<&Topic>, impl Fn(&Topic) -> bool),
        after: Option<&SnapshotName>,
        count: usize,
    ) -> Result<Vec<SnapshotInfo>> {
        let objects = self.0.objects()?;
        self.0.snapshots.catch_up().await?;
        let mut infos = Vec::new();
        for topic in self.0.topics_with_snapshots(objects, topic).await? {
            if after.is_some_and(|after| topic < after.topic) || !may(&topic) {
                continue;
            }
            let after = after.filter(|after| after.topic == topic);
            self.0
                .add_snapshots(objects, (&topic, after), (&mut infos, count))
                .await?;
            if infos.len() >= count {
                break;
            }
        }
        Ok(infos)
    }
}

impl Inner {
    async fn stored(&self, topic: &Topic, id: &str) -> Result<Option<SnapshotInfo>> {
        Ok(match shelf::find(self.objects()?, topic, id).await? {
            Found::Ready(manifest) => Some(SnapshotInfo::ready(&manifest)),
            Found::Damaged(what) => Some(SnapshotInfo::damaged(topic, id, what)),
            Found::Nothing => None,
        })
    }

    /// Of a snapshot that is stored.
    pub(super) async fn manifest(&self, name: &SnapshotName) -> Result<Manifest> {
        let Some(id) = &name.id else {
            return self.newest_snapshot(&name.topic).await;
        };
        match shelf::find(self.objects()?, &name.topic, id).await? {
            Found::Ready(manifest) => Ok(*manifest),
            Found::Damaged(what) => Err(shelf::damaged(&name.topic, id, &what)),
            Found::Nothing => Err(name.not_found()),
        }
    }

    /// The newest snapshot of a topic that can be read.
    async fn newest_snapshot(&self, topic: &Topic) -> Result<Manifest> {
        let objects = self.objects()?;
        for id in shelf::ids(objects, topic).await? {
            if let Found::Ready(manifest) = shelf::find(objects, topic, &id).await? {
                return Ok(*manifest);
            }
        }
        let name = SnapshotName {
            topic: topic.clone(),
            id: None,
        };
        Err(name.not_found())
    }

    async fn topics_with_snapshots(&self, objects: &Objects, topic: Option<&Topic>) -> Result<BTreeSet<Topic>> {
        if let Some(topic) = topic {
            return Ok([topic.clone()].into());
        }
        let mut topics: BTreeSet<Topic> = shelf::topics(objects).await?.into_iter().collect();
        let rows = self.snapshots.keys_under(SnapshotRow::PREFIX);
        let named = rows
            .iter()
            .filter_map(|key| Topic::new(key.strip_prefix(SnapshotRow::PREFIX)?).ok());
        topics.extend(named);
        Ok(topics)
    }

    /// Those of one topic, newest first, until there are `count`.
    async fn add_snapshots(
        &self,
        objects: &Objects,
        (topic, after): (&Topic, Option<&SnapshotName>),
        (infos, count): (&mut Vec<SnapshotInfo>, usize),
    ) -> Result<()> {
        let row = self.snapshots.known(&SnapshotRow::key(topic));
        let row = row.filter(|row| self.takes(topic, row) == Alive::Yes);
        let mut ids: BTreeSet<String> = shelf::ids(objects, topic).await?.into_iter().collect();
        ids.extend(row.as_ref().map(|row| row.id.clone()));
        let after = after.and_then(|after| after.id.as_ref());
        for id in ids.iter().rev().filter(|id| after.is_none_or(|after| *id < after)) {
            if infos.len() >= count {
                return Ok(());
            }
            match (shelf::find(objects, topic, id).await?, &row) {
                (Found::Ready(manifest), _) => infos.push(SnapshotInfo::ready(&manifest)),
                (Found::Damaged(what), _) => infos.push(SnapshotInfo::damaged(topic, id, what)),
                (Found::Nothing, Some(row)) if row.id == *id => {
                    infos.push(SnapshotInfo::of_row(topic, row, Alive::Yes));
                }
                (Found::Nothing, _) => {}
            }
        }
        Ok(())
    }
}
