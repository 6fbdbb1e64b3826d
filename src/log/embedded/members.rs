//! What holds on to a group: a member, until its last handle is dropped, and a commit, until it is done.

use std::sync::Arc;

use async_trait::async_trait;

use super::{coordinator::MemberId, groups::Groups};
use crate::{
    error::Result,
    log::{Commit, Member, TopicPartition},
    name::{Group, Topic},
};

/// Keeps partitions where they are while a commit is on its way, even if nobody waits for it any more.
pub(crate) struct Hold {
    pub(crate) groups: Arc<Groups>,
    pub(crate) group: Group,
    pub(crate) partitions: Vec<TopicPartition>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.groups.with(&self.group, |running| {
            running.coordinator.end_commit(&self.partitions);
            // Most commits move nothing, and there are many.
            if running.coordinator.is_blocked() {
                self.groups.move_on(&self.group, running);
            }
        });
    }
}

pub(crate) struct Joined {
    pub(crate) groups: Arc<Groups>,
    pub(crate) group: Group,
    pub(crate) id: MemberId,
}

#[async_trait]
impl Member for Joined {
    async fn commit(&self, commits: Vec<Commit>) -> Result<()> {
        self.groups.commit(&self.group, Some(self.id), commits).await
    }

    fn subscribe(&self, topics: &[Topic]) {
        self.groups
            .turn(&self.group, |running| running.coordinator.subscribe(self.id, topics));
    }

    /// Who has the log's directory has all its groups.
    fn is_current(&self) -> bool {
        true
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.groups.turn(&self.group, |running| {
            running.coordinator.leave(self.id);
            running.members.remove(&self.id);
        });
    }
}
