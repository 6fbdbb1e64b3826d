use std::time::Duration;

use tonic_types::StatusExt as _;

use super::*;
use crate::{bus::Run, error::Fault};

const ALL: [Reason; 39] = [
    Reason::EventInvalid,
    Reason::EventTooLarge,
    Reason::RequestInvalid,
    Reason::RequestTooLarge,
    Reason::FrameUnexpected,
    Reason::TopicInvalid,
    Reason::GroupInvalid,
    Reason::FilterInvalid,
    Reason::PageInvalid,
    Reason::TopicNotFound,
    Reason::GroupNotFound,
    Reason::DeadLetterNotFound,
    Reason::InstanceNotFound,
    Reason::TopicExists,
    Reason::GroupConflict,
    Reason::GroupInUse,
    Reason::PrecedingFailed,
    Reason::TokenInvalid,
    Reason::TokenExpired,
    Reason::IdentityUnavailable,
    Reason::PermissionDenied,
    Reason::PositionGone,
    Reason::LogFull,
    Reason::Limit,
    Reason::Quota,
    Reason::LogUnavailable,
    Reason::Draining,
    Reason::DeadlineExceeded,
    Reason::NotBuilt,
    Reason::LogDamaged,
    Reason::StoreUnavailable,
    Reason::StoreNotSet,
    Reason::StoreDamaged,
    Reason::SnapshotNotFound,
    Reason::SnapshotActive,
    Reason::CheckpointNotFound,
    Reason::CheckpointConflict,
    Reason::EpochStale,
    Reason::Internal,
];

#[test]
fn every_reason_is_in_the_manual_with_its_code() {
    let manual = include_str!("../../../docs/errors.md");
    for reason in ALL {
        let (name, code) = row(reason);
        let code = format!("{code:?}").chars().fold(String::new(), |mut text, c| {
            if c.is_uppercase() && !text.is_empty() {
                text.push('_');
            }
            text.push(c.to_ascii_uppercase());
            text
        });
        let listed = manual
            .lines()
            .any(|line| line.contains(&format!("`{name}`")) && line.contains(&code));
        assert!(listed, "docs/errors.md has no row for {name} with {code}");
    }
}

#[test]
fn each_status_has_error_info() {
    for reason in ALL {
        let status = status(&Error::new(reason, "x").retry_after(Duration::from_millis(1_500)));
        let info = status.get_details_error_info().expect("error info");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), (row(reason).0, "tidings"));
        let retry = status.get_details_retry_info().expect("retry info");
        assert_eq!(retry.retry_delay, Some(Duration::from_millis(1_500)));
    }
}

#[test]
fn details_stay_under_four_kibibytes_and_tell_the_total() {
    let faults = (0..5_000)
        .map(|n| Fault::new(format!("events[{n}].attributes.time"), "r".repeat(5_000)))
        .collect();
    let status = status(&Error::faults(Reason::EventInvalid, faults));
    assert!(status.details().len() < MAX_DETAILS, "{}", status.details().len());
    let info = status.get_details_error_info().expect("error info");
    assert_eq!(info.metadata.get("faultCount").map(String::as_str), Some("5000"));
    let listed = status.get_details_bad_request().expect("bad request").field_violations;
    assert!(!listed.is_empty() && listed.len() <= MAX_FAULTS);
}

#[test]
fn outcomes_are_cut_in_trailers_and_whole_in_band() {
    let run = |n: usize| Run {
        first: n,
        count: 1,
        state: if n.is_multiple_of(2) {
            RunState::Durable
        } else {
            RunState::Unknown
        },
        reason: (n % 2 == 1).then_some(Reason::LogUnavailable),
    };
    let failure = PublishError {
        error: Error::new(Reason::DeadlineExceeded, "publish: too late"),
        runs: (0..2_000).map(run).collect(),
        topics: Vec::new(),
        was_writing: true,
    };
    let read = |status: &pb::Status| {
        let detail = status
            .details
            .iter()
            .find(|detail| detail.type_url.ends_with("PublishFailure"))
            .expect("detail");
        PublishFailure::decode(detail.value.as_slice()).expect("readable")
    };
    let whole = read(&publish_rpc_status(&failure, Room::InBand));
    assert_eq!((whole.runs.len(), whole.truncated), (2_000, false));
    let trailers = publish_rpc_status(&failure, Room::Trailers);
    let cut = read(&trailers);
    assert!(trailers.encoded_len() < MAX_DETAILS && cut.truncated && cut.runs.len() > 100);
    assert_eq!(cut.runs[1].code, i32::from(Code::Unavailable));
}
