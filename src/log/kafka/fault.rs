//! Kafka's errors as ours: which reason each has for clients of the bus.

use std::{sync::Arc, time::Duration};

use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};

use crate::{
    error::{Error, Reason, Result},
    log::Unwritten,
};

const RETRY_AFTER: Duration = Duration::from_secs(1);

/// `doing` says what was being done, with the topic or group in it.
pub(super) fn failed(doing: &str, error: &KafkaError) -> Error {
    match error.rdkafka_error_code() {
        Some(code) => failed_with(doing, code),
        None => unavailable(format!("{doing}: {error}")),
    }
}

pub(super) fn failed_with(doing: &str, code: Code) -> Error {
    match reason(code) {
        Reason::LogUnavailable => unavailable(format!("{doing}: {code}")),
        reason => Error::new(reason, format!("{doing}: {code}")),
    }
}

pub(super) fn unavailable(text: String) -> Error {
    Error::new(Reason::LogUnavailable, text).retry_after(RETRY_AFTER)
}

pub(super) fn closed() -> Error {
    unavailable("the log is closed".to_owned())
}

fn reason(code: Code) -> Reason {
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition | Code::UnknownTopicId => {
            Reason::TopicNotFound
        }
        Code::TopicAlreadyExists => Reason::TopicExists,
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => Reason::PermissionDenied,
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => Reason::EventTooLarge,
        Code::InvalidTopic
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidConfig
        | Code::PolicyViolation => Reason::TopicInvalid,
        Code::UnknownMemberId
        | Code::IllegalGeneration
        | Code::RebalanceInProgress
        | Code::FencedInstanceId
        | Code::FencedMemberEpoch
        | Code::StaleMemberEpoch
        | Code::InconsistentGroupProtocol
        | Code::NonEmptyGroup => Reason::GroupInUse,
        Code::OffsetOutOfRange | Code::AutoOffsetReset => Reason::PositionGone,
        Code::InvalidMessage | Code::BadMessage | Code::BadCompression => Reason::LogDamaged,
        _ => Reason::LogUnavailable,
    }
}

/// Runs what blocks on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let aborted = |error| Error::new(Reason::Internal, format!("ask Kafka: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(aborted)
}

/// A record that the producer gave up. Whether it may be written all the same is known of few errors.
pub(super) fn unwritten(error: &KafkaError, topic: &str) -> Unwritten {
    // Not `PurgeQueue`: what waits to be tried again may have been written the first time.
    let never_written = matches!(
        error.rdkafka_error_code(),
        Some(
            Code::MessageSizeTooLarge
                | Code::MessageBatchTooLarge
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::UnknownTopicId
                | Code::InvalidTopic
                | Code::InvalidRecord
                | Code::InvalidTimestamp
                | Code::PolicyViolation
                | Code::UnsupportedForMessageFormat
        )
    );
    Unwritten {
        may_be_written: !never_written,
        error: Arc::new(failed(&format!("append to topic {topic}"), error)),
    }
}
