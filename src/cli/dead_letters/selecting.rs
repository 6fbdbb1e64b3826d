//! Flags that say which dead letters are meant.

use clap::{Args, ValueEnum};
use prost_types::Timestamp;

use crate::{
    cli::{
        failure::{Failure, Result},
        words,
    },
    proto::tidings::v1::{
        DeadLetterFilter, DeadLetterReason, DeadLetterState, DiscardDeadLettersRequest, Filter,
        RedriveDeadLettersRequest, filter::Dialect,
    },
};

/// What letters must be like.
#[derive(Debug, Default, Args)]
pub struct Matching {
    /// Only of this topic
    #[arg(long)]
    topic: Option<String>,
    /// Only those given up since then (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = words::parse_time)]
    from: Option<Timestamp>,
    /// Only those given up before then (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = words::parse_time)]
    until: Option<Timestamp>,
    /// Only those given up for this
    #[arg(long, value_name = "REASON")]
    why: Option<Reason>,
    /// Only in this state
    #[arg(long)]
    state: Option<State>,
    /// Only those whose event makes this CESQL expression true
    #[arg(long, value_name = "CESQL")]
    filter: Option<String>,
}

/// Which letters to move, and how.
#[derive(Debug, Args)]
pub struct Moving {
    #[arg(long)]
    group: String,
    /// The letters
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// All that are parked, or of those the ones that the flags below name
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    matching: Matching,
    /// Say how many it would be, show the first ten, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Makes the command repeatable: the same id does the same once
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reason {
    Attempts,
    Abandoned,
    Nacked,
    Undecodable,
    TooLarge,
    Behind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Parked,
    Redriving,
    Redriven,
    Discarded,
}

impl Matching {
    pub(super) fn filter(self) -> DeadLetterFilter {
        let cesql = |text| Filter {
            dialect: Some(Dialect::Cesql(text)),
        };
        DeadLetterFilter {
            topic: self.topic.unwrap_or_default(),
            start_time: self.from,
            end_time: self.until,
            reason: self.why.map_or(DeadLetterReason::Unspecified, reason).into(),
            state: self.state.map_or(DeadLetterState::Unspecified, state).into(),
            filter: self.filter.map(cesql),
        }
    }
}

impl Moving {
    pub(super) fn redrive(self, reason: String) -> Result<RedriveDeadLettersRequest> {
        let moving = self.checked()?;
        Ok(RedriveDeadLettersRequest {
            group: moving.group,
            matching: moving.all.then(|| moving.matching.filter()),
            ids: moving.ids,
            reason,
            validate_only: moving.dry_run,
            request_id: moving.request_id.unwrap_or_default(),
        })
    }

    pub(super) fn discard(self, reason: String) -> Result<DiscardDeadLettersRequest> {
        let moving = self.redrive(reason)?;
        Ok(DiscardDeadLettersRequest {
            group: moving.group,
            ids: moving.ids,
            matching: moving.matching,
            reason: moving.reason,
            validate_only: moving.validate_only,
            request_id: moving.request_id,
        })
    }

    /// Some by their ids, or `--all`, of which other flags leave some out.
    fn checked(self) -> Result<Self> {
        let is_narrowed = format!("{:?}", self.matching) != format!("{:?}", Matching::default());
        match (self.ids.is_empty(), self.all, is_narrowed) {
            (true, false, _) => Err(Failure::usage("dead-letters: name some by their ids, or say --all")),
            (false, true, _) | (false, false, true) => Err(Failure::usage(
                "dead-letters: ids and --all or its flags are two different selections",
            )),
            _ => Ok(self),
        }
    }
}

fn reason(reason: Reason) -> DeadLetterReason {
    match reason {
        Reason::Attempts => DeadLetterReason::Attempts,
        Reason::Abandoned => DeadLetterReason::Abandoned,
        Reason::Nacked => DeadLetterReason::Nacked,
        Reason::Undecodable => DeadLetterReason::Undecodable,
        Reason::TooLarge => DeadLetterReason::TooLarge,
        Reason::Behind => DeadLetterReason::Behind,
    }
}

fn state(state: State) -> DeadLetterState {
    match state {
        State::Parked => DeadLetterState::Parked,
        State::Redriving => DeadLetterState::Redriving,
        State::Redriven => DeadLetterState::Redriven,
        State::Discarded => DeadLetterState::Discarded,
    }
}
