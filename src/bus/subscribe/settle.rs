//! The group that a stream opens: found, created or changed, also while other replicas do the same.
//!
//! The first record of a group on the log holds, and it has the offsets at which the group starts. They are committed, then
//! the record is written once more without them: whoever finds it with them finishes what its creator began.

use std::sync::Arc;

use super::{OnConflict, OpenOptions};
use crate::{
    bus::{
        Inner,
        groups::{GroupRecord, GroupSettings, OnGap, Undecodable},
        rules::RetryOverride,
        stands::{Stand, keys_of},
    },
    error::{Error, Reason, Result},
    log::{Bounds, Commit, Committed, TopicPartition},
    name::{Group, Selector, Selectors, Topic, Verb},
};

/// How often another replica may be first before a change is given up.
const MOST_TRIES: usize = 10;

impl Inner {
    /// The group's record as it shall be: created, changed or as it is, and whether it was created.
    pub(super) async fn settle_group(&self, options: &OpenOptions) -> Result<(Arc<GroupRecord>, bool)> {
        let Some(found) = self.groups.find(&options.group).await? else {
            return self.create_group(options).await;
        };
        let found = self.finish_creation(&options.group, found).await?;
        Ok((self.keep_or_change(options, found).await?, false))
    }

    /// Of a group that is created, maybe in the place of one that was deleted.
    fn first_record(&self, group: &Group, settings: GroupSettings, start: Vec<(TopicPartition, i64)>) -> GroupRecord {
        GroupRecord {
            deletion: self.groups.known(group).and_then(|known| known.deletion.clone()),
            ..GroupRecord::first(settings, start)
        }
    }

    /// The group exists.
    async fn keep_or_change(&self, options: &OpenOptions, mut found: Arc<GroupRecord>) -> Result<Arc<GroupRecord>> {
        for _ in 0..MOST_TRIES {
            if found.is_deleted() {
                return Err(found.deletion_error(&options.group));
            }
            let wanted = self.wanted(options, &found);
            check_scope(options, &wanted.topics)?;
            if wanted == found.settings {
                return Ok(found);
            }
            if options.on_conflict == OnConflict::Refuse {
                // Who may not have what the group has is not told what that is.
                check_scope(options, &found.settings.topics)?;
                return Err(conflict(&options.group, &found.settings, &wanted));
            }
            self.ensure_topics(wanted.topics.named()).await?;
            let changed = GroupRecord {
                revision: found.revision + 1,
                settings: wanted,
                ..found.next()
            };
            found = self.groups.put(&options.group, &changed).await?;
            tracing::info!(group = %options.group, revision = found.revision, "group changed");
            if let Some(handle) = self.groups.active.get(&options.group) {
                handle.replace(Arc::clone(&found)).await;
            }
        }
        let text = format!("change group {}: others change it all the time", options.group);
        Err(Error::new(Reason::GroupConflict, text).resource("group", options.group.as_str()))
    }

    /// The group's settings where the stream leaves them unset, the stream's elsewhere.
    fn wanted(&self, options: &OpenOptions, found: &GroupRecord) -> GroupSettings {
        let topics = options.topics.clone();
        let has = &found.settings;
        let (configured, retry) = (
            self.settings.delivery.of(&options.group).retry,
            options.retry.or(has.retry),
        );
        let is_same = retry.over(configured) == has.retry.over(configured);
        GroupSettings {
            topics: match topics {
                Some(topics) if !is_kept(options, &topics, &has.topics) => topics,
                _ => has.topics.clone(),
            },
            filter: options.filter.clone().or_else(|| has.filter.clone()),
            on_gap: options.on_gap.unwrap_or(has.on_gap),
            undecodable: options.undecodable.unwrap_or(has.undecodable),
            retry: if is_same { has.retry } else { retry },
        }
    }

    /// Creates a group on topics that exist, which starts at these offsets.
    pub(in crate::bus) async fn create_at(
        &self,
        group: &Group,
        topics: &[Topic],
        start: &[(TopicPartition, i64)],
    ) -> Result<()> {
        let topics = topics.iter().map(|topic| Selector::new(topic.as_str()));
        let settings = GroupSettings {
            topics: Selectors::new(topics.collect::<Result<_>>()?),
            filter: None,
            on_gap: OnGap::default(),
            undecodable: Undecodable::default(),
            retry: RetryOverride::default(),
        };
        let record = self.first_record(group, settings, start.to_vec());
        let found = self.groups.put(group, &record).await?;
        self.finish_creation(group, Arc::clone(&found)).await?;
        if found.id != record.id {
            let text = format!("create group {group}: another replica has just created it");
            return Err(Error::new(Reason::GroupConflict, text).resource("group", group.as_str()));
        }
        Ok(())
    }

    async fn create_group(&self, options: &OpenOptions) -> Result<(Arc<GroupRecord>, bool)> {
        let group = &options.group;
        let Some(topics) = options.topics.clone() else {
            let rule = format!("group {group} does not exist yet; name the topics to create it with");
            return Err(Error::fault(Reason::RequestInvalid, "open.topics", rule));
        };
        self.ensure_topics(topics.named()).await?;
        if let Some(deleted) = self.groups.known(group) {
            // Whoever was to do it may have died.
            self.forget_group(group, &deleted).await?;
        }
        let start = self.start_of(options, &topics).await?;
        let settings = GroupSettings {
            topics,
            filter: options.filter.clone(),
            on_gap: options.on_gap.unwrap_or_default(),
            undecodable: options.undecodable.unwrap_or_default(),
            retry: options.retry,
        };
        let record = self.first_record(group, settings, start);
        let found = self.groups.put(group, &record).await?;
        let is_created = found.id == record.id;
        let found = self.finish_creation(group, found).await?;
        if is_created {
            tracing::info!(%group, topics = ?found.settings.topics, "group created");
        }
        Ok((self.keep_or_change(options, found).await?, is_created))
    }

    /// Commits where the group starts, if that is not done yet.
    pub(in crate::bus) async fn finish_creation(
        &self,
        group: &Group,
        found: Arc<GroupRecord>,
    ) -> Result<Arc<GroupRecord>> {
        let Some(start) = &found.start else { return Ok(found) };
        let commit = |(partition, offset): &(TopicPartition, i64)| Commit {
            partition: partition.clone(),
            offset: *offset,
            note: String::new(),
        };
        let commits = start.iter().map(commit).collect();
        // At once, as each waits for the disk: where a group starts may be kept before it is committed, as it never is ahead.
        let stands = self.keep(group, start.iter().map(|start| stand(&found, start)));
        let (committed, kept) = tokio::join!(self.log.commit(group, commits), stands);
        match committed {
            Ok(()) => {
                kept?;
                self.groups.put(group, &found.next()).await
            }
            Err(error) if error.reason().is_retryable() => Err(error),
            // Another replica was faster and serves it already, or it cannot be begun: consumers that are none of ours are in
            // it, or a topic has gone.
            Err(error) => match self.groups.newest(group).await? {
                Some(newest) if newest.start.is_none() => Ok(newest),
                _ => {
                    self.stands.remove_all(&self.stands.keys_under(&keys_of(group))).await?;
                    self.groups.remove(group).await?;
                    Err(error)
                }
            },
        }
    }

    async fn start_of(&self, options: &OpenOptions, topics: &Selectors) -> Result<Vec<(TopicPartition, i64)>> {
        let mut partitions = self.partitions_of(topics).await?;
        let bounds = self.bounds_of(topics, &mut partitions).await?;
        let offsets = match &options.start {
            Some(start) => self.resolve_start(start, &partitions, &bounds).await?,
            None => self.resume_or_begin(&options.group, &partitions, &bounds).await?,
        };
        Ok(partitions.into_iter().zip(offsets).collect())
    }

    /// A group that other consumers of the log had before goes on where they were. Commands are for those who are there when they are
    /// sent, so a group of their topic begins at its end.
    async fn resume_or_begin(
        &self,
        group: &Group,
        partitions: &[TopicPartition],
        bounds: &[Bounds],
    ) -> Result<Vec<i64>> {
        let committed = self.log.committed(group, partitions).await?;
        let begin =
            |(partition, bounds): (&TopicPartition, &Bounds)| match partition.topic == self.settings.commands.topic {
                true => bounds.end,
                false => bounds.start,
            };
        let or_begin = committed.into_iter().zip(partitions.iter().zip(bounds));
        Ok(or_begin
            .map(|(committed, at)| committed.map_or_else(|| begin(at), |committed| committed.offset))
            .collect())
    }
}

/// The same patterns may be bound by the rights of somebody else: if the stream may have what they mean, they stay as they are.
fn is_kept(options: &OpenOptions, topics: &Selectors, has: &Selectors) -> bool {
    topics.has_same_texts(has) && options.scope.outside(has).is_none()
}

fn check_scope(options: &OpenOptions, topics: &Selectors) -> Result<()> {
    match options.scope.outside(topics) {
        None => Ok(()),
        Some(_) => Err(Error::denied(
            Verb::Subscribe,
            format!("a topic of group {}", options.group),
        )),
    }
}

fn stand(record: &GroupRecord, (partition, offset): &(TopicPartition, i64)) -> Stand {
    let committed = Committed {
        offset: *offset,
        note: String::new(),
    };
    Stand::new(record.id, partition.clone(), &committed)
}

fn conflict(group: &Group, has: &GroupSettings, wanted: &GroupSettings) -> Error {
    let mut fields = Vec::new();
    if has.topics != wanted.topics {
        fields.push(format!("topics (the group has {:?})", has.topics));
    }
    if has.filter != wanted.filter {
        fields.push(format!("filter (the group has {:?})", has.filter));
    }
    if has.on_gap != wanted.on_gap {
        fields.push(format!("on_gap (the group has {:?})", has.on_gap));
    }
    if has.undecodable != wanted.undecodable {
        fields.push(format!("undecodable (the group has {:?})", has.undecodable));
    }
    if has.retry != wanted.retry {
        fields.push(format!("retry (the group has {:?})", has.retry));
    }
    let text = format!(
        "group {group} exists with other settings: {}; leave them unset, or set on_conflict to REPLACE to change the group",
        fields.join(", ")
    );
    Error::new(Reason::GroupConflict, text).resource("group", group.as_str())
}
