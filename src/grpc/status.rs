//! The one place where an error becomes a gRPC status, with details that clients can act on.

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb;

use crate::{
    bus::{PublishError, RunState},
    error::{Error, Reason},
    proto::tidings::v1::{OutcomeRun, OutcomeState, PublishFailure},
};

const DOMAIN: &str = "tidings";
/// Clients fail on larger trailers.
const MAX_DETAILS: usize = 4_096;
const MAX_FAULTS: usize = 20;
const MAX_TEXT: usize = 1_000;

/// The name that clients act on, and the code. docs/errors.md has a row for each.
pub(crate) fn row(reason: Reason) -> (&'static str, Code) {
    match reason {
        Reason::EventInvalid => ("EVENT_INVALID", Code::InvalidArgument),
        Reason::EventTooLarge => ("EVENT_TOO_LARGE", Code::InvalidArgument),
        Reason::RequestInvalid => ("REQUEST_INVALID", Code::InvalidArgument),
        Reason::RequestTooLarge => ("REQUEST_TOO_LARGE", Code::InvalidArgument),
        Reason::FrameUnexpected => ("FRAME_UNEXPECTED", Code::InvalidArgument),
        Reason::TopicInvalid => ("TOPIC_INVALID", Code::InvalidArgument),
        Reason::GroupInvalid => ("GROUP_INVALID", Code::InvalidArgument),
        Reason::FilterInvalid => ("FILTER_INVALID", Code::InvalidArgument),
        Reason::PageInvalid => ("PAGE_INVALID", Code::InvalidArgument),
        Reason::TopicNotFound => ("TOPIC_NOT_FOUND", Code::NotFound),
        Reason::GroupNotFound => ("GROUP_NOT_FOUND", Code::NotFound),
        Reason::DeadLetterNotFound => ("DEAD_LETTER_NOT_FOUND", Code::NotFound),
        Reason::PlanNotFound => ("PLAN_NOT_FOUND", Code::NotFound),
        Reason::ResetNotFound => ("RESET_NOT_FOUND", Code::NotFound),
        Reason::InstanceNotFound => ("INSTANCE_NOT_FOUND", Code::NotFound),
        Reason::ReplayNotFound => ("REPLAY_NOT_FOUND", Code::NotFound),
        Reason::TopicExists => ("TOPIC_EXISTS", Code::AlreadyExists),
        Reason::GroupConflict => ("GROUP_CONFLICT", Code::FailedPrecondition),
        Reason::GroupInUse => ("GROUP_IN_USE", Code::FailedPrecondition),
        Reason::PlanApplied => ("PLAN_APPLIED", Code::FailedPrecondition),
        Reason::ResetActive => ("RESET_ACTIVE", Code::FailedPrecondition),
        Reason::ResetSuperseded => ("RESET_SUPERSEDED", Code::FailedPrecondition),
        Reason::ReplayActive => ("REPLAY_ACTIVE", Code::FailedPrecondition),
        Reason::PlanStale => ("PLAN_STALE", Code::Aborted),
        Reason::PrecedingFailed => ("PRECEDING_FAILED", Code::Aborted),
        Reason::PositionGone => ("POSITION_GONE", Code::OutOfRange),
        Reason::LogFull => ("LOG_FULL", Code::ResourceExhausted),
        Reason::Limit => ("LIMIT", Code::ResourceExhausted),
        Reason::Quota => ("QUOTA", Code::ResourceExhausted),
        Reason::LogUnavailable => ("LOG_UNAVAILABLE", Code::Unavailable),
        Reason::Draining => ("DRAINING", Code::Unavailable),
        Reason::DeadlineExceeded => ("DEADLINE_EXCEEDED", Code::DeadlineExceeded),
        Reason::NotBuilt => ("NOT_SUPPORTED", Code::Unimplemented),
        Reason::LogDamaged => ("LOG_DAMAGED", Code::DataLoss),
        Reason::Internal => ("INTERNAL", Code::Internal),
        reason => caller_row(reason),
    }
}

/// The same of what has to do with who calls.
fn caller_row(reason: Reason) -> (&'static str, Code) {
    match reason {
        Reason::TokenInvalid => ("TOKEN_INVALID", Code::Unauthenticated),
        Reason::TokenExpired => ("TOKEN_EXPIRED", Code::Unauthenticated),
        Reason::IdentityUnavailable => ("IDENTITY_UNAVAILABLE", Code::Unavailable),
        Reason::PermissionDenied => ("PERMISSION_DENIED", Code::PermissionDenied),
        reason => store_row(reason),
    }
}

/// The same of what has to do with the object store.
fn store_row(reason: Reason) -> (&'static str, Code) {
    match reason {
        Reason::StoreUnavailable => ("STORE_UNAVAILABLE", Code::Unavailable),
        Reason::StoreNotSet => ("STORE_NOT_SET", Code::FailedPrecondition),
        Reason::StoreDamaged => ("STORE_DAMAGED", Code::DataLoss),
        Reason::SnapshotNotFound => ("SNAPSHOT_NOT_FOUND", Code::NotFound),
        Reason::SnapshotActive => ("SNAPSHOT_ACTIVE", Code::FailedPrecondition),
        Reason::CheckpointNotFound => ("CHECKPOINT_NOT_FOUND", Code::NotFound),
        Reason::CheckpointConflict => ("CHECKPOINT_CONFLICT", Code::Aborted),
        Reason::EpochStale => ("EPOCH_STALE", Code::Aborted),
        _ => row(Reason::Internal),
    }
}

/// How much of the outcomes the details carry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// In trailers: under 4 KiB.
    Trailers,
    /// In band: everything.
    InBand,
}

/// The status of an error; its cause is logged, not sent.
pub(super) fn status(error: &Error) -> Status {
    into_status(&rpc_status(error, &[], Room::Trailers))
}

/// What a publish failed with, as it is measured.
pub(super) fn reason_of(failure: &PublishError) -> &'static str {
    row(failure.error.reason()).0
}

/// The status of a publish that failed.
pub(super) fn publish_status(failure: &PublishError) -> Status {
    into_status(&publish_rpc_status(failure, Room::Trailers))
}

/// The same for an answer in band.
pub(super) fn publish_rpc_status(failure: &PublishError, room: Room) -> pb::Status {
    let runs: Vec<OutcomeRun> = failure.runs.iter().map(outcome_run).collect();
    rpc_status(&failure.error, &runs, room)
}

fn into_status(rpc: &pb::Status) -> Status {
    Status::with_details(Code::from(rpc.code), rpc.message.clone(), rpc.encode_to_vec().into())
}

fn rpc_status(error: &Error, runs: &[OutcomeRun], room: Room) -> pb::Status {
    let (name, code) = row(error.reason());
    if matches!(code, Code::Internal | Code::DataLoss) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(%error, cause, reason = name, "a call failed for a fault of the server");
    }
    let mut status = pb::Status {
        code: code.into(),
        message: cut(error.text(), MAX_TEXT),
        details: vec![any("google.rpc.ErrorInfo", &error_info(name, error))],
    };
    if let Some(delay) = error.retry_delay() {
        let retry_delay = Some(super::duration(delay));
        status
            .details
            .push(any("google.rpc.RetryInfo", &pb::RetryInfo { retry_delay }));
    }
    if let Some((kind, name)) = error.named_resource() {
        let resource = pb::ResourceInfo {
            resource_type: kind.to_owned(),
            resource_name: name.to_owned(),
            ..Default::default()
        };
        status.details.push(any("google.rpc.ResourceInfo", &resource));
    }
    if let Some((subject, name)) = error.used_quota() {
        let violation = pb::quota_failure::Violation {
            subject: cut(subject, 120),
            description: name.to_owned(),
            ..Default::default()
        };
        let failure = pb::QuotaFailure {
            violations: vec![violation],
        };
        status.details.push(any("google.rpc.QuotaFailure", &failure));
    }
    add_faults(&mut status, error);
    add_runs(&mut status, runs, room);
    status
}

fn error_info(name: &str, error: &Error) -> pb::ErrorInfo {
    let faults = error.field_faults().len();
    let metadata = (faults > 0).then(|| ("faultCount".to_owned(), faults.to_string()));
    pb::ErrorInfo {
        reason: name.to_owned(),
        domain: DOMAIN.to_owned(),
        metadata: metadata.into_iter().collect(),
    }
}

/// The first faults, as many as fit.
fn add_faults(status: &mut pb::Status, error: &Error) {
    let mut request = pb::BadRequest::default();
    for fault in error.field_faults().iter().take(MAX_FAULTS) {
        request.field_violations.push(pb::bad_request::FieldViolation {
            field: cut(&fault.field, 120),
            description: cut(&fault.rule, 300),
            ..Default::default()
        });
        if status.encoded_len() + request.encoded_len() > MAX_DETAILS - 200 {
            request.field_violations.pop();
            break;
        }
    }
    if !request.field_violations.is_empty() {
        status.details.push(any("google.rpc.BadRequest", &request));
    }
}

fn add_runs(status: &mut pb::Status, runs: &[OutcomeRun], room: Room) {
    if runs.is_empty() {
        return;
    }
    let mut failure = PublishFailure {
        runs: runs.to_vec(),
        truncated: false,
    };
    while room == Room::Trailers && status.encoded_len() + failure.encoded_len() > MAX_DETAILS - 200 {
        failure.runs.truncate(failure.runs.len().saturating_sub(1));
        failure.truncated = true;
    }
    status.details.push(any("tidings.v1.PublishFailure", &failure));
}

fn outcome_run(run: &crate::bus::Run) -> OutcomeRun {
    let state = match run.state {
        RunState::Durable => OutcomeState::Durable,
        RunState::Failed => OutcomeState::Failed,
        RunState::Unknown => OutcomeState::Unknown,
    };
    OutcomeRun {
        first: u32::try_from(run.first).unwrap_or(u32::MAX),
        count: u32::try_from(run.count).unwrap_or(u32::MAX),
        state: state.into(),
        code: run.reason.map_or(0, |reason| row(reason).1.into()),
    }
}

fn any(name: &str, message: &impl Message) -> Any {
    Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: message.encode_to_vec(),
    }
}

fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", &text[..at]),
    }
}

#[cfg(test)]
#[path = "status/tests.rs"]
mod tests;
