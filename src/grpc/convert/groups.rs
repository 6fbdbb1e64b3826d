//! Groups for the wire.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use super::{failing, frames, timestamp};
use crate::{
    bus::{GroupInfo, GroupPartition},
    proto::tidings::v1 as wire,
};

/// A group, with or without its partitions.
pub(in crate::grpc) fn group(info: &GroupInfo, replica_id: &str, with_partitions: bool) -> wire::Group {
    let served: BTreeSet<bool> = info
        .partitions
        .iter()
        .map(|partition| partition.served.is_some())
        .collect();
    let partitions = info.partitions.iter().filter(|_| with_partitions);
    wire::Group {
        name: info.name.to_string(),
        kind: wire::Kind::Tidings.into(),
        state: state(info).into(),
        revision: info.revision,
        epoch: info.epoch,
        active_reset_id: info.active_reset.clone().unwrap_or_default(),
        topics: info.settings.topics.iter().map(ToString::to_string).collect(),
        on_gap: frames::on_gap(info.settings.on_gap).into(),
        undecodable: failing::wire_undecodable(info.settings.undecodable).into(),
        retry: Some(failing::wire_retry(&info.retry)),
        filter: info.settings.filter.as_ref().map(|filter| filter.spec().into()),
        members: i32::from(served.contains(&true)),
        streams: i32::try_from(info.streams).unwrap_or(i32::MAX),
        partitions: partitions
            .map(|partition| group_partition(partition, replica_id))
            .collect(),
        lag_events: info.partitions.iter().map(GroupPartition::lag_events).sum(),
        lag_time: Some(crate::grpc::duration(
            info.partitions
                .iter()
                .map(|row| row.lag_time)
                .max()
                .unwrap_or(Duration::ZERO),
        )),
        create_time: Some(timestamp(info.created)),
        last_commit_time: info.last_commit.map(timestamp),
        ..Default::default()
    }
}

fn state(info: &GroupInfo) -> wire::State {
    match info.streams {
        _ if info.active_reset.is_some() => wire::State::Resetting,
        0 => wire::State::Empty,
        _ => wire::State::Active,
    }
}

fn group_partition(row: &GroupPartition, replica_id: &str) -> wire::GroupPartition {
    let served = row.served.as_ref();
    wire::GroupPartition {
        topic: row.partition.topic.to_string(),
        partition: row.partition.partition,
        start: row.bounds.start,
        committed: row.committed,
        end: row.bounds.end,
        lag_events: row.lag_events(),
        lag_time: Some(crate::grpc::duration(row.lag_time)),
        acked_above: served.map_or(0, |served| served.acked_above),
        outstanding: served.map_or(0, |served| i64::try_from(served.outstanding).unwrap_or(i64::MAX)),
        oldest: served.and_then(|served| served.oldest.as_ref()).map(frames::oldest),
        owner_replica_id: served.map_or_else(String::new, |_| replica_id.to_owned()),
        time_to_loss: None,
        lost_events: row.lost_events(),
        observe_time: Some(crate::grpc::timestamp(SystemTime::now())),
    }
}
