//! Dead letters for the wire, and selections of them from it.

use super::{filter, invalid, log_time, position, timestamp, topic};
use crate::{
    bus::dead_letters::{Fate, LetterFilter, LetterId, LetterInfo, LetterReason, Moved, Selection, State},
    error::Result,
    name::Group,
    proto::{event::to_proto, io::cloudevents::v1::CloudEvent, tidings::v1 as wire},
};

/// Letters named in one call.
const MOST_IDS: usize = 1_000;

/// A letter's id.
pub(in crate::grpc) fn letter_id(text: &str, field: &str) -> Result<LetterId> {
    text.parse().map_err(|_| invalid(field, "has 16 hexadecimal digits"))
}

/// What is to be moved: exactly one of the two.
pub(in crate::grpc) fn selection(ids: &[String], matching: Option<wire::DeadLetterFilter>) -> Result<Selection> {
    match (ids, matching) {
        ([], None) => Err(invalid("ids", "is empty, and matching is not set: say which")),
        ([_, ..], Some(_)) => Err(invalid("matching", "is set beside ids: say one of them")),
        ([], Some(matching)) => {
            let filter = letter_filter(Some(matching))?;
            match filter.state {
                None | Some(State::Parked) => Ok(Selection::Matching(filter)),
                Some(_) => Err(invalid("matching.state", "is PARKED or unset: nothing else moves")),
            }
        }
        (ids, None) if ids.len() > MOST_IDS => Err(invalid("ids", format!("are at most {MOST_IDS}"))),
        (ids, None) => {
            let one = |(index, id): (usize, &String)| letter_id(id, &format!("ids[{index}]"));
            ids.iter()
                .enumerate()
                .map(one)
                .collect::<Result<_>>()
                .map(Selection::Ids)
        }
    }
}

/// What letters must be like.
pub(in crate::grpc) fn letter_filter(matching: Option<wire::DeadLetterFilter>) -> Result<LetterFilter> {
    let Some(matching) = matching else {
        return Ok(LetterFilter::default());
    };
    let time = |time: Option<prost_types::Timestamp>, field| time.map(|time| log_time(&time, field)).transpose();
    let of_topic = (!matching.topic.is_empty()).then(|| topic(&matching.topic, "matching.topic"));
    Ok(LetterFilter {
        topic: of_topic.transpose()?,
        from: time(matching.start_time, "matching.start_time")?,
        until: time(matching.end_time, "matching.end_time")?,
        reason: reason(matching.reason)?,
        state: state(matching.state)?,
        filter: filter::filter(matching.filter, "matching.filter")?,
    })
}

fn reason(number: i32) -> Result<Option<LetterReason>> {
    use wire::DeadLetterReason as Wire;
    Ok(match Wire::try_from(number) {
        Ok(Wire::Unspecified) => None,
        Ok(Wire::Attempts) => Some(LetterReason::Attempts),
        Ok(Wire::Abandoned) => Some(LetterReason::Abandoned),
        Ok(Wire::Nacked) => Some(LetterReason::Nacked),
        Ok(Wire::Undecodable) => Some(LetterReason::Undecodable),
        Ok(Wire::TooLarge) => Some(LetterReason::TooLarge),
        Ok(Wire::Behind) => Some(LetterReason::Behind),
        Err(_) => return Err(invalid("matching.reason", "is not a value of the enumeration")),
    })
}

fn wire_reason(reason: LetterReason) -> wire::DeadLetterReason {
    match reason {
        LetterReason::Attempts => wire::DeadLetterReason::Attempts,
        LetterReason::Abandoned => wire::DeadLetterReason::Abandoned,
        LetterReason::Nacked => wire::DeadLetterReason::Nacked,
        LetterReason::Undecodable => wire::DeadLetterReason::Undecodable,
        LetterReason::TooLarge => wire::DeadLetterReason::TooLarge,
        LetterReason::Behind => wire::DeadLetterReason::Behind,
    }
}

fn state(number: i32) -> Result<Option<State>> {
    use wire::DeadLetterState as Wire;
    Ok(match Wire::try_from(number) {
        Ok(Wire::Unspecified) => None,
        Ok(Wire::Parked) => Some(State::Parked),
        Ok(Wire::Redriving) => Some(State::Redriving),
        Ok(Wire::Redriven) => Some(State::Redriven),
        Ok(Wire::Discarded) => Some(State::Discarded),
        Err(_) => return Err(invalid("matching.state", "is not a value of the enumeration")),
    })
}

fn wire_state(state: State) -> wire::DeadLetterState {
    match state {
        State::Parked => wire::DeadLetterState::Parked,
        State::Redriving => wire::DeadLetterState::Redriving,
        State::Redriven => wire::DeadLetterState::Redriven,
        State::Discarded => wire::DeadLetterState::Discarded,
    }
}

/// Whether a letter is shown with its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grpc) enum Shown {
    WithoutEvent,
    WithEvent,
}

/// A letter of a group.
pub(in crate::grpc) fn dead_letter(group: &Group, info: &LetterInfo, shown: Shown) -> wire::DeadLetter {
    let (row, letter) = (&info.row, &info.letter);
    let (why, cause) = (&letter.why, row.cause.as_deref());
    let text = |text: Option<&String>| text.cloned().unwrap_or_default();
    let id = |id: Option<LetterId>| id.map(|id| id.to_string()).unwrap_or_default();
    let redrive_id = cause.filter(|_| matches!(row.state, State::Redriving | State::Redriven));
    let (event, fault) = shown_event(info, shown);
    wire::DeadLetter {
        id: row.id.to_string(),
        group: group.to_string(),
        position: Some(position(&letter.source, letter.record.offset)),
        key: letter.record.key.clone(),
        log_time: Some(timestamp(letter.record.time)),
        dead_letter_time: Some(timestamp(row.time)),
        reason: wire_reason(why.reason).into(),
        detail: why.detail.clone(),
        attempts: why.attempts,
        failures: why.failures,
        first_failure_time: why.first_failure.map(timestamp),
        last_failure_time: why.last_failure.map(timestamp),
        client_id: why.client_id.clone(),
        state: wire_state(row.state).into(),
        state_time: Some(timestamp(row.state_time())),
        state_by: text(cause.map(|cause| &cause.by)),
        state_reason: text(cause.map(|cause| &cause.reason)),
        redrive_id: text(redrive_id.map(|cause| &cause.id)),
        behind: id(why.behind),
        quarantine: why.quarantine,
        parent: id(why.parent),
        event,
        fault,
    }
}

fn shown_event(info: &LetterInfo, shown: Shown) -> (Option<CloudEvent>, Option<wire::DecodeFault>) {
    if shown == Shown::WithoutEvent {
        return (None, None);
    }
    let (event, fault) = info.event();
    let fault = fault.map(|fault| wire::DecodeFault {
        field: fault.field,
        rule: fault.rule,
    });
    (Some(to_proto(event)), fault)
}

/// What was done to each.
pub(in crate::grpc) fn letter_results(moved: &Moved) -> Vec<wire::DeadLetterResult> {
    let outcome = |fate| match fate {
        Fate::Redriven => wire::DeadLetterOutcome::Redriven,
        Fate::Discarded => wire::DeadLetterOutcome::Discarded,
        Fate::Freed => wire::DeadLetterOutcome::Freed,
        Fate::Unchanged => wire::DeadLetterOutcome::Unchanged,
        Fate::NotFound => wire::DeadLetterOutcome::NotFound,
    };
    let result = |(id, fate): &(LetterId, Fate)| wire::DeadLetterResult {
        id: id.to_string(),
        outcome: outcome(*fate).into(),
    };
    moved.results.iter().map(result).collect()
}
