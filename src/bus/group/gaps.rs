//! Events that should come next and are gone: the group goes on behind them, or fails, as its settings say.

use super::{Frame, partitions::Cause, task::Task};
use crate::{
    bus::{delivery::PartitionId, groups::OnGap, start::Gap},
    log::{Assigned, Committed, Log, TopicPartition},
};

impl Task {
    /// Retention overtook the group.
    pub(super) fn over_gap(&mut self, id: PartitionId, gap: &Gap) {
        let Some(owned) = self.owned.get_mut(&id) else { return };
        if self.identity.on_gap() == OnGap::Fail {
            self.unassign(id);
            self.owned.remove(&id);
            return self.tell_gap(gap);
        }
        if gap.to < gap.from {
            // The topic was made anew: its partition begins anew too.
            let assigned = Assigned {
                partition: (*owned.partition).clone(),
                committed: Some(Committed {
                    offset: gap.from,
                    note: String::new(),
                }),
            };
            self.unassign(id);
            self.owned.remove(&id);
            return self.begin(vec![assigned], Cause::Moved);
        }
        owned.must_commit = true;
        self.park(id, self.bus.feeds.reader(gap.partition.clone(), gap.to, None));
        self.dispatch.skip_to(id, gap.to);
        self.commits.changes += 1;
        self.tell_gap(gap);
    }

    /// Where the group wants to fail at a gap, its streams end, and its offset stays where it is.
    pub(super) fn tell_gap(&mut self, gap: &Gap) {
        tracing::warn!(
            group = %self.identity.group, topic = %gap.partition.topic, partition = gap.partition.partition,
            from = gap.from, to = gap.to, "events that come next are gone"
        );
        if self.identity.on_gap() == OnGap::Fail {
            self.fail_all(|| gap.error());
            self.failed_at = Some(gap.clone());
        }
        for member in self.members.values_mut() {
            member.push(Frame::Gap(gap.clone()));
        }
    }

    /// Somebody else has the partition that the group failed at.
    pub(super) fn forget_gap(&mut self, left: &[TopicPartition]) {
        self.failed_at.take_if(|gap| left.contains(&gap.partition));
    }
}

/// What is gone where the reader is, if the log still says so.
pub(super) async fn gap_at(log: &dyn Log, partition: TopicPartition, position: i64) -> Option<Gap> {
    let bounds = log.bounds(std::slice::from_ref(&partition)).await.ok()?;
    Gap::at(&partition, position, bounds[0])
}
