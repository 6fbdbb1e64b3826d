//! SubscriberService: opens streams and reads; what flows on them is in `subscribe_stream` and `read_stream`.

use std::{sync::Arc, time::Duration};

use futures_util::stream::BoxStream;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};

use super::{
    Services,
    caller::{Caller, Right},
    calls::call_of,
    convert::{self, FrameParts},
    deadline, foreign,
    guard::{self, Guard},
    quotas::{place, placed},
    read_stream,
    size::{DEFAULT_LIMIT, Sizes},
    status::status,
    subscribe_stream::{Inbound, Outbound},
    system::features,
};
use crate::{
    bus::ReadOptions,
    error::{Error, Reason, Result},
    name::Verb,
    proto::{
        lean::{ReadResponse, SubscribeResponse, SubscriberService},
        tidings::v1::{Open, ReadRequest, SubscribeRequest, subscribe_request::Frame},
    },
};

/// A client that opens a stream and then says nothing is not waited for.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

#[tonic::async_trait]
impl SubscriberService for Services {
    type SubscribeStream = BoxStream<'static, Result<SubscribeResponse, Status>>;
    type ReadStream = BoxStream<'static, Result<ReadResponse, Status>>;

    async fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let end_at = deadline::end_of_stream(request.metadata());
        let (caller, call) = (Caller::of(request.extensions())?, call_of(request.extensions()));
        let place = place(&caller)?;
        let mut inbound = request.into_inner();
        let opening = deadline::before(end_at, async {
            let open = first_frame(&mut inbound).await?;
            let (mut options, max_frame_bytes) = convert::open(open).map_err(|error| status(&error))?;
            options.tabs = caller.allowance().tabs();
            let guard = Guard::of(&caller, &mut options).map_err(|error| status(&error))?;
            let delivering = Arc::new(self.telemetry().deliver(options.group.clone(), call));
            let opened = self.bus().subscribe(options).await;
            let subscription = opened
                .inspect_err(|error| caller.note(error))
                .map_err(|error| status(&error))?;
            Ok((subscription, max_frame_bytes, (guard, delivering)))
        });
        let (subscription, max_frame_bytes, (guard, delivering)) = opening.await?;
        let (lifetime, renewal) = caller.renewable(guard.right());
        let parts = FrameParts {
            sizes: Sizes::new(self.bus(), max_frame_bytes),
            replica_id: self.bus().replica_id().to_owned(),
            max_credit: self.bus().settings().max_credit,
            features: features(self.bus()),
            token_expires: caller.token_expires(),
        };
        let outbound = Outbound::new(subscription.frames, parts, (guard, Arc::clone(&delivering)));
        let inbound = Inbound {
            frames: inbound,
            control: subscription.control,
            renewal,
            delivering,
        };
        self.0.tasks.spawn(inbound.steer(lifetime, outbound.ends()));
        Ok(Response::new(placed(place, deadline::cut(outbound, end_at))))
    }

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        let end_at = deadline::end_of_stream(request.metadata());
        let (caller, call) = (Caller::of(request.extensions())?, call_of(request.extensions()));
        let place = place(&caller)?;
        let starting = deadline::before(end_at, async {
            let (options, right) = permitted(&caller, request.into_inner()).map_err(|error| status(&error))?;
            let session = self.bus().read(options).await.map_err(|error| status(&error))?;
            Ok((session, right))
        });
        let (session, right) = starting.await?;
        let lifetime = caller.lifetime(right);
        let counting = (self.telemetry().clone(), call);
        let messages = read_stream::messages(session, Sizes::new(self.bus(), DEFAULT_LIMIT), counting);
        let messages = deadline::cut(lifetime.cut(messages), end_at);
        Ok(Response::new(placed(place, messages)))
    }
}

/// What may be read, and what must stay so.
fn permitted(caller: &Caller, request: ReadRequest) -> Result<(ReadOptions, Right)> {
    let mut options = convert::read_options(request)?;
    let scope = caller.rights().topics(Verb::Read);
    options.topics = caller.on_topics(Verb::Read, &scope, options.topics)?;
    caller.on_start(Verb::Read, &scope, Some(&options.start))?;
    options.tenant = scope.tenant().cloned();
    Ok((options.clone(), guard::topics_stay(Verb::Read, options.topics)))
}

async fn first_frame(inbound: &mut Streaming<SubscribeRequest>) -> Result<Open, Status> {
    let unexpected = |rule: &str| status(&Error::fault(Reason::FrameUnexpected, "frame", rule));
    match timeout(OPEN_TIMEOUT, inbound.message()).await {
        Err(_) => Err(unexpected("the first frame is open, and comes within 30 s")),
        Ok(Ok(Some(SubscribeRequest {
            frame: Some(Frame::Open(open)),
        }))) => Ok(open),
        Ok(Ok(_)) => Err(unexpected("the first frame is open")),
        Ok(Err(broken)) => match foreign::unreadable(&broken, Reason::FrameUnexpected) {
            Some(error) => Err(status(&error)),
            None => Err(broken),
        },
    }
}
