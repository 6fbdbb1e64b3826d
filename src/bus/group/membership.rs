//! The group's membership on the log: joined with the topics that its record means, more of them as they come, and anew when
//! the record means others.

use std::{sync::Arc, time::Instant};

use futures_util::{StreamExt as _, stream::BoxStream};

use super::{
    Frame,
    task::{RETRY, Task},
};
use crate::{
    bus::{groups::GroupRecord, matching::Matching},
    error::Result,
    log::{Change, Membership},
};

impl Task {
    /// Joins the group on the log with the topics it has now.
    pub(super) fn rejoin(&mut self) {
        self.rejoin_at = None;
        let log = Arc::clone(&self.bus.log);
        let (group, topics) = (
            self.identity.group.clone(),
            self.identity.record.settings.topics.clone(),
        );
        let names = self.bus.names.clone();
        self.joining = Some(Box::pin(async move {
            let matching = Matching::begin(topics, names).await;
            let membership = log.join(&group, matching.topics()).await?;
            Ok((membership, matching))
        }));
    }

    pub(super) fn rejoined(&mut self, joined: Result<(Membership, Matching)>) {
        match joined {
            Ok((Membership { changes, member }, matching)) => {
                (self.changes, self.member) = (Some(changes), Some(member));
                self.matching = Some(Box::pin(matching.more()));
            }
            Err(error) => {
                tracing::warn!(group = %self.identity.group, %error, "cannot join the group, trying again");
                if !error.reason().is_retryable() {
                    self.fail_all(|| error.repeated());
                }
                // Streams may come that have not heard of it.
                self.rejoin_at = Some(Instant::now() + RETRY);
            }
        }
    }

    /// Topics came that the group's patterns match: they are taken up beside those that the member has.
    pub(super) fn matched(&mut self, matching: Matching) {
        tracing::debug!(group = %self.identity.group, topics = matching.topics().len(), "more topics match");
        if let Some(member) = &self.member {
            member.subscribe(matching.topics());
        }
        self.matching = Some(Box::pin(matching.more()));
    }

    /// The record was replaced: settings that are read when needed are in force at once, topics with a new membership.
    pub(super) fn replace(&mut self, record: Arc<GroupRecord>) {
        if record.offset <= self.identity.record.offset {
            return;
        }
        let before = std::mem::replace(&mut self.identity.record, record);
        if self.identity.record.is_deleted() {
            let (record, group) = (Arc::clone(&self.identity.record), self.identity.group.clone());
            return self.fail_all(|| record.deletion_error(&group));
        }
        if self.identity.record.epoch > before.epoch {
            self.fence();
            if self.failed_at.take().is_some() {
                // The partition that it failed at is not held any more: it is assigned anew, and moved.
                self.retire_all();
            }
        }
        if before.settings == self.identity.record.settings {
            return;
        }
        self.dispatch.set_policy(self.policy());
        let retry = self.policy();
        let (revision, settings) = (self.identity.record.revision, &self.identity.record.settings);
        for member in self.members.values_mut() {
            member.push(Frame::GroupChanged {
                revision,
                settings: settings.clone(),
                retry,
            });
        }
        let had_failed = self.failed_at.take().is_some();
        let (was, is) = (&before.settings, &self.identity.record.settings);
        // What waits was let in by the filter of before.
        if had_failed || was.topics != is.topics || was.filter != is.filter {
            self.retire_all();
        }
    }
}

/// What the log says about partitions; never ready while there is no membership.
pub(super) async fn next_change(changes: &mut Option<BoxStream<'static, Change>>) -> Option<Change> {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}
