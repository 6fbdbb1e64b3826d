//! Questions about offsets: where partitions begin and end, what lies at a time, what a group has committed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode as Code,
};
use tokio::time::Instant;

use super::{
    Cluster,
    admin::pause,
    client::Context,
    fault::{blocking, failed, unavailable},
    lists::{commit_list, committed_in, list},
};
use crate::{
    error::{Error, Reason, Result},
    log::{
        Bounds, Commit, Committed, LogTime, TopicPartition,
        rules::{check_commit, no_such_partition},
    },
    name::Group,
};

/// For one answer of the cluster.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Offsets {
    cluster: Arc<Cluster>,
}

impl Offsets {
    pub(super) fn new(cluster: &Arc<Cluster>) -> Self {
        Self {
            cluster: Arc::clone(cluster),
        }
    }

    pub(super) async fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>> {
        // As a "time", librdkafka takes the beginning and the end too, and asks for all partitions at once.
        let (starts, ends) = tokio::try_join!(
            self.search(partitions, Offset::Beginning),
            self.search(partitions, Offset::End)
        )?;
        let bounds = starts.into_iter().zip(ends);
        Ok(bounds.map(|(start, end)| Bounds { start, end }).collect())
    }

    /// The ends alone.
    pub(super) async fn ends(&self, partitions: &[TopicPartition]) -> Result<Vec<i64>> {
        self.search(partitions, Offset::End).await
    }

    pub(super) async fn at(&self, partitions: &[TopicPartition], time: LogTime) -> Result<Vec<i64>> {
        let found = self.search(partitions, Offset::Offset(time.0.max(0))).await?;
        if found.iter().all(|offset| *offset >= 0) {
            return Ok(found);
        }
        let ends = self.ends(partitions).await?;
        let or_end = found
            .into_iter()
            .zip(ends)
            .map(|(offset, end)| if offset < 0 { end } else { offset });
        Ok(or_end.collect())
    }

    /// What the group has committed. The client joins nothing.
    pub(super) async fn committed(
        &self,
        group: &Group,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Committed>>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        for partition in partitions {
            self.check(partition).await?;
        }
        let asker = self.asker(group).await?;
        let asked = list(&self.cluster.names, partitions, Offset::Invalid)?;
        let ask = move || asker.committed_offsets(asked.clone(), TIMEOUT);
        let answer = settled(ask, |answer| answer.as_ref().is_err_and(is_settling)).await?;
        let answer = answer.map_err(|error| failed(&format!("ask what group {group} has committed"), &error))?;
        let committed = committed_in(&answer);
        let of = |partition: &TopicPartition| {
            let name = self.cluster.names.on_cluster(&partition.topic);
            committed.get(&(name, partition.partition)).cloned()
        };
        Ok(partitions.iter().map(of).collect())
    }

    /// Whether the cluster knows of members; those of the KIP-848 protocol it does not tell of this way.
    pub(super) async fn has_members(&self, group: &Group) -> Result<bool> {
        self.cluster.check_open()?;
        let (probe, id) = (self.cluster.catalog.probe(), self.cluster.names.group_id(group));
        let ask = move || {
            let list = probe.fetch_group_list(Some(&id), TIMEOUT)?;
            Ok(list.groups().iter().any(|group| !group.members().is_empty()))
        };
        let answer = settled(ask, |answer| answer.as_ref().is_err_and(is_settling)).await?;
        answer.map_err(|error| failed(&format!("ask who is in group {group}"), &error))
    }

    /// All whose id on the cluster may be that of a group of the bus. The cluster tells of no members of the KIP-848 protocol.
    pub(super) async fn groups(&self) -> Result<Vec<(Group, usize)>> {
        self.cluster.check_open()?;
        let (probe, names) = (self.cluster.catalog.probe(), Arc::clone(&self.cluster.names));
        let ask = move || {
            let list = probe.fetch_group_list(None, TIMEOUT)?;
            let groups = list.groups().iter();
            Ok(groups
                .filter_map(|group| Some((names.group(group.name())?, group.members().len())))
                .collect())
        };
        let answer = settled(ask, |answer| answer.as_ref().is_err_and(is_settling)).await?;
        answer.map_err(|error| failed("list groups", &error))
    }

    /// Commits for a group without members: the cluster refuses it where there are some.
    pub(super) async fn commit(&self, group: &Group, commits: Vec<Commit>) -> Result<()> {
        if commits.is_empty() {
            return Ok(());
        }
        for commit in &commits {
            check_commit(commit)?;
            self.check(&commit.partition).await?;
        }
        // A member of this process may be on its way out.
        self.cluster.leaving.done(&self.cluster.names.group_id(group)).await;
        self.cluster.leaving.done(&self.cluster.names.group_id(group)).await;
        let asker = self.asker(group).await?;
        let moved = commit_list(&self.cluster.names, &commits)?;
        let commit = move || asker.commit(&moved, CommitMode::Sync);
        let done = settled(commit, |done| done.as_ref().is_err_and(is_settling)).await?;
        done.map_err(|error| self.not_committed(group, &error))
    }

    /// Who else may be in the group is told to those who ask for it by its name.
    fn not_committed(&self, group: &Group, error: &KafkaError) -> Error {
        let error = failed(&format!("commit for group {group}"), error);
        if error.reason() != Reason::GroupInUse {
            return error;
        }
        let id = self.cluster.names.group_id(group);
        let text = format!(
            "commit for group {group}: other Kafka consumers (or replicas of the bus) use the group.id {id}; \
             stop them, or choose another name"
        );
        Error::new(Reason::GroupInUse, text).resource("group", group.as_str())
    }

    async fn check(&self, partition: &TopicPartition) -> Result<()> {
        let known = self.cluster.must_exist(&partition.topic).await?;
        match (0..known.partitions).contains(&partition.partition) {
            true => Ok(()),
            false => Err(no_such_partition(partition)),
        }
    }

    /// A client with the group's id that is no member.
    async fn asker(&self, group: &Group) -> Result<BaseConsumer<Context>> {
        self.cluster.check_open()?;
        let (clients, id) = (self.cluster.clients.clone(), self.cluster.names.group_id(group));
        blocking(move || {
            clients.create(
                &[("group.id", id.as_str()), ("enable.auto.commit", "false")],
                clients.context(),
            )
        })
        .await?
    }

    async fn search(&self, partitions: &[TopicPartition], at: Offset) -> Result<Vec<i64>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        for partition in partitions {
            self.check(partition).await?;
        }
        let asked = list(&self.cluster.names, partitions, at)?;
        let probe = self.cluster.catalog.probe();
        let ask = move || probe.offsets_for_times(asked.clone(), TIMEOUT);
        let answer = settled(ask, has_settling).await?;
        let answer = answer.map_err(|error| not_found("ask for offsets", &error))?;
        let elements = answer.elements();
        let found: HashMap<(&str, i32), KafkaResult<i64>> = (elements.iter())
            .map(|element| {
                let offset = element.error().map(|()| element.offset().to_raw().unwrap_or(-1));
                ((element.topic(), element.partition()), offset)
            })
            .collect();
        partitions
            .iter()
            .map(|partition| {
                let name = self.cluster.names.on_cluster(&partition.topic);
                let (topic, number) = (&partition.topic, partition.partition);
                match found.get(&(name.as_str(), number)) {
                    Some(Ok(offset)) => Ok(*offset),
                    Some(Err(error)) => {
                        let error = not_found(&format!("ask for offsets of {topic}/{number}"), error);
                        Err(error.resource("topic", topic.as_str()))
                    }
                    None => Err(unavailable(format!("ask for offsets of {topic}/{number}: no answer"))),
                }
            })
            .collect()
    }
}

/// While brokers are away, librdkafka does not know of partitions that exist; what is deleted, the catalog tells.
fn not_found(doing: &str, error: &KafkaError) -> Error {
    match error.rdkafka_error_code() {
        Some(code @ (Code::UnknownPartition | Code::UnknownTopic)) => unavailable(format!("{doing}: {code}")),
        _ => failed(doing, error),
    }
}

/// Asks again while brokers come round to what they lead and coordinate, as they must when a topic or the cluster is new.
async fn settled<T: Send + 'static>(
    ask: impl Fn() -> KafkaResult<T> + Send + Sync + 'static,
    is_settling: impl Fn(&KafkaResult<T>) -> bool,
) -> Result<KafkaResult<T>> {
    let (ask, deadline) = (Arc::new(ask), Instant::now() + TIMEOUT);
    loop {
        let once = Arc::clone(&ask);
        let answer = blocking(move || once()).await?;
        if !is_settling(&answer) || Instant::now() >= deadline {
            // A client may go with it, and that takes a while.
            blocking(move || drop(ask)).await?;
            return Ok(answer);
        }
        pause().await;
    }
}

fn has_settling(answer: &KafkaResult<TopicPartitionList>) -> bool {
    match answer {
        Ok(list) => (list.elements().iter()).any(|element| element.error().is_err_and(|error| is_settling(&error))),
        Err(error) => is_settling(error),
    }
}

fn is_settling(error: &KafkaError) -> bool {
    error.rdkafka_error_code().is_some_and(settles)
}

/// Whether the answer will be another one in a moment.
pub(super) fn settles(code: Code) -> bool {
    matches!(
        code,
        Code::NotLeaderForPartition
            | Code::UnknownLeaderEpoch
            | Code::FencedLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::LeaderNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
    )
}
