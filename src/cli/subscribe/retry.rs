//! Whether a stream that broke is opened again, and when. Decided by the reason, never by the text.

use std::{error::Error as _, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::cli::failure::{self, Failure};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
/// Reasons for which the same call may succeed later.
const PASSING: [&str; 5] = ["DRAINING", "LOG_UNAVAILABLE", "LIMIT", "LOG_FULL", "QUOTA"];

/// Grows with each failure, starts over when a stream was opened.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(super) fn opened(&mut self) {
        self.failures = 0;
    }

    /// How long to wait before opening again; `None`: do not.
    pub(super) fn after(&mut self, failure: &Failure) -> Option<Duration> {
        let Failure::Call { status, .. } = failure else {
            return None;
        };
        if !passes(status) {
            return None;
        }
        self.failures += 1;
        let own = FIRST.saturating_mul(1 << (self.failures - 1).min(10)).min(LONGEST);
        let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
        let jitter = 0.8 + 0.4 * fastrand::f64();
        Some(asked.unwrap_or_default().max(own.mul_f64(jitter)))
    }
}

fn passes(status: &Status) -> bool {
    match failure::reason(status) {
        Some(reason) => PASSING.contains(&reason.as_str()),
        // Not from the server: the connection broke, and tonic says so in several ways.
        None => status.code() == Code::Unavailable || status.source().is_some(),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn reasons_decide() {
        for (code, reason, again) in [
            (Code::Unavailable, "DRAINING", true),
            (Code::Unavailable, "LOG_UNAVAILABLE", true),
            (Code::ResourceExhausted, "LIMIT", true),
            (Code::FailedPrecondition, "GROUP_CONFLICT", false),
            (Code::Unauthenticated, "TOKEN_EXPIRED", false),
            (Code::NotFound, "TOPIC_NOT_FOUND", false),
        ] {
            let details = ErrorDetails::with_error_info(reason, "tidings", []);
            let failure = Failure::call("subscribe")(Status::with_error_details(code, "x", details));
            assert_eq!(Backoff::default().after(&failure).is_some(), again, "{reason}");
        }
        let lost = Failure::call("subscribe")(Status::unavailable("connection refused"));
        assert!(Backoff::default().after(&lost).is_some());
    }

    #[test]
    fn delays_grow_and_the_server_may_ask_for_more() {
        let mut backoff = Backoff::default();
        let lost = Failure::call("subscribe")(Status::unavailable("x"));
        let delays: Vec<Duration> = (0..12).filter_map(|_| backoff.after(&lost)).collect();
        assert!(delays[0] <= Duration::from_millis(120) && delays[11] >= Duration::from_secs(8));
        backoff.opened();
        assert!(
            backoff
                .after(&lost)
                .is_some_and(|delay| delay <= Duration::from_millis(120))
        );
        let mut details = ErrorDetails::with_retry_info(Some(Duration::from_secs(30)));
        details.set_error_info("DRAINING", "tidings", []);
        let asked = Failure::call("subscribe")(Status::with_error_details(Code::Unavailable, "x", details));
        assert_eq!(backoff.after(&asked), Some(Duration::from_secs(30)));
    }
}
