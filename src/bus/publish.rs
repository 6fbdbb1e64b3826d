//! Publish: route and encode all events, hand them to the log together, tell what became of each.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{Bus, Inner};
use crate::{
    convention,
    error::{Error, Fault, Reason, Result},
    event::Event,
    log::{NewRecord, Outcome, Placed, Receipt},
    name::Topic,
};

/// Events of one call.
pub struct NewEvents {
    pub events: Vec<Event>,
    /// For all of them; `None` = by route or type.
    pub topic: Option<Topic>,
    /// For all of them; `None` = by route, `partitionkey` or `subject`.
    pub key: Option<Bytes>,
}

/// Where an event lies, durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub topic: Topic,
    pub place: Placed,
}

/// A publish that failed after it was handed to the log: what is known of each event.
#[derive(Debug)]
pub struct PublishError {
    pub error: Error,
    /// Covers all events, in order; empty where nothing is or will be on the log.
    pub runs: Vec<Run>,
    /// The log had the events when it failed; otherwise they were refused before.
    pub was_writing: bool,
}

impl PublishError {
    /// Refused before anything was written.
    pub fn refused(error: Error) -> Self {
        Self {
            error,
            runs: Vec::new(),
            was_writing: false,
        }
    }
}

/// Events with one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub first: usize,
    pub count: usize,
    pub state: RunState,
    /// Why; `None` where durable.
    pub reason: Option<Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    Durable,
    /// Not on the log, and never will be.
    Failed,
    /// Nobody knows.
    Unknown,
}

impl From<Error> for PublishError {
    fn from(error: Error) -> Self {
        Self {
            error,
            runs: Vec::new(),
            was_writing: false,
        }
    }
}

/// Events that the log has; their outcome is to come.
pub struct HandedOver {
    bus: Arc<Inner>,
    topics: Vec<Topic>,
    receipt: Receipt,
    permit: OwnedSemaphorePermit,
}

impl Bus {
    /// Checks and routes all events, then hands them to the log, in the order of calls. Waits until there is room, at the
    /// latest until `deadline`. An error means that nothing was or will be written.
    pub async fn hand_over(&self, new: NewEvents, deadline: Instant) -> Result<HandedOver> {
        let bus = &self.0;
        let (records, bytes) = bus.records(&new)?;
        let topics: Vec<Topic> = records.iter().map(|record| record.topic.clone()).collect();
        let ensured = timeout_at(deadline, bus.ensure_topics(&topics)).await;
        ensured.map_err(|_| too_late())??;
        let handing = async {
            let permit = bus.reserve(bytes).await?;
            let receipt = bus.log.append(records).await?;
            Ok((permit, receipt))
        };
        match timeout_at(deadline, handing).await {
            Ok(Ok((permit, receipt))) => Ok(HandedOver {
                bus: Arc::clone(bus),
                topics,
                receipt,
                permit,
            }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(busy()),
        }
    }

    /// `hand_over`, then `HandedOver::outcome`.
    pub async fn publish(&self, new: NewEvents, deadline: Instant) -> Result<Vec<Written>, PublishError> {
        self.hand_over(new, deadline).await?.outcome(deadline).await
    }
}

impl HandedOver {
    /// Where each event lies once all are durable. At `deadline` it tells what is known of each. The events are written whether
    /// or not anyone waits.
    pub async fn outcome(mut self, deadline: Instant) -> Result<Vec<Written>, PublishError> {
        match timeout_at(deadline, &mut self.receipt).await {
            Ok(outcomes) => collect(self.topics, outcomes),
            Err(_) => {
                let outcomes = self.receipt.so_far();
                let (receipt, permit) = (self.receipt, self.permit);
                // The log still holds these bytes: the room they take is given back when it has answered.
                self.bus.tasks.spawn(async move {
                    receipt.await;
                    drop(permit);
                });
                collect(self.topics, outcomes)
            }
        }
    }
}

impl Inner {
    fn records(&self, new: &NewEvents) -> Result<(Vec<NewRecord>, usize)> {
        if let Some(topic) = new.topic.as_ref().filter(|topic| topic.is_internal()) {
            let rule =
                format!("{topic} belongs to the bus; names that start with tidings. or __ are not for publishing");
            return Err(Error::fault(Reason::TopicInvalid, "topic", rule));
        }
        let (mut records, mut bytes, mut faults) = (Vec::with_capacity(new.events.len()), 0, Vec::new());
        let mut too_large = false;
        for (index, event) in new.events.iter().enumerate() {
            match self.record(event, new) {
                Ok((_, size)) if size > self.settings.max_event_bytes => {
                    too_large = true;
                    let limit = self.settings.max_event_bytes;
                    let rule = format!("the event has {size} bytes as logged; limits.max_event_bytes = {limit}");
                    faults.push(Fault::new(format!("events[{index}]"), rule));
                }
                Ok((record, size)) => {
                    bytes += size;
                    records.push(record);
                }
                Err(fault) => faults.push(fault.within(&format!("events[{index}]."))),
            }
        }
        match faults.is_empty() {
            true => Ok((records, bytes)),
            false if too_large => Err(Error::faults(Reason::EventTooLarge, faults)),
            false => Err(Error::faults(Reason::EventInvalid, faults)),
        }
    }

    fn record(&self, event: &Event, new: &NewEvents) -> Result<(NewRecord, usize), Fault> {
        let route = self.routes.resolve(event, new.topic.as_ref(), new.key.as_ref())?;
        if new.topic.is_none() && route.topic.is_internal() {
            let rule = format!("names the topic {}, which belongs to the bus", route.topic);
            return Err(Fault::new("type", rule));
        }
        let encoded = convention::encode(event);
        let record = NewRecord {
            topic: route.topic,
            partition: None,
            key: route.key,
            value: encoded.value,
            headers: encoded.headers,
        };
        let key = record.key.as_ref().map_or(0, Bytes::len);
        let size = key + record.value.as_ref().map_or(0, Bytes::len) + record.headers.size();
        Ok((record, size))
    }

    /// Room for so many bytes on their way to the log. A call larger than all the room takes all of it.
    async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.clamp(1, self.settings.publish_bytes)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.publish_bytes).acquire_many_owned(bytes).await;
        room.map_err(|_| super::draining())
    }
}

fn too_late() -> Error {
    let text = "publish: the deadline passed before the topics were there; nothing was written";
    Error::new(Reason::DeadlineExceeded, text)
}

fn busy() -> Error {
    Error::new(
        Reason::Limit,
        "publish: the log did not take the events before the deadline; limits.publish_bytes are on their way",
    )
    .retry_after(Duration::from_millis(500))
}

fn collect(topics: Vec<Topic>, outcomes: Vec<Outcome>) -> Result<Vec<Written>, PublishError> {
    if outcomes.iter().all(Result::is_ok) {
        let written = topics.into_iter().zip(outcomes);
        return Ok(written
            .filter_map(|(topic, outcome)| {
                Some(Written {
                    topic,
                    place: outcome.ok()?,
                })
            })
            .collect());
    }
    let runs = runs(&outcomes);
    let first = outcomes.into_iter().find_map(Result::err);
    let Some(cause) = first.map(|unwritten| unwritten.error) else {
        return Err(Error::new(Reason::Internal, "publish: an outcome is missing").into());
    };
    Err(failed(runs, &cause))
}

/// What is retryable may only be said where nothing is, or can still become, durable.
fn failed(runs: Vec<Run>, cause: &Error) -> PublishError {
    let nothing_written = runs.iter().all(|run| run.state == RunState::Failed);
    let (reason, runs, what) = if nothing_written {
        (cause.reason(), Vec::new(), "nothing was written")
    } else if runs.iter().any(|run| run.state == RunState::Unknown) {
        (Reason::DeadlineExceeded, runs, "some events may not be durable")
    } else {
        (Reason::DeadlineExceeded, runs, "some events were not written")
    };
    let mut error = Error::new(reason, format!("publish: {what}: {cause}"));
    if let Some(delay) = cause.retry_delay() {
        error = error.retry_after(delay);
    }
    PublishError {
        error,
        runs,
        was_writing: true,
    }
}

fn runs(outcomes: &[Outcome]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (index, outcome) in outcomes.iter().enumerate() {
        let (state, reason) = match outcome {
            Ok(_) => (RunState::Durable, None),
            Err(unwritten) if unwritten.may_be_written => (RunState::Unknown, Some(unwritten.error.reason())),
            Err(unwritten) => (RunState::Failed, Some(unwritten.error.reason())),
        };
        match runs.last_mut() {
            Some(run) if (run.state, run.reason) == (state, reason) => run.count += 1,
            _ => runs.push(Run {
                first: index,
                count: 1,
                state,
                reason,
            }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Unwritten;

    fn outcome(state: RunState) -> Outcome {
        match state {
            RunState::Durable => Ok(Placed {
                partition: 0,
                offset: 0,
            }),
            _ => Err(Unwritten {
                may_be_written: state == RunState::Unknown,
                error: Arc::new(Error::new(Reason::LogUnavailable, "append: gone")),
            }),
        }
    }

    fn fail(states: &[RunState]) -> PublishError {
        let topics = vec![Topic::new("t").expect("valid"); states.len()];
        collect(topics, states.iter().map(|state| outcome(*state)).collect()).expect_err("not all durable")
    }

    #[test]
    fn unavailable_is_said_only_if_nothing_can_become_durable() {
        use RunState::{Durable, Failed, Unknown};
        let all_failed = fail(&[Failed, Failed]);
        assert_eq!(
            (all_failed.error.reason(), all_failed.runs.len()),
            (Reason::LogUnavailable, 0)
        );
        for some in [&[Durable, Failed][..], &[Unknown, Unknown], &[Failed, Unknown]] {
            let failure = fail(some);
            assert_eq!(failure.error.reason(), Reason::DeadlineExceeded);
            assert_eq!(failure.runs.iter().map(|run| run.count).sum::<usize>(), some.len());
        }
        assert_eq!(fail(&[Durable, Durable, Unknown]).runs[0].count, 2);
    }
}
