//! Groups for the wire.

use std::time::Duration;

use super::{failing, frames, invalid, position, timestamp};
use crate::{
    bus::{DeleteGroup, GroupInfo, GroupKind, GroupPartition, GroupStream, OpenStreams, Served},
    error::Result,
    grpc::asked,
    log::LogTime,
    name::Group,
    proto::tidings::v1 as wire,
};

/// What is to be deleted, and why.
pub(in crate::grpc) fn delete_group(request: wire::DeleteGroupRequest, by: &str) -> Result<DeleteGroup> {
    if request.reason.trim().is_empty() {
        return Err(invalid("reason", "says why: it is told to the streams that end"));
    }
    Ok(DeleteGroup {
        group: Group::new(&request.group)?,
        streams: match request.force {
            true => OpenStreams::End,
            false => OpenStreams::Refuse,
        },
        reason: asked::reason(request.reason)?,
        request_id: asked::request_id(request.request_id)?,
        by: by.to_owned(),
    })
}

/// A group, with its partitions and streams.
pub(in crate::grpc) fn group(info: &GroupInfo) -> wire::Group {
    wire::Group {
        partitions: info.partitions.iter().map(group_partition).collect(),
        open_streams: info.open.iter().map(group_stream).collect(),
        ..listed_group(info)
    }
}

/// A group without them.
pub(in crate::grpc) fn listed_group(info: &GroupInfo) -> wire::Group {
    let is_ours = info.kind == GroupKind::Tidings;
    wire::Group {
        name: info.name.to_string(),
        tenant: info.tenant.as_ref().map(ToString::to_string).unwrap_or_default(),
        kind: match info.kind {
            GroupKind::Tidings => wire::Kind::Tidings.into(),
            GroupKind::Foreign => wire::Kind::Kafka.into(),
        },
        state: state(info).into(),
        revision: info.revision,
        epoch: info.epoch,
        active_reset_id: info.active_reset.clone().unwrap_or_default(),
        topics: info.settings.topics.iter().map(ToString::to_string).collect(),
        on_gap: frames::on_gap(info.settings.on_gap).into(),
        undecodable: failing::wire_undecodable(info.settings.undecodable).into(),
        retry: is_ours.then(|| failing::wire_retry(&info.retry)),
        filter: info.settings.filter.as_ref().map(|filter| filter.spec().into()),
        members: i32::try_from(info.members).unwrap_or(i32::MAX),
        streams: i32::try_from(info.streams).unwrap_or(i32::MAX),
        lag_events: info.partitions.iter().map(GroupPartition::lag_events).sum(),
        lag_time: Some(crate::grpc::duration(
            info.partitions
                .iter()
                .map(|row| row.lag_time)
                .max()
                .unwrap_or(Duration::ZERO),
        )),
        create_time: is_ours.then(|| timestamp(info.created)),
        last_commit_time: info.last_commit.map(timestamp),
        observe_time: info.partitions.iter().map(observed).min().map(timestamp),
        ..Default::default()
    }
}

fn state(info: &GroupInfo) -> wire::State {
    match info.streams {
        _ if info.active_reset.is_some() => wire::State::Resetting,
        0 if info.kind == GroupKind::Tidings || info.members == 0 => wire::State::Empty,
        _ => wire::State::Active,
    }
}

fn group_partition(row: &GroupPartition) -> wire::GroupPartition {
    let served = row.served.as_ref();
    wire::GroupPartition {
        topic: row.partition.topic.to_string(),
        partition: row.partition.partition,
        start: row.bounds.start,
        committed: row.committed,
        end: row.bounds.end,
        lag_events: row.lag_events(),
        lag_time: Some(crate::grpc::duration(row.lag_time)),
        acked_above: row.acked_above(),
        outstanding: served.map_or(0, |served| i64::try_from(served.row.outstanding).unwrap_or(i64::MAX)),
        oldest: served.and_then(oldest),
        owner_replica_id: served.map_or_else(String::new, |served| served.replica_id.to_string()),
        time_to_loss: row.time_to_loss.map(crate::grpc::duration),
        lost_events: row.lost_events(),
        observe_time: Some(timestamp(observed(row))),
    }
}

/// When it was so.
fn observed(row: &GroupPartition) -> LogTime {
    row.observed.unwrap_or_else(LogTime::now)
}

fn oldest(served: &Served) -> Option<wire::OldestUnacked> {
    let oldest = served.row.oldest?;
    let age = Duration::from_millis(u64::try_from(LogTime::now().0 - oldest.since.0).unwrap_or(0));
    Some(wire::OldestUnacked {
        position: Some(position(&served.row.partition, oldest.offset)),
        age: Some(crate::grpc::duration(age)),
        key_hash: oldest.key_hash,
        attempt: oldest.attempt,
    })
}

fn group_stream(stream: &GroupStream) -> wire::GroupStream {
    wire::GroupStream {
        replica_id: stream.replica_id.to_string(),
        stream_id: stream.row.stream_id.clone(),
        client_id: stream.row.client_id.clone(),
        outstanding_events: i64::try_from(stream.row.outstanding).unwrap_or(i64::MAX),
        open_time: Some(timestamp(stream.row.opened)),
    }
}
