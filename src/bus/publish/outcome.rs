//! What became of the events of a publish: where each lies, or what is known of each.

use crate::{
    error::{Error, Reason},
    log::{Outcome, Placed},
    name::Topic,
};

/// Where an event lies, durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub topic: Topic,
    pub place: Placed,
}

/// A publish that failed after it was handed to the log: what is known of each event.
#[derive(Debug)]
pub struct PublishError {
    pub error: Error,
    /// Covers all events, in order; empty where nothing is or will be on the log.
    pub runs: Vec<Run>,
    /// Where the events would have gone, in order; empty where they were refused before the log had them.
    pub topics: Vec<Topic>,
    /// The log had the events when it failed; otherwise they were refused before.
    pub was_writing: bool,
}

impl PublishError {
    /// Refused before anything was written.
    pub fn refused(error: Error) -> Self {
        Self {
            error,
            runs: Vec::new(),
            topics: Vec::new(),
            was_writing: false,
        }
    }
}

/// Events with one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub first: usize,
    pub count: usize,
    pub state: RunState,
    /// Why; `None` where durable.
    pub reason: Option<Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    Durable,
    /// Not on the log, and never will be.
    Failed,
    /// Nobody knows.
    Unknown,
}

impl From<Error> for PublishError {
    fn from(error: Error) -> Self {
        Self::refused(error)
    }
}

pub(super) fn collect(topics: Vec<Topic>, outcomes: Vec<Outcome>) -> Result<Vec<Written>, PublishError> {
    if outcomes.iter().all(Result::is_ok) {
        let written = topics.into_iter().zip(outcomes);
        return Ok(written
            .filter_map(|(topic, outcome)| {
                Some(Written {
                    topic,
                    place: outcome.ok()?,
                })
            })
            .collect());
    }
    let runs = runs(&outcomes);
    let first = outcomes.into_iter().find_map(Result::err);
    let Some(cause) = first.map(|unwritten| unwritten.error) else {
        return Err(Error::new(Reason::Internal, "publish: an outcome is missing").into());
    };
    Err(PublishError {
        topics,
        ..failed(runs, &cause)
    })
}

/// What is retryable may only be said where nothing is, or can still become, durable.
fn failed(runs: Vec<Run>, cause: &Error) -> PublishError {
    let nothing_written = runs.iter().all(|run| run.state == RunState::Failed);
    let (reason, runs, what) = if nothing_written {
        (cause.reason(), Vec::new(), "nothing was written")
    } else if runs.iter().any(|run| run.state == RunState::Unknown) {
        (Reason::DeadlineExceeded, runs, "some events may not be durable")
    } else {
        (Reason::DeadlineExceeded, runs, "some events were not written")
    };
    let mut error = Error::new(reason, format!("publish: {what}: {cause}"));
    if let Some(delay) = cause.retry_delay() {
        error = error.retry_after(delay);
    }
    PublishError {
        error,
        runs,
        topics: Vec::new(),
        was_writing: true,
    }
}

fn runs(outcomes: &[Outcome]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        let (state, reason) = match outcome {
            Ok(_) => (RunState::Durable, None),
            Err(unwritten) if unwritten.may_be_written => (RunState::Unknown, Some(unwritten.error.reason())),
            Err(unwritten) => (RunState::Failed, Some(unwritten.error.reason())),
        };
        match runs.last_mut() {
            Some(run) if (run.state, run.reason) == (state, reason) => run.count += 1,
            _ => runs.push(Run {
                first: index,
                count: 1,
                state,
                reason,
            }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::log::Unwritten;

    fn outcome(state: RunState) -> Outcome {
        match state {
            RunState::Durable => Ok(Placed {
                partition: 0,
                offset: 0,
            }),
            _ => Err(Unwritten {
                may_be_written: state == RunState::Unknown,
                error: Arc::new(Error::new(Reason::LogUnavailable, "append: gone")),
            }),
        }
    }

    fn fail(states: &[RunState]) -> PublishError {
        let topics = vec![Topic::new("t").expect("valid"); states.len()];
        collect(topics, states.iter().map(|state| outcome(*state)).collect()).expect_err("not all durable")
    }

    #[test]
    fn unavailable_is_said_only_if_nothing_can_become_durable() {
        use RunState::{Durable, Failed, Unknown};
        let all_failed = fail(&[Failed, Failed]);
        assert_eq!(
            (all_failed.error.reason(), all_failed.runs.len()),
            (Reason::LogUnavailable, 0)
        );
        for some in [&[Durable, Failed][..], &[Unknown, Unknown], &[Failed, Unknown]] {
            let failure = fail(some);
            assert_eq!(failure.error.reason(), Reason::DeadlineExceeded);
            assert_eq!(failure.runs.iter().map(|run| run.count).sum::<usize>(), some.len());
        }
        assert_eq!(fail(&[Durable, Durable, Unknown]).runs[0].count, 2);
    }
}
