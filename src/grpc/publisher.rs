//! PublisherService: checks requests, hands events to the bus, tells what became of them.

use futures_util::stream::BoxStream;
use prost::Message as _;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Limits, Services,
    caller::Caller,
    calls::call_of,
    convert, deadline,
    publish_stream::PublishSession,
    quotas::{place, placed},
    status::{publish_status, reason_of, status},
};
use crate::{
    bus::{NewEvents, Written},
    error::{Error, Fault, Reason, Result},
    event::Event,
    name::Verb,
    proto::{
        lean::{PublishRequest, PublishStreamRequest, PublisherService},
        tidings::v1::{PublishResponse, PublishResult, PublishStreamResponse},
    },
};

#[tonic::async_trait]
impl PublisherService for Services {
    type PublishStreamStream = BoxStream<'static, Result<PublishStreamResponse, Status>>;

    async fn publish(&self, request: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        let answer_by = deadline::answer_by(request.metadata(), self.limits().publish_timeout);
        let caller = Caller::of(request.extensions())?;
        let call = call_of(request.extensions());
        let request = request.into_inner();
        let bytes = request.encoded_len();
        let mut new = new_events(request, bytes, (self.limits(), &caller)).map_err(|error| status(&error))?;
        let allowance = caller.allowance();
        allowance
            .publish(new.events.len(), bytes, std::time::Instant::now())
            .map_err(|error| status(&error))?;
        let publishing = self.telemetry().publish(&call, &mut new.events);
        let outcome = self.bus().publish(new, answer_by).await;
        publishing.done(&outcome, outcome.as_ref().err().map(reason_of));
        let written = outcome.map_err(|failure| {
            caller.note(&failure.error);
            publish_status(&failure)
        })?;
        Ok(Response::new(response(written)))
    }

    async fn publish_stream(
        &self,
        request: Request<Streaming<PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let end_at = deadline::end_of_stream(request.metadata());
        let callers = (Caller::of(request.extensions())?, call_of(request.extensions()));
        let place = place(&callers.0)?;
        let session = PublishSession::new(self.clone(), callers, request.into_inner());
        Ok(Response::new(placed(place, deadline::cut(session.answers(), end_at))))
    }
}

/// Everything about a request of so many bytes that can be checked without the bus.
pub(super) fn new_events(
    request: PublishRequest,
    bytes: usize,
    (limits, caller): (&Limits, &Caller),
) -> Result<NewEvents> {
    if request.atomic {
        return Err(Error::not_built("atomic"));
    }
    if request.events.is_empty() {
        return Err(convert::invalid("events", "has at least one event"));
    }
    check_size(request.events.len(), bytes, limits)?;
    let topic = match request.topic.as_str() {
        "" => None,
        name => Some(convert::topic(name, "topic")?),
    };
    let (mut events, mut faults): (Vec<Event>, Vec<Fault>) = (Vec::with_capacity(request.events.len()), Vec::new());
    for (index, event) in request.events.into_iter().enumerate() {
        match event.check() {
            Ok(event) => events.push(event),
            Err(found) => {
                let prefix = format!("events[{index}].");
                faults.extend(found.into_iter().map(|fault| fault.within(&prefix)));
            }
        }
    }
    if !faults.is_empty() {
        return Err(Error::faults(Reason::EventInvalid, faults));
    }
    Ok(NewEvents {
        events,
        topic,
        key: request.key,
        scope: caller.rights().topics(Verb::Publish),
    })
}

fn check_size(count: usize, bytes: usize, limits: &Limits) -> Result<()> {
    let too_large = |rule: String| Error::fault(Reason::RequestTooLarge, "events", rule);
    let max = limits.max_request_events;
    if count > max {
        return Err(too_large(format!(
            "the request has {count} events; limits.max_request_events = {max}"
        )));
    }
    let max = limits.max_request_bytes;
    if bytes > max {
        return Err(too_large(format!(
            "the request has {bytes} bytes; limits.max_request_bytes = {max}"
        )));
    }
    Ok(())
}

pub(super) fn response(written: Vec<Written>) -> PublishResponse {
    let result = |written: Written| PublishResult {
        position: Some(crate::proto::tidings::v1::Position {
            topic: written.topic.to_string(),
            partition: written.place.partition,
            offset: written.place.offset,
        }),
        duplicate: false,
    };
    PublishResponse {
        results: written.into_iter().map(result).collect(),
    }
}
