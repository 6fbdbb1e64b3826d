//! Where a snapshot stands, for those who start there.

use super::name::SnapshotName;
use crate::{
    bus::Inner,
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
        let offset = |at: &TopicPartition| {
            let held = manifest.partition(at.partition).filter(|_| at.topic == name.topic);
            held.map(|held| held.offset)
        };
        Ok(partitions.iter().map(offset).collect())
    }
}
