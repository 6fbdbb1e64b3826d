//! Where a snapshot stands, for those who start there.

use super::{bases::Bases, manifest::Manifest, name::SnapshotName};
use crate::{
    bus::{Inner, partitions::partitions},
    error::{Error, Reason, Result},
    log::TopicPartition,
};

impl Inner {
    /// The offset of each partition that the snapshot has; `None` for others. `field` is where its name stands in the request.
    pub(in crate::bus) async fn snapshot_positions(
        &self,
        name: &SnapshotName,
        partitions: &[TopicPartition],
        field: &str,
    ) -> Result<Vec<Option<i64>>> {
        let manifest = self.manifest(name).await?;
        if !partitions.iter().any(|partition| partition.topic == name.topic) {
            let rule = format!("is a snapshot of {}, which is not among the topics meant", name.topic);
            return Err(Error::fault(Reason::RequestInvalid, field, rule));
        }
        self.check_topic(name, &manifest).await?;
        let offset = |at: &TopicPartition| {
            let held = manifest.partition(at.partition).filter(|_| at.topic == name.topic);
            held.map(|held| held.offset)
        };
        Ok(partitions.iter().map(offset).collect())
    }

    /// In a topic that was made anew since, the positions would skip events that nobody has seen.
    async fn check_topic(&self, name: &SnapshotName, manifest: &Manifest) -> Result<()> {
        let count = self.log.partitions(&name.topic).await?.unwrap_or(0);
        let all: Vec<TopicPartition> = partitions(&name.topic, count).collect();
        let bounds = self.log.bounds(&all).await?;
        let bases = Bases::of(&self.log, Some(self.objects()?), &name.topic, bounds).await?;
        if bases.is_of_this_topic(manifest).await? {
            return Ok(());
        }
        let text = format!("start at snapshot {name}: the topic was made anew since; start elsewhere");
        Err(Error::new(Reason::PositionGone, text))
    }
}
