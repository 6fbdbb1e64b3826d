//! Snapshots and restores for the wire, and what is asked of them from it.

use std::{iter, time::SystemTime};

use super::{
    caught_up, filter, frames,
    frames::Messages,
    invalid, position, progress, selectors,
    sizing::{check_size, estimate, first_part},
    start, timestamp, waiting,
};
use crate::{
    bus::{
        Change, KeyState, OnGap, PartitionProgress, RestoreFrame, RestoreOptions, RestoreProgress, RestoreSource,
        SnapshotInfo, SnapshotPartition, SnapshotState, Waiting,
    },
    error::Result,
    grpc::size::Size,
    proto::{
        lean::{Encoded, EventsWriter},
        tidings::v1::{self as wire, restore_response::Frame},
    },
};

/// What is to be restored.
pub(in crate::grpc) fn restore_options(request: wire::RestoreRequest) -> Result<RestoreOptions> {
    if request.topics.is_empty() {
        return Err(invalid("topics", "names at least one topic"));
    }
    let on_gap = match wire::OnGap::try_from(request.on_gap) {
        Ok(wire::OnGap::Unspecified | wire::OnGap::Continue) => OnGap::Continue,
        Ok(wire::OnGap::Fail) => OnGap::Fail,
        Err(_) => return Err(invalid("on_gap", "is not a value of the enumeration")),
    };
    Ok(RestoreOptions {
        topics: selectors(&request.topics, "topics")?,
        since: start(request.since, "since")?,
        filter: filter::filter(request.filter, "filter")?,
        tenant: None,
        follow: request.follow,
        on_gap,
    })
}

/// Messages for one frame.
pub(in crate::grpc) fn restore_frame(frame: RestoreFrame, size: Size) -> Messages<Encoded> {
    let frame = match frame {
        RestoreFrame::States(states) => return states_messages(states, size),
        RestoreFrame::Events(events) => return frames::read_events(events, size, EventsWriter::into_restored_events),
        RestoreFrame::Progress(progress) => Frame::RestoreProgress(restore_progress(&progress)),
        RestoreFrame::CaughtUp(positions) => Frame::CaughtUp(caught_up(&positions)),
        RestoreFrame::Gap(gap) => Frame::Gap(super::gap(&gap)),
        RestoreFrame::Heartbeat { partitions, waiting } => Frame::Heartbeat(heartbeat(&partitions, waiting)),
    };
    Box::new(iter::once(Ok(wire::RestoreResponse { frame: Some(frame) }.into())))
}

fn states_messages(states: Vec<KeyState>, size: Size) -> Messages<Encoded> {
    let mut written = 0;
    Box::new(iter::from_fn(move || {
        let part = first_part(&states[written..], size, |state: &KeyState| {
            estimate(&state.item, &state.partition)
        })?;
        written += part.len();
        Some(states_message(part, size.limit))
    }))
}

fn states_message(part: &[KeyState], max_bytes: usize) -> Result<Encoded> {
    let bytes = part.iter().map(|state| estimate(&state.item, &state.partition)).sum();
    let mut written = EventsWriter::with_capacity(bytes);
    for state in part {
        written.state(&key_state(state), &state.item.event);
    }
    let message = written.into_restore_state();
    if let [state] = part {
        check_size(&state.item, &state.partition, &message, max_bytes)?;
    }
    Ok(message)
}

/// All but the event, which is written from the item.
fn key_state(state: &KeyState) -> wire::KeyState {
    let change = match state.change {
        Change::Set => wire::Change::Set,
        Change::Deleted => wire::Change::Deleted,
        Change::AllDeleted => wire::Change::AllDeleted,
        Change::SetUnlessResource => wire::Change::SetUnlessResource,
    };
    wire::KeyState {
        change: change.into(),
        position: Some(position(&state.partition, state.item.offset)),
        key: state.item.key.clone(),
        log_time: Some(timestamp(state.item.log_time)),
        event: None,
        fault: frames::fault(&state.item),
    }
}

fn restore_progress(progress: &RestoreProgress) -> wire::RestoreProgress {
    wire::RestoreProgress {
        read_events: count(progress.read),
        total_events: count(progress.total),
        percent: progress.percent,
        sent_states: count(progress.sent),
        keyless_events: count(progress.keyless),
        sources: progress.sources.iter().map(restore_source).collect(),
    }
}

fn restore_source(source: &RestoreSource) -> wire::RestoreSource {
    let unusable = source.unusable.iter().map(|one| wire::UnusableSnapshot {
        name: one.name.clone(),
        reason: one.reason.clone(),
    });
    wire::RestoreSource {
        topic: source.topic.to_string(),
        snapshot: source
            .snapshot
            .as_ref()
            .map_or_else(String::new, |(name, _)| name.clone()),
        snapshot_time: source.snapshot.as_ref().map(|(_, time)| timestamp(*time)),
        unusable: unusable.collect(),
    }
}

fn heartbeat(partitions: &[PartitionProgress], because: Waiting) -> wire::Heartbeat {
    wire::Heartbeat {
        partitions: partitions.iter().map(progress).collect(),
        waiting: waiting(because).into(),
        server_time: Some(crate::grpc::timestamp(SystemTime::now())),
        ..Default::default()
    }
}

/// A snapshot as it is told.
pub(in crate::grpc) fn snapshot(info: &SnapshotInfo) -> wire::Snapshot {
    let (state, error) = match &info.state {
        SnapshotState::Creating => (wire::SnapshotState::Creating, ""),
        SnapshotState::Ready => (wire::SnapshotState::Ready, ""),
        SnapshotState::Failed(why) => (wire::SnapshotState::Failed, why.as_str()),
        SnapshotState::Damaged(why) => (wire::SnapshotState::Damaged, why.as_str()),
    };
    wire::Snapshot {
        name: info.name.to_string(),
        topic: info.topic.to_string(),
        state: state.into(),
        partitions: info.partitions.iter().map(snapshot_partition).collect(),
        keys: count(info.keys),
        bytes: count(info.bytes),
        read_events: count(info.read),
        total_events: count(info.total),
        base: info.base.clone().unwrap_or_default(),
        create_time: info.begun.map(timestamp),
        finish_time: info.finished.map(timestamp),
        reason: info.reason.clone(),
        principal: info.by.clone(),
        error: error.to_owned(),
        keyless_events: count(info.keyless),
    }
}

fn snapshot_partition(held: &SnapshotPartition) -> wire::SnapshotPartition {
    wire::SnapshotPartition {
        partition: held.partition,
        offset: held.offset,
        keys: count(held.keys),
        missing: held.missing.map(|(start, end)| wire::OffsetRange { start, end }),
    }
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
