//! Plans and resets for the wire and from it.

use super::{invalid, log_time, positions, timestamp, topic};
use crate::{
    bus::{PartitionMove, PlanReset, ResetInfo, ResetPlan, ResetState, Target, Whose},
    error::Result,
    log::TopicPartition,
    name::Group,
    proto::tidings::v1::{self as wire, target::To},
};

/// What is to be planned. Who asks is not in the request.
pub(in crate::grpc) fn plan_reset(request: wire::PlanResetRequest, reason: String, by: &str) -> Result<PlanReset> {
    let topics = request.topics.iter().enumerate();
    let partitions = request.partitions.iter().enumerate();
    Ok(PlanReset {
        group: Group::new(&request.group)?,
        topics: topics
            .map(|(index, name)| topic(name, &format!("topics[{index}]")))
            .collect::<Result<_>>()?,
        partitions: partitions.map(partition).collect::<Result<_>>()?,
        target: target(request.target)?,
        reason,
        by: by.to_owned(),
    })
}

fn partition((index, partition): (usize, &wire::TopicPartition)) -> Result<TopicPartition> {
    Ok(TopicPartition {
        topic: topic(&partition.topic, &format!("partitions[{index}].topic"))?,
        partition: partition.partition,
    })
}

fn target(target: Option<wire::Target>) -> Result<Target> {
    Ok(match target.and_then(|target| target.to) {
        None => return Err(invalid("target", "says where the group shall stand")),
        Some(To::Earliest(())) => Target::Earliest,
        Some(To::Latest(())) => Target::Latest,
        Some(To::Time(time)) => Target::Time(log_time(&time, "target.time")?),
        Some(To::ShiftBy(0)) => return Err(invalid("target.shift_by", "is not 0")),
        Some(To::ShiftBy(events)) => Target::ShiftBy(events),
        Some(To::Positions(at)) => Target::Positions(positions(at)?),
        Some(To::Snapshot(name)) => Target::Snapshot(name),
        Some(To::CommittedBy(group)) => Target::CommittedBy(Group::new(&group)?),
        Some(To::UndoResetId(id)) => Target::UndoReset(id),
    })
}

fn wire_target(target: &Target) -> wire::Target {
    let at = |(partition, offset): &(TopicPartition, i64)| super::position(partition, *offset);
    let to = match target {
        Target::Earliest => To::Earliest(()),
        Target::Latest => To::Latest(()),
        Target::Time(time) => To::Time(timestamp(*time)),
        Target::ShiftBy(events) => To::ShiftBy(*events),
        Target::Positions(places) => To::Positions(wire::Positions {
            positions: places.iter().map(at).collect(),
        }),
        Target::Snapshot(name) => To::Snapshot(name.clone()),
        Target::CommittedBy(group) => To::CommittedBy(group.to_string()),
        Target::UndoReset(id) => To::UndoResetId(id.clone()),
    };
    wire::Target { to: Some(to) }
}

pub(in crate::grpc) fn reset_plan(plan: &ResetPlan) -> wire::ResetPlan {
    let sum = |count: fn(&PartitionMove) -> i64| plan.moves.iter().map(count).sum();
    wire::ResetPlan {
        id: plan.id.clone(),
        hash: plan.hash().to_vec().into(),
        group: plan.group.to_string(),
        target: Some(wire_target(&plan.target)),
        moves: plan.moves.iter().map(partition_move).collect(),
        create_time: Some(timestamp(plan.created)),
        expire_time: Some(timestamp(plan.expires)),
        reason: plan.reason.clone(),
        principal: plan.by.clone(),
        epoch: plan.epoch,
        group_revision: plan.revision,
        replayed: sum(|one| one.replayed),
        skipped: sum(|one| one.skipped),
        gone: sum(|one| one.gone),
        live_streams: i32::try_from(plan.streams).unwrap_or(i32::MAX),
        creates_group: plan.whose == Whose::Created,
        undo_reset_id: match &plan.target {
            Target::UndoReset(id) => id.clone(),
            _ => String::new(),
        },
        kind: match plan.whose {
            Whose::Tidings | Whose::Created => wire::Kind::Tidings,
            Whose::Foreign => wire::Kind::Kafka,
        }
        .into(),
    }
}

fn partition_move(one: &PartitionMove) -> wire::PartitionMove {
    wire::PartitionMove {
        topic: one.partition.topic.to_string(),
        partition: one.partition.partition,
        from_offset: one.from,
        to_offset: one.to,
        replayed: one.replayed,
        skipped: one.skipped,
        gone: one.gone,
        first_event_time: one.first_event.map(timestamp),
        clamped: one.clamped,
        exact: one.exact,
    }
}

pub(in crate::grpc) fn reset(info: &ResetInfo) -> wire::Reset {
    let applied = &info.applied;
    let moved = applied.partitions.iter().map(|one| wire::MovedPartition {
        topic: one.partition.topic.to_string(),
        partition: one.partition.partition,
        from_offset: one.from,
        to_offset: one.to,
    });
    wire::Reset {
        id: info.plan.id.clone(),
        group: info.plan.group.to_string(),
        state: match info.state {
            ResetState::Planned | ResetState::Applying => wire::ResetState::Applying,
            ResetState::Applied => wire::ResetState::Applied,
        }
        .into(),
        plan: Some(reset_plan(&info.plan)),
        reason: applied.reason.clone(),
        principal: applied.by.clone(),
        accept_time: Some(timestamp(applied.accepted)),
        finish_time: applied.finished.map(timestamp),
        epoch: applied.epoch,
        partitions: moved.collect(),
    }
}
