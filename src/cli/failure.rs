//! How a command fails: the text that people read and the exit status that scripts read.

use std::{fmt, io};

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{StatusExt as _, pb};

use crate::proto::tidings::v1::{OutcomeState, PublishFailure};

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command did not do what it should.
#[derive(Debug)]
pub enum Failure {
    /// The command line makes no sense.
    Usage(String),
    /// Nothing is there, or nothing matched.
    NotFound(String),
    /// Something of this machine: a file, a connection.
    Local(String),
    /// The server refused; with what was being done.
    Call { what: String, status: Box<Status> },
    /// Whoever read our output went away: the end, but no fault.
    OutputClosed,
}

impl Failure {
    pub fn usage(text: impl Into<String>) -> Self {
        Self::Usage(text.into())
    }

    pub fn local(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::Local(format!("{what}: {error}"))
    }

    /// For `map_err`: the failure of a call that was to do `what`.
    pub(super) fn call(what: impl fmt::Display) -> impl Fn(Status) -> Self {
        move |status| Self::Call {
            what: what.to_string(),
            status: Box::new(status),
        }
    }

    /// A status that came in band.
    pub(super) fn in_band(what: impl fmt::Display, status: &pb::Status) -> Self {
        let details = status.encode_to_vec().into();
        Self::call(what)(Status::with_details(
            status.code.into(),
            status.message.clone(),
            details,
        ))
    }

    /// The exit status of the process.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::NotFound(_) => 2,
            Self::Call { status, .. } if status.code() == Code::NotFound => 2,
            Self::Call { .. } | Self::Local(_) => 1,
            Self::Usage(_) => 64,
        }
    }
}

/// One line, then one for each violation and each outcome that is known.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::NotFound(text) | Self::Local(text) => f.write_str(text),
            Self::OutputClosed => f.write_str("output closed"),
            Self::Call { what, status } => {
                let message = message(status);
                write!(f, "{what}: {message} ({})", reason_or_code(status))?;
                let violations = violations(status);
                // A single one is the message already.
                if violations.len() > 1 || violations.iter().any(|violation| !message.contains(violation)) {
                    violations
                        .iter()
                        .try_for_each(|violation| write!(f, "\n  {violation}"))?;
                }
                outcomes(status)
                    .iter()
                    .try_for_each(|outcome| write!(f, "\n  {outcome}"))
            }
        }
    }
}

impl From<io::Error> for Failure {
    /// Of writing output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::local("write output", error),
        }
    }
}

pub(super) fn reason(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (!info.reason.is_empty()).then_some(info.reason)
}

/// The faults in the request: `field: rule`.
fn violations(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|request| request.field_violations);
    let line = |violation: tonic_types::FieldViolation| format!("{}: {}", violation.field, violation.description);
    violations.into_iter().flatten().map(line).collect()
}

/// How many events are durable although the publish failed, and lines that say which became what.
pub(super) fn durable(status: &Status) -> u64 {
    let durable = |run: &&_| matches!(state(run), OutcomeState::Durable);
    let runs = publish_failure(status).runs;
    runs.iter().filter(durable).map(|run| u64::from(run.count)).sum()
}

fn outcomes(status: &Status) -> Vec<String> {
    let text = |run: &_| match state(run) {
        OutcomeState::Durable => "durable",
        OutcomeState::Failed => "not written",
        OutcomeState::Unknown | OutcomeState::Unspecified => "not known: written or not",
    };
    let runs = publish_failure(status).runs;
    let line = |run: &crate::proto::tidings::v1::OutcomeRun| match run.count {
        1 => format!("events[{}]: {}", run.first, text(run)),
        count => format!(
            "events[{}..={}]: {}",
            run.first,
            run.first + count.saturating_sub(1),
            text(run)
        ),
    };
    runs.iter().map(line).collect()
}

fn state(run: &crate::proto::tidings::v1::OutcomeRun) -> OutcomeState {
    run.state()
}

fn publish_failure(status: &Status) -> PublishFailure {
    let details = pb::Status::decode(status.details()).unwrap_or_default().details;
    let failure = details
        .iter()
        .find(|any| any.type_url.ends_with("/tidings.v1.PublishFailure"));
    failure
        .and_then(|any| PublishFailure::decode(any.value.as_slice()).ok())
        .unwrap_or_default()
}

/// The message, or for a broken connection its innermost cause.
fn message(status: &Status) -> String {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(status);
    let mut text = status.message().to_owned();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}

fn reason_or_code(status: &Status) -> String {
    reason(status).unwrap_or_else(|| code_name(status.code()))
}

/// `NOT_FOUND`, from `NotFound`.
pub(super) fn code_name(code: Code) -> String {
    let mut name = String::new();
    for c in format!("{code:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_refusal_is_told_with_reason_and_violations() {
        let mut details = ErrorDetails::with_error_info("EVENT_INVALID", "tidings", []);
        details.add_bad_request_violation("events[0].id", "must not be empty");
        let status = |details: &ErrorDetails| {
            Status::with_error_details(
                Code::InvalidArgument,
                "events[0].id: must not be empty",
                details.clone(),
            )
        };
        let first = "publish: events[0].id: must not be empty (EVENT_INVALID)";
        assert_eq!(Failure::call("publish")(status(&details)).to_string(), first);
        details.add_bad_request_violation("events[1].id", "must not be long");
        let text = format!("{first}\n  events[0].id: must not be empty\n  events[1].id: must not be long");
        assert_eq!(Failure::call("publish")(status(&details)).to_string(), text);
    }

    #[test]
    fn exit_statuses_follow_the_kind() {
        let call = |code| Failure::call("x")(Status::new(code, "y")).exit_status();
        assert_eq!((call(Code::NotFound), call(Code::Internal)), (2, 1));
        assert_eq!(Failure::usage("x").exit_status(), 64);
        assert_eq!(
            Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).exit_status(),
            0
        );
        assert_eq!(
            Failure::call("x")(Status::new(Code::DeadlineExceeded, "late")).to_string(),
            "x: late (DEADLINE_EXCEEDED)"
        );
    }
}
