//! Partitions and commits as librdkafka lists them, and back.

use std::collections::HashMap;

use rdkafka::{Offset, TopicPartitionList};

use super::{fault::failed, names::Names};
use crate::{
    error::Result,
    log::{Commit, Committed, TopicPartition},
};

/// Partitions as librdkafka lists them, each at this offset.
pub(super) fn list(names: &Names, partitions: &[TopicPartition], at: Offset) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(&names.on_cluster(&partition.topic), partition.partition, at)
            .map_err(|error| failed("list partitions", &error))?;
    }
    Ok(list)
}

/// Commits as librdkafka lists them, with their notes.
pub(super) fn commit_list(names: &Names, commits: &[Commit]) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(commits.len());
    for commit in commits {
        let name = names.on_cluster(&commit.partition.topic);
        let mut element = list.add_partition(&name, commit.partition.partition);
        element
            .set_offset(Offset::Offset(commit.offset))
            .map_err(|error| failed("list commits", &error))?;
        element.set_metadata(&commit.note);
    }
    Ok(list)
}

/// What was committed, by the topic's name on the cluster and partition.
pub(super) fn committed_in(answer: &TopicPartitionList) -> HashMap<(String, i32), Committed> {
    let committed = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => Some((
            (element.topic().to_owned(), element.partition()),
            Committed {
                offset,
                note: element.metadata().to_owned(),
            },
        )),
        _ => None,
    };
    answer.elements().iter().filter_map(committed).collect()
}
