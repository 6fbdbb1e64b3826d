//! Frames of the bus to messages, none larger than the client takes.

use std::{iter, time::SystemTime};

use super::{
    caught_up, commands, failing, gap, partition, position, progress,
    sizing::{SMALLEST, check_size, estimate, first_part},
    timestamp, waiting,
};
use crate::{
    bus::{
        AckReport, AssignmentChange, Delivery, Frame, GroupSettings, Heartbeat, Item, LossReason, OldestUnacked, OnGap,
        Opened, ReadEvents,
        delivery::{Credit, CreditMode, RetryPolicy, Verdict},
    },
    error::{Error, Result},
    grpc::size::{Size, Sizes},
    log::TopicPartition,
    proto::{
        lean::{Encoded, EventsWriter, SubscribeResponse},
        tidings::v1::{self as wire, subscribe_response},
    },
};

/// Messages for one frame, each written when the one before it was taken.
pub(in crate::grpc) type Messages<T, E = Error> = Box<dyn Iterator<Item = Result<T, E>> + Send>;

/// A delivery that fits into no message to the client.
pub(in crate::grpc) struct Oversized {
    pub(in crate::grpc) id: u64,
    pub(in crate::grpc) error: Error,
}

/// What a stream's frames are converted with.
pub(in crate::grpc) struct FrameParts {
    pub(in crate::grpc) sizes: Sizes,
    pub(in crate::grpc) replica_id: String,
    pub(in crate::grpc) max_credit: Credit,
    pub(in crate::grpc) features: Vec<String>,
    pub(in crate::grpc) token_expires: Option<SystemTime>,
}

/// One message for one frame; deliveries may be many.
pub(in crate::grpc) fn subscribe_response(frame: Frame, parts: &FrameParts) -> Messages<SubscribeResponse, Oversized> {
    use subscribe_response::Frame as Out;
    let frame = match frame {
        Frame::Deliveries(deliveries) => return deliveries_messages(deliveries, parts.sizes.now()),
        Frame::Opened(opened) => Out::Opened(self::opened(*opened, parts)),
        Frame::AckResult(report) => Out::AckResult(ack_result(report)),
        Frame::Assignment(change) => Out::Assignment(assignment(change)),
        Frame::Heartbeat(beat) => Out::Heartbeat(heartbeat(&beat)),
        Frame::CaughtUp(positions) => Out::CaughtUp(caught_up(&positions)),
        Frame::Gap(gap) => Out::Gap(self::gap(&gap)),
        Frame::GroupChanged {
            revision,
            settings,
            retry,
        } => Out::GroupChanged(group_changed(revision, &settings, &retry)),
        Frame::ResetApplied {
            reset_id,
            epoch,
            positions,
        } => Out::ResetApplied(wire::ResetApplied {
            reset_id,
            group_epoch: epoch,
            positions: positions.iter().map(|(at, offset)| position(at, *offset)).collect(),
        }),
        Frame::Command(command) => Out::Command(commands::command(&command)),
        Frame::CommandFault { command_id, fault } => Out::CommandFault(commands::fault(command_id, fault)),
        Frame::Drain(deadline) => Out::Drain(wire::Drain {
            deadline: Some(crate::grpc::duration(deadline)),
        }),
    };
    Box::new(iter::once(Ok(wire::SubscribeResponse { frame: Some(frame) }.into())))
}

/// So many events of those that are there make a message: a client works on the first ones while the next are written.
fn at_once(there: usize) -> usize {
    (there / 4).clamp(16, 64)
}

fn deliveries_messages(deliveries: Vec<Delivery>, bytes: Size) -> Messages<SubscribeResponse, Oversized> {
    let (mut written, most) = (0, at_once(deliveries.len()));
    Box::new(iter::from_fn(move || {
        let left = &deliveries[written..];
        let part = first_part(&left[..left.len().min(most)], bytes, delivery_size)?;
        written += part.len();
        Some(deliveries_message(part, bytes.limit))
    }))
}

fn deliveries_message(part: &[Delivery], max_bytes: usize) -> Result<SubscribeResponse, Oversized> {
    let mut events = EventsWriter::with_capacity(part.iter().map(delivery_size).sum());
    for one in part {
        events.deliver(&delivery(one), &one.item().event);
    }
    let message = events.into_deliveries();
    if let [one] = part {
        let oversized = |error| Oversized { id: one.id, error };
        check_size(one.item(), &one.partition, &message, max_bytes).map_err(oversized)?;
    }
    Ok(message)
}

fn delivery_size(delivery: &Delivery) -> usize {
    estimate(delivery.item(), &delivery.partition)
}

/// Messages with the events of a reader, each as what `finish` makes of it.
pub(in crate::grpc) fn read_events(
    events: ReadEvents,
    bytes: Size,
    finish: fn(EventsWriter) -> Encoded,
) -> Messages<Encoded> {
    let mut written = 0;
    Box::new(iter::from_fn(move || {
        let size = |item: &&Item| estimate(item, &events.partition);
        let left: Vec<&Item> = events.items().skip(written).take(bytes.target / SMALLEST + 1).collect();
        let part = first_part(&left, bytes, size)?;
        written += part.len();
        Some(read_message(part, &events.partition, (bytes.limit, finish)))
    }))
}

fn read_message(
    part: &[&Item],
    partition: &TopicPartition,
    (max_bytes, finish): (usize, fn(EventsWriter) -> Encoded),
) -> Result<Encoded> {
    let bytes = part.iter().map(|item| estimate(item, partition)).sum();
    let mut written = EventsWriter::with_capacity(bytes);
    for item in part {
        written.read(&read_event(item, partition), &item.event);
    }
    let message = finish(written);
    if let [item] = part {
        check_size(item, partition, &message, max_bytes)?;
    }
    Ok(message)
}

/// All but the event, which is written from the item.
fn delivery(delivery: &Delivery) -> wire::Delivery {
    let item = delivery.item();
    wire::Delivery {
        id: delivery.id,
        position: Some(position(&delivery.partition, item.offset)),
        key: item.key.clone(),
        attempt: delivery.attempt,
        log_time: Some(timestamp(item.log_time)),
        size: item.size,
        failures: delivery.failures,
        replay_id: delivery.replay_id().unwrap_or_default().into(),
        reset_id: delivery.reset_id().unwrap_or_default().into(),
        redrive_id: delivery.redrive_id().unwrap_or_default().into(),
        fault: fault(item),
        ..Default::default()
    }
}

/// All but the event, which is written from the item.
fn read_event(item: &Item, partition: &TopicPartition) -> wire::ReadEvent {
    wire::ReadEvent {
        position: Some(position(partition, item.offset)),
        key: item.key.clone(),
        log_time: Some(timestamp(item.log_time)),
        event: None,
        fault: fault(item),
    }
}

pub(super) fn fault(item: &Item) -> Option<wire::DecodeFault> {
    item.fault.as_ref().map(|fault| wire::DecodeFault {
        field: fault.field.clone(),
        rule: fault.rule.clone(),
    })
}

fn opened(opened: Opened, parts: &FrameParts) -> wire::Opened {
    wire::Opened {
        stream_id: opened.stream_id,
        replica_id: parts.replica_id.clone(),
        group_revision: opened.revision,
        group_created: opened.created,
        group_epoch: opened.epoch,
        topics: opened.settings.topics.iter().map(ToString::to_string).collect(),
        on_gap: on_gap(opened.settings.on_gap).into(),
        undecodable: failing::wire_undecodable(opened.settings.undecodable).into(),
        retry: Some(failing::wire_retry(&opened.retry)),
        filter: opened.settings.filter.as_ref().map(|filter| filter.spec().into()),
        lease: opened.lease.map(crate::grpc::duration),
        heartbeat_interval: Some(crate::grpc::duration(opened.heartbeat_interval)),
        max_frame_bytes: i32::try_from(parts.sizes.limit()).unwrap_or(i32::MAX),
        credit: Some(wire_credit(opened.credit)),
        max_credit: Some(wire_credit(parts.max_credit)),
        credit_mode: match opened.credit_mode {
            CreditMode::Explicit => wire::CreditMode::Explicit,
            CreditMode::OnSettle => wire::CreditMode::OnSettle,
        }
        .into(),
        features: parts.features.clone(),
        server_version: env!("CARGO_PKG_VERSION").into(),
        token_expire_time: parts.token_expires.map(crate::grpc::timestamp),
        partitions: opened.partitions.iter().map(progress).collect(),
    }
}

fn group_changed(revision: u64, settings: &GroupSettings, retry: &RetryPolicy) -> wire::GroupChanged {
    wire::GroupChanged {
        group_revision: revision,
        topics: settings.topics.iter().map(ToString::to_string).collect(),
        on_gap: on_gap(settings.on_gap).into(),
        undecodable: failing::wire_undecodable(settings.undecodable).into(),
        retry: Some(failing::wire_retry(retry)),
        filter: settings.filter.as_ref().map(|filter| filter.spec().into()),
    }
}

pub(super) fn on_gap(on_gap: OnGap) -> wire::OnGap {
    match on_gap {
        OnGap::Continue => wire::OnGap::Continue,
        OnGap::Fail => wire::OnGap::Fail,
    }
}

fn ack_result(report: AckReport) -> wire::AckResult {
    let faults = report.faults.into_iter().map(|fault| wire::AckFault {
        ids: Some(wire::DeliveryRange {
            first: fault.ids.first,
            last: fault.ids.last,
        }),
        reason: match fault.verdict {
            Verdict::Unknown => wire::Reason::Unknown,
            Verdict::Settled => wire::Reason::Settled,
            Verdict::Stale => wire::Reason::Stale,
            Verdict::Expired => wire::Reason::Expired,
        }
        .into(),
    });
    wire::AckResult {
        sequence: report.sequence,
        committed: report.committed,
        faults: faults.collect(),
    }
}

fn assignment(change: AssignmentChange) -> wire::Assignment {
    let lost = change.lost.iter().map(|(lost, reason)| wire::LostPartition {
        partition: Some(partition(lost)),
        reason: match reason {
            LossReason::Rebalanced => wire::LostReason::Rebalanced,
            LossReason::TopicDeleted => wire::LostReason::TopicDeleted,
            LossReason::GroupChanged => wire::LostReason::GroupChanged,
        }
        .into(),
    });
    wire::Assignment {
        lost: lost.collect(),
        gained: change.gained.iter().map(partition).collect(),
        grace: Some(crate::grpc::duration(change.grace)),
    }
}

fn heartbeat(beat: &Heartbeat) -> wire::Heartbeat {
    wire::Heartbeat {
        partitions: beat.partitions.iter().map(progress).collect(),
        outstanding_events: i64::try_from(beat.outstanding_events).unwrap_or(i64::MAX),
        outstanding_bytes: beat.outstanding_bytes,
        credit_left: Some(wire_credit(beat.credit_left)),
        waiting: waiting(beat.waiting).into(),
        oldest: beat.oldest.as_ref().map(oldest),
        server_time: Some(crate::grpc::timestamp(SystemTime::now())),
    }
}

fn oldest(oldest: &OldestUnacked) -> wire::OldestUnacked {
    wire::OldestUnacked {
        position: Some(position(&oldest.partition, oldest.offset)),
        age: Some(crate::grpc::duration(oldest.age)),
        key_hash: oldest.key_hash,
        attempt: oldest.attempt,
    }
}

pub(in crate::grpc) fn wire_credit(credit: Credit) -> wire::Credit {
    wire::Credit {
        events: credit.events,
        bytes: credit.bytes.unwrap_or(0),
    }
}
