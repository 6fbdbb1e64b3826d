//! Retry policies, leases and nacks, in and out.

use std::time::Duration;

use bytestring::ByteString;

use super::{invalid, period};
use crate::{
    bus::{Action, Refusal, RetryOverride, Undecodable, delivery::RetryPolicy},
    error::Result,
    proto::tidings::v1 as wire,
};

/// No failed event waits longer.
const MAX_DELAY: Duration = Duration::from_secs(24 * 3_600);
/// Characters of a nack's reason that are kept.
const MAX_REASON: usize = 1_000;

/// What a client says about retries; what it leaves unset is the group's.
pub(super) fn retry(retry: Option<wire::Retry>, field: &str) -> Result<RetryOverride> {
    let Some(retry) = retry else {
        return Ok(RetryOverride::default());
    };
    let delay = |duration, name: &str| -> Result<Option<Duration>> {
        let field = format!("{field}.{name}");
        let delay = period(duration, &field)?;
        match delay.filter(|delay| *delay > MAX_DELAY) {
            Some(_) => Err(invalid(&field, "is at most 24 hours")),
            None => Ok(delay),
        }
    };
    let number = |number: f64, name: &str, from: f64, to: f64| match number {
        0.0 => Ok(None),
        number if (from..=to).contains(&number) => Ok(Some(number)),
        _ => Err(invalid(
            &format!("{field}.{name}"),
            format!("is from {from} to {to}; 0 = unset"),
        )),
    };
    let (initial, maximum) = (delay(retry.initial, "initial")?, delay(retry.maximum, "maximum")?);
    if let (Some(initial), Some(maximum)) = (initial, maximum)
        && maximum < initial
    {
        return Err(invalid(&format!("{field}.maximum"), "is at least initial"));
    }
    Ok(RetryOverride {
        initial,
        factor: number(retry.factor, "factor", 1.0, 100.0)?,
        maximum,
        jitter: number(retry.jitter, "jitter", 0.0, 1.0)?,
        max_attempts: retry.max_attempts,
        max_abandons: retry.max_abandons,
    })
}

pub(super) fn wire_retry(policy: &RetryPolicy) -> wire::Retry {
    wire::Retry {
        initial: Some(crate::grpc::duration(policy.initial)),
        factor: policy.factor,
        maximum: Some(crate::grpc::duration(policy.maximum)),
        jitter: policy.jitter,
        max_attempts: Some(policy.max_attempts),
        max_abandons: Some(policy.max_abandons),
    }
}

/// `None` = as configured, `Some(None)` = for ever.
pub(super) fn lease(lease: Option<prost_types::Duration>) -> Result<Option<Option<Duration>>> {
    let lease = period(lease, "open.lease")?;
    Ok(lease.map(|lease| (!lease.is_zero()).then_some(lease)))
}

pub(super) fn undecodable(value: i32) -> Result<Option<Undecodable>> {
    match wire::Undecodable::try_from(value) {
        Ok(wire::Undecodable::Unspecified) => Ok(None),
        Ok(wire::Undecodable::Deliver) => Ok(Some(Undecodable::Deliver)),
        Ok(wire::Undecodable::DeadLetter) => Ok(Some(Undecodable::DeadLetter)),
        Err(_) => Err(invalid("open.undecodable", "is not a value of the enumeration")),
    }
}

pub(super) fn wire_undecodable(undecodable: Undecodable) -> wire::Undecodable {
    match undecodable {
        Undecodable::Deliver => wire::Undecodable::Deliver,
        Undecodable::DeadLetter => wire::Undecodable::DeadLetter,
    }
}

/// What a nack asks for.
pub(in crate::grpc) fn refusal(nack: &wire::Nack) -> Result<Refusal> {
    let action = wire::Action::try_from(nack.action);
    let delay = period(nack.delay, "nack.delay")?;
    let action = match action.map_err(|_| invalid("nack.action", "is not a value of the enumeration"))? {
        wire::Action::Unspecified | wire::Action::Retry => Action::Retry(delay),
        wire::Action::DeadLetter if delay.is_some() => {
            return Err(invalid("nack.delay", "has no meaning with ACTION_DEAD_LETTER"));
        }
        wire::Action::DeadLetter => Action::DeadLetter,
    };
    if delay.is_some_and(|delay| delay > MAX_DELAY) {
        return Err(invalid("nack.delay", "is at most 24 hours"));
    }
    let kept = nack
        .reason
        .char_indices()
        .nth(MAX_REASON)
        .map_or(nack.reason.len(), |(end, _)| end);
    Ok(Refusal {
        action,
        reason: ByteString::from(&nack.reason[..kept]),
    })
}

/// How long an extension lasts.
pub(in crate::grpc) fn extension(extend: &wire::Extend, longest: Duration) -> Result<Duration> {
    let by = period(extend.by, "extend.by")?.unwrap_or_default();
    if by.is_zero() || by > longest {
        let rule = format!("is longer than 0 and at most delivery.max_lease = {longest:?}");
        return Err(invalid("extend.by", rule));
    }
    Ok(by)
}
