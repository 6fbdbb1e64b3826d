//! What any log promises, as tests: from the comments of the trait, written over `dyn Log` so that every backend passes them.

pub(crate) mod records;
pub(crate) mod topics;
pub(crate) mod groups;
pub(crate) mod changing_groups;

use std::{any::Any, future::Future, ops::Deref, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tidings::{
    error::Reason,
    log::{Batch, Cleanup, Headers, HeadersBuilder, Log, NewRecord, Placed, Record, TopicPartition, TopicSettings},
    name::{Group, Topic},
};

/// One log under test, with what it stands on. Its topics are its own.
pub(crate) struct Backend {
    pub(crate) log: Arc<dyn Log>,
    /// For a log that cannot create topics itself.
    pub(crate) creator: Option<Creator>,
    pub(crate) _ground: Box<dyn Any + Send + Sync>,
}

/// Creates a topic with so many partitions.
pub(crate) type Creator = Box<dyn Fn(&str, i32) + Send + Sync>;

impl Backend {
    /// Creates a topic, with settings that do not matter.
    pub(crate) async fn create(&self, name: &str, partitions: i32) {
        match &self.creator {
            Some(create) => create(name, partitions),
            None => self.create_topic(&topic(name), settings(partitions)).await.unwrap(),
        }
    }
}

impl Deref for Backend {
    type Target = dyn Log;

    fn deref(&self) -> &Self::Target {
        &*self.log
    }
}

/// Makes a test of each promise for a backend, which a function gives.
macro_rules! promises {
    ($backend:path: $($module:ident { $($promise:ident),* $(,)? })*) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                crate::log::$module::$promise($backend().await).await;
            })*
        })*
    };
}

/// All there are.
macro_rules! every_promise {
    ($backend:path) => {
        crate::log::promises! { $backend:
            records {
                what_was_appended_is_read_as_it_was,
                records_of_a_key_lie_in_the_partition_where_java_puts_them,
                records_without_a_key_of_one_call_stay_together_and_calls_are_spread,
                a_read_starts_anywhere_and_ends_before_until,
                a_reader_at_the_end_gets_what_comes,
                a_position_outside_is_gone,
                calls_keep_their_order,
                many_callers_at_once_lose_nothing,
                an_unknown_topic_is_refused_and_nothing_is_written,
                a_record_that_is_too_large_is_refused_and_nothing_is_written,
                times_never_go_back_and_offsets_are_found_by_them,
                batches_are_bounded_but_for_their_last_record,
                a_closed_log_is_unavailable,
            }
            topics {
                a_topic_is_created_once_and_listed,
                partitions_only_grow,
                a_deleted_topic_ends_its_readers_and_starts_anew,
                metadata_tells_of_topics,
            }
            groups {
                commits_are_kept_with_their_notes,
                what_a_group_committed_is_forgotten_once_it_has_no_members,
                a_deleted_topic_takes_its_commits_along,
                a_lone_member_gets_all_partitions_with_what_was_committed,
                members_share_and_partitions_move_once_released,
                only_owners_commit,
                a_release_held_from_before_the_group_began_anew_frees_nothing,
                a_leaving_member_gives_its_partitions_to_the_others,
                a_deleted_topic_is_lost_and_a_new_one_is_assigned,
            }
            changing_groups {
                a_member_takes_up_topics_and_keeps_what_it_has,
                a_member_lets_go_of_topics_that_it_does_not_want_any_more,
                members_that_take_up_a_topic_one_after_the_other_share_it,
                a_member_without_topics_takes_some_up,
            }
        }
    };
}

pub(crate) use {every_promise, promises};

pub(crate) fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

pub(crate) fn group(name: &str) -> Group {
    Group::new(name).unwrap()
}

pub(crate) fn settings(partitions: i32) -> TopicSettings {
    TopicSettings {
        partitions,
        retention: None,
        retention_bytes: None,
        cleanup: Cleanup::Delete,
    }
}

pub(crate) fn at(name: &str, partition: i32) -> TopicPartition {
    TopicPartition {
        topic: topic(name),
        partition,
    }
}

/// A record for partition 0.
pub(crate) fn record(name: &str, value: impl Into<Bytes>) -> NewRecord {
    NewRecord {
        topic: topic(name),
        partition: Some(0),
        key: None,
        value: Some(value.into()),
        headers: Headers::default(),
    }
}

pub(crate) fn headers(of: &[(&str, Option<&[u8]>)]) -> Headers {
    let mut builder = HeadersBuilder::default();
    for (name, value) in of {
        builder.add_parts(&[name], *value);
    }
    builder.build()
}

/// Appends and waits until all is durable.
pub(crate) async fn append(log: &dyn Log, records: Vec<NewRecord>) -> Vec<Placed> {
    let outcomes = log.append(records).await.unwrap().await;
    outcomes.into_iter().map(|outcome| outcome.unwrap()).collect()
}

/// Reads from an offset to the end of now.
pub(crate) async fn read_all(log: &dyn Log, partition: &TopicPartition, from: i64) -> Vec<Record> {
    let end = log.bounds(std::slice::from_ref(partition)).await.unwrap()[0].end;
    let batches: Vec<Batch> = log
        .read(partition, from, Some(end))
        .map(|batch| batch.unwrap())
        .collect()
        .await;
    batches.into_iter().flat_map(|batch| batch.records).collect()
}

pub(crate) fn values(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
    records.iter().map(text).collect()
}

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("it comes soon")
}

/// The next of a stream, which comes soon.
pub(crate) async fn next<T>(stream: &mut (impl Stream<Item = T> + Unpin)) -> T {
    soon(stream.next()).await.expect("the stream goes on")
}

pub(crate) fn reason<T>(result: tidings::error::Result<T>) -> Reason {
    result.err().expect("it is refused").reason()
}
