//! What a status says: its code, its reason and the fields that it names.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The code and the reason that clients act on. Fails where a status has no `ErrorInfo` of ours, or too much to tell.
pub(crate) fn reason(status: &Status) -> (Code, String) {
    let Some(info) = status.get_details_error_info() else {
        panic!("a status without ErrorInfo: {status:?}");
    };
    assert_eq!(info.domain, "tidings");
    assert!(
        status.details().len() < 4_096,
        "{} bytes of details",
        status.details().len()
    );
    (status.code(), info.reason)
}

/// The reason alone.
pub(crate) fn reason_of(status: &Status) -> String {
    reason(status).1
}

/// The name of the thing that is missing or in the way.
pub(crate) fn resource(status: &Status) -> String {
    let info = status.get_details_resource_info().expect("a resource");
    info.resource_name
}

/// The fields that a bad request is told of.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let violations = status
        .get_details_bad_request()
        .map_or_else(Vec::new, |bad| bad.field_violations);
    violations.into_iter().map(|violation| violation.field).collect()
}

/// Whether it says when to try again.
pub(crate) fn has_retry_info(status: &Status) -> bool {
    status.get_details_retry_info().is_some()
}

/// Fails unless this was refused with this code and reason; gives the text.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T, Status>, code: Code, expected: &str) -> Status {
    match result {
        Ok(_) => panic!("not refused, but should be {expected}"),
        Err(status) => {
            assert_eq!(reason(&status), (code, expected.to_owned()), "{status:?}");
            status
        }
    }
}
