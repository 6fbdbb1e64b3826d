//! Replays for the wire and from it.

use super::{end, faults_of, filter::filter, start, timestamp};
use crate::{
    bus::{End, How, ReplayInfo, ReplayPartition, Start, StartReplay, delivery::Counts},
    error::{Error, Reason, Result},
    grpc::asked,
    log::TopicPartition,
    name::{Group, Selector},
    proto::tidings::v1::{self as wire, end::Until, start::At},
};

/// What is to be replayed. Who asks is not in the request.
pub(in crate::grpc) fn start_replay(request: wire::StartReplayRequest, by: &str) -> Result<StartReplay> {
    let rate = request.max_events_per_second;
    Ok(StartReplay {
        group: Group::new(&request.group)?,
        topics: topics(&request.topics)?,
        start: start(request.start, "start")?.unwrap_or(Start::Earliest),
        end: end(request.end)?.unwrap_or(End::Latest),
        filter: filter(request.filter, "filter")?,
        // The bus says what a rate may be.
        max_per_second: (rate != 0.0).then_some(rate),
        reason: asked::reason(request.reason)?,
        request_id: asked::request_id(request.request_id)?,
        by: by.to_owned(),
    })
}

/// In the order of the request.
fn topics(texts: &[String]) -> Result<Vec<Selector>> {
    let (mut selectors, mut faults) = (Vec::new(), Vec::new());
    for (index, text) in texts.iter().enumerate() {
        match Selector::new(text) {
            Ok(selector) => selectors.push(selector),
            Err(error) => faults.extend(faults_of(&error, &format!("topics[{index}]"))),
        }
    }
    match faults.is_empty() {
        true => Ok(selectors),
        false => Err(Error::faults(Reason::TopicInvalid, faults)),
    }
}

pub(in crate::grpc) fn replay(info: &ReplayInfo) -> wire::Replay {
    wire::Replay {
        partitions: info.partitions.iter().map(partition).collect(),
        ..listed_replay(info)
    }
}

/// Without its partitions.
pub(in crate::grpc) fn listed_replay(info: &ReplayInfo) -> wire::Replay {
    let (row, ended) = (&info.row, info.row.ended.as_ref());
    let sum = |count: fn(&Counts) -> u64| number(info.partitions.iter().map(|one| count(&one.counts)).sum());
    let total: i64 = info.partitions.iter().map(|one| one.range.until - one.range.from).sum();
    let done: i64 = info.partitions.iter().map(done).sum();
    wire::Replay {
        id: row.id.clone(),
        group: row.group.to_string(),
        state: state(info).into(),
        topics: row.topics.clone(),
        start: Some(wire_start(&row.start)),
        end: Some(wire_end(&row.end)),
        filter: row.filter.as_ref().map(Into::into),
        max_events_per_second: row.max_per_second.unwrap_or(0.0),
        reason: row.reason.clone(),
        principal: row.by.clone(),
        start_time: Some(timestamp(row.started)),
        end_time: ended.map(|ended| timestamp(ended.at)),
        end_reason: ended.map(|ended| ended.reason.clone()).unwrap_or_default(),
        end_principal: ended.map(|ended| ended.by.clone()).unwrap_or_default(),
        total_offsets: total,
        done_offsets: done,
        percent: if total == 0 {
            100.0
        } else {
            done as f64 * 100.0 / total as f64
        },
        sent: sum(|counts| counts.sent),
        acked: sum(|counts| counts.acked),
        failed: sum(|counts| counts.failed),
        hidden: sum(|counts| counts.hidden),
        passed_over: sum(|counts| counts.passed_over),
        gone: sum(|counts| counts.gone),
        partitions: Vec::new(),
    }
}

fn state(info: &ReplayInfo) -> wire::ReplayState {
    match info.row.ended.as_ref().map(|ended| ended.how) {
        None => wire::ReplayState::Running,
        Some(How::Done) => wire::ReplayState::Done,
        Some(How::Stopped) => wire::ReplayState::Stopped,
        Some(How::Failed) => wire::ReplayState::Failed,
    }
}

fn done(one: &ReplayPartition) -> i64 {
    one.next.clamp(one.range.from, one.range.until) - one.range.from
}

fn partition(one: &ReplayPartition) -> wire::ReplayPartition {
    let Counts {
        sent,
        acked,
        failed,
        hidden,
        passed_over,
        gone,
    } = one.counts;
    wire::ReplayPartition {
        topic: one.range.partition.topic.to_string(),
        partition: one.range.partition.partition,
        from_offset: one.range.from,
        next_offset: one.next,
        until_offset: one.range.until,
        sent: number(sent),
        acked: number(acked),
        failed: number(failed),
        hidden: number(hidden),
        passed_over: number(passed_over),
        gone: number(gone),
    }
}

fn wire_start(start: &Start) -> wire::Start {
    let at = match start {
        Start::Earliest => At::Earliest(()),
        Start::Latest => At::Latest(()),
        Start::Time(time) => At::Time(timestamp(*time)),
        Start::Positions(places) => At::Positions(wire_positions(places)),
        Start::Snapshot(name) => At::Snapshot(name.to_string()),
        Start::Checkpoint(name) => At::Checkpoint(name.to_string()),
    };
    wire::Start { at: Some(at) }
}

fn wire_end(end: &End) -> wire::End {
    let until = match end {
        End::Latest => Until::Latest(()),
        End::Time(time) => Until::Time(timestamp(*time)),
        End::Positions(places) => Until::Positions(wire_positions(places)),
    };
    wire::End { until: Some(until) }
}

fn wire_positions(places: &[(TopicPartition, i64)]) -> wire::Positions {
    let position = |(partition, offset): &(TopicPartition, i64)| super::position(partition, *offset);
    wire::Positions {
        positions: places.iter().map(position).collect(),
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
