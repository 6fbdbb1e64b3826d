//! What a client opens streams with, checked.

use std::time::Duration;

use super::{end, failing, filter::filter, invalid, period, selectors, start};
use crate::{
    bus::{
        End, OnConflict, OnGap, OpenOptions, ReadOptions, Start,
        delivery::{Credit, CreditMode, IdRange},
    },
    error::{Error, Reason, Result},
    name::{Group, Scope},
    proto::tidings::v1 as wire,
};

const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(10);
const HEARTBEATS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
const MIN_FRAME_BYTES: i32 = 64 * 1024;
const MAX_FRAME_BYTES: i32 = 1024 * 1024 * 1024;
const MAX_CLIENT_ID: usize = 200;

/// The options of a stream, and the largest message it takes.
pub(in crate::grpc) fn open(open: wire::Open) -> Result<(OpenOptions, usize)> {
    if open.client_id.chars().count() > MAX_CLIENT_ID {
        return Err(invalid(
            "open.client_id",
            format!("has at most {MAX_CLIENT_ID} characters"),
        ));
    }
    let heartbeat = period(open.heartbeat_interval, "open.heartbeat_interval")?.unwrap_or(DEFAULT_HEARTBEAT);
    if !HEARTBEATS.contains(&heartbeat) {
        return Err(invalid("open.heartbeat_interval", "is from 1 s to 60 s; unset is 10 s"));
    }
    let frame_bytes = frame_bytes(open.max_frame_bytes)?;
    let options = OpenOptions {
        group: Group::new(&open.group)?,
        topics: if open.topics.is_empty() {
            None
        } else {
            Some(selectors(&open.topics, "open.topics")?)
        },
        start: opening_start(open.start)?,
        filter: filter(open.filter, "open.filter")?,
        on_gap: on_gap(open.on_gap)?,
        undecodable: failing::undecodable(open.undecodable)?,
        retry: failing::retry(open.retry, "open.retry")?,
        lease: failing::lease(open.lease)?,
        on_conflict: on_conflict(open.on_conflict)?,
        credit: opening_credit(open.credit)?,
        credit_mode: credit_mode(open.credit_mode)?,
        client_id: open.client_id,
        heartbeat_interval: heartbeat,
        commands: open.commands.then_some(frame_bytes),
        scope: Scope::all(),
        tabs: Vec::new(),
    };
    Ok((options, frame_bytes))
}

/// `None` = where the group stands.
fn opening_start(asked: Option<wire::Start>) -> Result<Option<Start>> {
    match asked {
        Some(wire::Start {
            at: Some(wire::start::At::Committed(_)),
        }) => Ok(None),
        other => start(other, "open.start"),
    }
}

fn frame_bytes(bytes: i32) -> Result<usize> {
    match bytes {
        0 => Ok(crate::grpc::size::DEFAULT_LIMIT),
        MIN_FRAME_BYTES..=MAX_FRAME_BYTES => Ok(usize::try_from(bytes).unwrap_or(crate::grpc::size::DEFAULT_LIMIT)),
        _ => Err(invalid(
            "open.max_frame_bytes",
            format!("is 0 or from {MIN_FRAME_BYTES} to {MAX_FRAME_BYTES}"),
        )),
    }
}

fn on_gap(value: i32) -> Result<Option<OnGap>> {
    match wire::OnGap::try_from(value) {
        Ok(wire::OnGap::Unspecified) => Ok(None),
        Ok(wire::OnGap::Continue) => Ok(Some(OnGap::Continue)),
        Ok(wire::OnGap::Fail) => Ok(Some(OnGap::Fail)),
        Err(_) => Err(invalid("open.on_gap", "is not a value of the enumeration")),
    }
}

fn on_conflict(value: i32) -> Result<OnConflict> {
    match wire::OnConflict::try_from(value) {
        Ok(wire::OnConflict::Unspecified | wire::OnConflict::Refuse) => Ok(OnConflict::Refuse),
        Ok(wire::OnConflict::Replace) => Ok(OnConflict::Replace),
        Err(_) => Err(invalid("open.on_conflict", "is not a value of the enumeration")),
    }
}

fn credit_mode(value: i32) -> Result<CreditMode> {
    match wire::CreditMode::try_from(value) {
        Ok(wire::CreditMode::Unspecified | wire::CreditMode::Explicit) => Ok(CreditMode::Explicit),
        Ok(wire::CreditMode::OnSettle) => Ok(CreditMode::OnSettle),
        Err(_) => Err(invalid("open.credit_mode", "is not a value of the enumeration")),
    }
}

/// Bytes 0 in Open = bytes are not counted on this stream.
fn opening_credit(credit: Option<wire::Credit>) -> Result<Credit> {
    let Some(credit) = credit else {
        return Ok(Credit { events: 0, bytes: None });
    };
    let checked = self::credit(credit)?;
    Ok(Credit {
        bytes: checked.bytes.filter(|bytes| *bytes > 0),
        ..checked
    })
}

/// More credit.
pub(in crate::grpc) fn credit(credit: wire::Credit) -> Result<Credit> {
    if credit.events < 0 || credit.bytes < 0 {
        return Err(Error::fault(
            Reason::FrameUnexpected,
            "credit",
            "events and bytes are not negative",
        ));
    }
    Ok(Credit {
        events: credit.events,
        bytes: Some(credit.bytes),
    })
}

/// The ids of an ack or nack. Each single id is a range of its own: if it cannot be settled, that is told.
pub(in crate::grpc) fn id_ranges(ids: &[u64], ranges: &[wire::DeliveryRange]) -> Vec<IdRange> {
    let ids = ids.iter().map(|id| IdRange { first: *id, last: *id });
    let ranges = ranges.iter().map(|range| IdRange {
        first: range.first,
        last: range.last,
    });
    ids.chain(ranges).collect()
}

/// What a reader asks for.
pub(in crate::grpc) fn read_options(request: wire::ReadRequest) -> Result<ReadOptions> {
    if request.topics.is_empty() {
        return Err(invalid("topics", "names at least one topic"));
    }
    let follow = request.follow;
    let start = start(request.start, "start")?;
    let end = end(request.end)?;
    if follow && end.is_some() {
        return Err(invalid("end", "has no meaning with follow"));
    }
    let max_events = u64::try_from(request.max_events).map_err(|_| invalid("max_events", "is not negative"))?;
    let filter = filter(request.filter, "filter")?;
    Ok(ReadOptions {
        topics: selectors(&request.topics, "topics")?,
        start: start.unwrap_or(if follow { Start::Latest } else { Start::Earliest }),
        end: if follow { None } else { Some(end.unwrap_or(End::Latest)) },
        filter,
        tenant: None,
        follow,
        max_events: (max_events > 0).then_some(max_events),
        on_gap: OnGap::Continue,
    })
}
