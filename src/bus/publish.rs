//! Publish: route and encode all events, hand them to the log together, tell what became of each.

mod claim;
mod outcome;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

pub use self::outcome::{PublishError, Run, RunState, Written};
use self::{
    claim::{Foreign, claim, own_key},
    outcome::collect,
};
use super::{Bus, Inner};
use crate::{
    convention,
    error::{Error, Fault, Reason, Result},
    event::Event,
    log::{NewRecord, Receipt},
    name::{Scope, Topic, Verb},
};

/// Events of one call.
pub struct NewEvents {
    pub events: Vec<Event>,
    /// For all of them; `None` = by route or type.
    pub topic: Option<Topic>,
    /// For all of them; `None` = by route, `partitionkey` or `subject`.
    pub key: Option<Bytes>,
    /// Where they may go.
    pub scope: Scope,
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
        let ensured = timeout_at(deadline, bus.ensure_topics_patiently(&topics)).await;
        ensured.map_err(|_| bus.too_late())??;
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
            Err(_) => Err(bus.busy()),
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
        if let Some(topic) = new.topic.as_ref().filter(|topic| !new.scope.allows(topic)) {
            return Err(Error::denied(Verb::Publish, format!("topic {topic}")));
        }
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
                Err(Refused::Fault(fault)) => faults.push(fault.within(&format!("events[{index}]."))),
                Err(Refused::Foreign(foreign)) => return Err(foreign.error(index)),
            }
        }
        match faults.is_empty() {
            true => check_scope(new, &records).map(|()| (records, bytes)),
            false if too_large => Err(Error::faults(Reason::EventTooLarge, faults)),
            false => Err(Error::faults(Reason::EventInvalid, faults)),
        }
    }

    fn record(&self, event: &Event, new: &NewEvents) -> Result<(NewRecord, usize), Refused> {
        if event.content_type().is_some_and(|of| is_an_event(of)) {
            let rule = "says that the data is an event: whoever reads the log would take that for this one; publish it by itself";
            return Err(Fault::new("attributes.datacontenttype", rule).into());
        }
        let tenant = new.scope.tenant();
        let mut route = self
            .routes
            .resolve(event, (new.topic.as_ref(), new.key.as_ref()), tenant)?;
        if new.topic.is_none() && route.topic.is_internal() {
            let rule = format!("names the topic {}, which belongs to the bus", route.topic);
            return Err(Fault::new("type", rule).into());
        }
        let shared = tenant.and_then(|tenant| Some((self.settings.tenancy.shared(&route.topic)?, tenant)));
        let encoded = match shared {
            None => convention::encode(event),
            Some((shared, tenant)) => {
                route.key = route.key.map(|key| own_key(key, shared, tenant));
                convention::encode(&claim(event, shared, tenant)?)
            }
        };
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

    /// While the log cannot be reached, waits for it: the caller's deadline says how long.
    async fn ensure_topics_patiently(&self, topics: &[Topic]) -> Result<()> {
        let mut health = self.log.health();
        loop {
            match self.ensure_topics(topics).await {
                Err(error) if error.reason() == Reason::LogUnavailable && health.borrow().is_err() => {
                    if health.wait_for(Result::is_ok).await.is_err() {
                        return Err(error);
                    }
                }
                ensured => return ensured,
            }
        }
    }

    /// The deadline passed, and nothing was handed over.
    fn too_late(&self) -> Error {
        self.unreachable().unwrap_or_else(|| {
            let text = "publish: the deadline passed before the topics were there; nothing was written";
            Error::new(Reason::DeadlineExceeded, text)
        })
    }

    fn busy(&self) -> Error {
        self.unreachable().unwrap_or_else(|| {
            let text =
                "publish: the log did not take the events before the deadline; limits.publish_bytes are on their way";
            Error::new(Reason::Limit, text).retry_after(Duration::from_millis(500))
        })
    }

    fn unreachable(&self) -> Option<Error> {
        let cause = self.log.health().borrow().clone().err()?;
        let text = format!("publish: the log cannot be reached, and nothing was written: {cause}");
        Some(Error::new(Reason::LogUnavailable, text).retry_after(Duration::from_secs(1)))
    }

    /// Room for so many bytes on their way to the log. A call larger than all the room takes all of it.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.clamp(1, self.settings.publish_bytes)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.permits.publish_bytes).acquire_many_owned(bytes).await;
        room.map_err(|_| super::draining())
    }
}

/// The media types of CloudEvents in structured mode and in batches, by which readers know them on the log.
fn is_an_event(content_type: &str) -> bool {
    const EVENTS: &str = "application/cloudevents";
    let start = content_type.trim_start().as_bytes().get(..EVENTS.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(EVENTS.as_bytes()))
}

/// Why an event is not written.
enum Refused {
    Fault(Fault),
    /// It says that it is another tenant's.
    Foreign(Foreign),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Foreign> for Refused {
    fn from(foreign: Foreign) -> Self {
        Self::Foreign(foreign)
    }
}

/// Events of a call that names no topic go where their types lead them.
fn check_scope(new: &NewEvents, records: &[NewRecord]) -> Result<()> {
    if new.scope.is_all() {
        return Ok(());
    }
    let mut allowed: Option<&Topic> = new.topic.as_ref();
    for record in records {
        if allowed == Some(&record.topic) {
            continue;
        }
        if !new.scope.allows(&record.topic) {
            return Err(Error::denied(Verb::Publish, format!("topic {}", record.topic)));
        }
        allowed = Some(&record.topic);
    }
    Ok(())
}
