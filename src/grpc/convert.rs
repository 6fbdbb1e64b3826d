//! Wire types to the bus's and back, side by side.

mod open;
mod failing;
mod filter;
mod frames;
mod sizing;
mod groups;
mod replays;
mod resets;
mod topic;
mod dead_letters;
mod state;
mod checkpoints;
mod commands;

use std::time::Duration;

use crate::{
    bus::{End, Gap, GapReason, PartitionProgress, SnapshotName, Start, Waiting},
    error::{Error, Fault, Reason, Result},
    log::{LogTime, TopicPartition},
    name::{CheckpointRef, Selector, Selectors, Topic},
    proto::tidings::v1::{self as wire, end::Until, start::At},
};

pub(super) use self::{
    checkpoints::{checkpoint, checkpoint_ref, delete_checkpoint, listed_checkpoint, new_checkpoint, unexpected},
    commands::{command_answer, command_reply, send_command},
    dead_letters::{Shown, dead_letter, letter_filter, letter_id, letter_results, selection},
    failing::{extension, refusal},
    frames::{FrameParts, Messages, Oversized, read_events, subscribe_response, wire_credit},
    groups::{delete_group, group, listed_group},
    open::{credit, id_ranges, open, read_options},
    replays::{listed_replay, replay, start_replay},
    resets::{plan_reset, reset, reset_plan},
    state::{restore_frame, restore_options, snapshot},
    topic::{settings_over, topic_info},
};

/// A fault of the request.
pub(super) fn invalid(field: &str, rule: impl Into<String>) -> Error {
    Error::fault(Reason::RequestInvalid, field, rule)
}

/// A topic's name, where exactly one topic can stand.
pub(super) fn topic(name: &str, field: &str) -> Result<Topic> {
    Topic::new(name).map_err(|error| Error::faults(Reason::TopicInvalid, faults_of(&error, field).collect()))
}

fn faults_of(error: &Error, field: &str) -> impl Iterator<Item = Fault> {
    let rules = error.field_faults().iter();
    rules.map(move |fault| Fault::new(field, fault.rule.clone()))
}

/// Topics by name or by pattern.
pub(super) fn selectors(texts: &[String], field: &str) -> Result<Selectors> {
    let (mut selectors, mut faults) = (Vec::new(), Vec::new());
    for (index, text) in texts.iter().enumerate() {
        match Selector::new(text) {
            Ok(selector) => selectors.push(selector),
            Err(error) => faults.extend(faults_of(&error, &format!("{field}[{index}]"))),
        }
    }
    match faults.is_empty() {
        true => Ok(Selectors::new(selectors)),
        false => Err(Error::faults(Reason::TopicInvalid, faults)),
    }
}

/// Where to start; `None` = unset.
pub(super) fn start(start: Option<wire::Start>, field: &str) -> Result<Option<Start>> {
    Ok(Some(match start.and_then(|start| start.at) {
        None => return Ok(None),
        Some(At::Committed(_)) => {
            return Err(invalid(
                field,
                "committed is where a group stands; here there is none to stand anywhere",
            ));
        }
        Some(At::Earliest(())) => Start::Earliest,
        Some(At::Latest(())) => Start::Latest,
        Some(At::Time(time)) => Start::Time(log_time(&time, field)?),
        Some(At::Positions(positions)) => Start::Positions(self::positions(positions)?),
        Some(At::Snapshot(name)) => Start::Snapshot(snapshot_name(&name, &format!("{field}.snapshot"))?),
        Some(At::Checkpoint(text)) => Start::Checkpoint(CheckpointRef::new(&text, &format!("{field}.checkpoint"))?),
    }))
}

/// Where to end; `None` = unset.
pub(super) fn end(end: Option<wire::End>) -> Result<Option<End>> {
    Ok(match end.and_then(|end| end.until) {
        None => None,
        Some(Until::Latest(())) => Some(End::Latest),
        Some(Until::Time(time)) => Some(End::Time(log_time(&time, "end.time")?)),
        Some(Until::Positions(positions)) => Some(End::Positions(self::positions(positions)?)),
    })
}

/// A snapshot's name, or a topic for its newest.
pub(super) fn snapshot_name(name: &str, field: &str) -> Result<SnapshotName> {
    name.parse().map_err(|rule: String| invalid(field, rule))
}

fn positions(positions: wire::Positions) -> Result<Vec<(TopicPartition, i64)>> {
    let one = |position: wire::Position| {
        let topic = topic(&position.topic, "positions.topic")?;
        Ok((
            TopicPartition {
                topic,
                partition: position.partition,
            },
            position.offset,
        ))
    };
    positions.positions.into_iter().map(one).collect()
}

/// Rounded up to the log's milliseconds, so that what was appended before is left out.
fn log_time(time: &prost_types::Timestamp, field: &str) -> Result<LogTime> {
    if !(0..1_000_000_000).contains(&time.nanos) {
        return Err(invalid(field, "nanos are from 0 to 999,999,999"));
    }
    let millis = time
        .seconds
        .saturating_mul(1_000)
        .saturating_add(i64::from((time.nanos + 999_999) / 1_000_000));
    Ok(LogTime(millis))
}

/// A length of time that is not negative; `None` = unset.
pub(super) fn period(duration: Option<prost_types::Duration>, field: &str) -> Result<Option<Duration>> {
    let Some(duration) = duration else { return Ok(None) };
    let period = Duration::try_from(duration).map_err(|_| invalid(field, "is not negative"))?;
    Ok(Some(period))
}

pub(super) fn timestamp(time: LogTime) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.0.div_euclid(1_000),
        nanos: i32::try_from(time.0.rem_euclid(1_000) * 1_000_000).unwrap_or(0),
    }
}

pub(super) fn position(partition: &TopicPartition, offset: i64) -> wire::Position {
    wire::Position {
        topic: partition.topic.to_string(),
        partition: partition.partition,
        offset,
    }
}

pub(super) fn partition(partition: &TopicPartition) -> wire::TopicPartition {
    wire::TopicPartition {
        topic: partition.topic.to_string(),
        partition: partition.partition,
    }
}

pub(super) fn caught_up(positions: &[(TopicPartition, i64)]) -> wire::CaughtUp {
    wire::CaughtUp {
        positions: positions
            .iter()
            .map(|(partition, offset)| position(partition, *offset))
            .collect(),
    }
}

pub(super) fn progress(progress: &PartitionProgress) -> wire::PartitionProgress {
    wire::PartitionProgress {
        topic: progress.partition.topic.to_string(),
        partition: progress.partition.partition,
        committed: progress.committed,
        next: progress.next,
        end: progress.end,
        lag_events: progress.lag_events(),
        lag_time: progress.lag_time.map(super::duration),
    }
}

pub(super) fn waiting(waiting: Waiting) -> wire::Waiting {
    match waiting {
        Waiting::Nothing => wire::Waiting::Nothing,
        Waiting::CaughtUp => wire::Waiting::CaughtUp,
        Waiting::NoCredit => wire::Waiting::NoCredit,
        Waiting::NoPartitions => wire::Waiting::NoPartitions,
        Waiting::WindowFull => wire::Waiting::WindowFull,
        Waiting::LogUnavailable => wire::Waiting::LogUnavailable,
        Waiting::Limit => wire::Waiting::Limit,
    }
}

pub(super) fn gap(gap: &Gap) -> wire::Gap {
    let reason = match gap.reason {
        GapReason::Retention => wire::GapReason::Retention,
        GapReason::Truncated => wire::GapReason::Truncated,
    };
    wire::Gap {
        topic: gap.partition.topic.to_string(),
        partition: gap.partition.partition,
        from_offset: gap.from,
        to_offset: gap.to,
        reason: reason.into(),
    }
}
