//! The loads: what a client does, the same to the bus and to the bare server.
//!
//! Requests are encoded before, and answers are read no further than needed: the client has the same two cores.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures_util::StreamExt as _;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, client::Grpc, codegen::http::uri::PathAndQuery, transport::Channel};
use tonic_prost::ProstCodec;

use crate::{
    Result,
    event::{self, BATCH, TOPIC},
    process::Server,
    wire::{Delivery, EncodedRequest, EncodedStreamRequest, Nothing, ReadMessage, StreamAnswer, SubscribeMessage},
};
use tidings::proto::tidings::v1::{
    Ack, Credit, CreditMode, DeliveryRange, End, Open, Start, SubscribeRequest, end::Until, start::At,
    subscribe_request::Frame,
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// One stream, requests of 100 events.
    PublishStream,
    /// 64 callers on one connection, one event each.
    Unary,
    /// All events of a topic, once.
    Read,
    /// A group of four streams, a range acked for each message.
    Group,
}

/// Requests of the stream that are not answered.
const IN_FLIGHT: usize = 32;
pub(crate) const CALLERS: usize = 64;
const STREAMS: usize = 4;
/// Of each stream of the group.
const CREDIT: i64 = 4_096;
/// Acks on their way.
const ACKS: usize = 64;

impl Load {
    pub(crate) const ALL: [Self; 4] = [Self::PublishStream, Self::Unary, Self::Read, Self::Group];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PublishStream => "publish-stream",
            Self::Unary => "publish-unary",
            Self::Read => "read",
            Self::Group => "group",
        }
    }

    pub(crate) fn events(self) -> u64 {
        match self {
            Self::Unary => 40_000,
            _ => 200_000,
        }
    }

    /// Publishes what is read; elsewhere a little, so that the topic is there.
    pub(crate) async fn prepare(self, server: &Server) -> Result<()> {
        let events = match self {
            Self::PublishStream | Self::Unary => BATCH,
            Self::Read | Self::Group => self.events(),
        };
        publish_stream(server, events).await.map(|_| ())
    }

    pub(crate) async fn run(self, server: &Server) -> Result<u64> {
        match self {
            Self::PublishStream => publish_stream(server, self.events()).await,
            Self::Unary => publish_unary(server, self.events()).await,
            Self::Read => read(server, TOPIC).await,
            Self::Group => group(server, self.events()).await,
        }
    }
}

pub(crate) async fn ready(channel: Channel) -> Result<Grpc<Channel>> {
    let mut client = Grpc::new(channel).max_decoding_message_size(usize::MAX);
    client.ready().await?;
    Ok(client)
}

pub(crate) fn path(method: &'static str) -> PathAndQuery {
    PathAndQuery::from_static(method)
}

pub(crate) async fn publish_stream(server: &Server, events: u64) -> Result<u64> {
    let (requests, receiver) = mpsc::channel(IN_FLIGHT);
    let room = Arc::new(Semaphore::new(IN_FLIGHT));
    let answered = Arc::clone(&room);
    tokio::spawn(async move {
        let encoded = event::encoded_requests(BATCH);
        for sequence in 1..=events / BATCH {
            let Ok(permit) = room.acquire().await else { return };
            permit.forget();
            let publish = encoded[usize::try_from(sequence).unwrap_or(0) % encoded.len()].clone();
            if requests.send(EncodedStreamRequest { sequence, publish }).await.is_err() {
                return;
            }
        }
    });
    let codec = ProstCodec::<EncodedStreamRequest, StreamAnswer>::default();
    let call = path("/tidings.v1.PublisherService/PublishStream");
    let mut client = ready(server.channel()).await?;
    let request = Request::new(ReceiverStream::new(receiver));
    let mut answers = client.streaming(request, call, codec).await?.into_inner();
    let mut count = 0;
    while let Some(answer) = answers.next().await {
        answer?.response.ok_or("a request failed")?;
        answered.add_permits(1);
        count += BATCH;
    }
    Ok(count)
}

async fn publish_unary(server: &Server, events: u64) -> Result<u64> {
    let left = Arc::new(AtomicU64::new(events));
    let mut callers = JoinSet::new();
    for number in 0..CALLERS as u64 {
        let (left, mut client) = (Arc::clone(&left), ready(server.channel()).await?);
        let request = EncodedRequest {
            event: prost::Message::encode_to_vec(&event::event(number)).into(),
            topic: TOPIC.to_owned(),
        };
        callers.spawn(async move {
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok()
            {
                let codec = ProstCodec::<EncodedRequest, Nothing>::default();
                client
                    .ready()
                    .await
                    .map_err(|error| tonic::Status::from_error(Box::new(error)))?;
                let call = path("/tidings.v1.PublisherService/Publish");
                client.unary(Request::new(request.clone()), call, codec).await?;
            }
            Ok::<(), tonic::Status>(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller??;
    }
    Ok(events)
}

pub(crate) async fn read(server: &Server, topic: &str) -> Result<u64> {
    let request = tidings::proto::tidings::v1::ReadRequest {
        topics: vec![topic.to_owned()],
        start: Some(Start {
            at: Some(At::Earliest(())),
        }),
        end: Some(End {
            until: Some(Until::Latest(())),
        }),
        ..Default::default()
    };
    let codec = ProstCodec::<_, ReadMessage>::default();
    let mut client = ready(server.channel()).await?;
    let call = path("/tidings.v1.SubscriberService/Read");
    let mut messages = client
        .server_streaming(Request::new(request), call, codec)
        .await?
        .into_inner();
    let mut count = 0;
    while let Some(message) = messages.next().await {
        count += message?.events.map_or(0, |events| events.events.len() as u64);
    }
    Ok(count)
}

/// The bare server keeps as many messages ready as the load takes.
pub(crate) async fn ask_for_stock(server: &Server, load: Load) -> Result<()> {
    read(server, load.name()).await.map(|_| ())
}

async fn group(server: &Server, events: u64) -> Result<u64> {
    let name = format!("group-{}", fastrand::u64(..));
    let left = Arc::new(AtomicU64::new(events));
    let all = Arc::new(Semaphore::new(0));
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        let (client, left, all) = (ready(server.channel()).await?, Arc::clone(&left), Arc::clone(&all));
        streams.spawn(consume(client, name.clone(), left, all));
    }
    while let Some(stream) = streams.join_next().await {
        stream??;
    }
    Ok(events)
}

/// One stream of the group; ends when the streams together have all.
async fn consume(mut client: Grpc<Channel>, group: String, left: Arc<AtomicU64>, all: Arc<Semaphore>) -> Result<()> {
    let (frames, receiver) = mpsc::channel(ACKS);
    let frame = |frame| SubscribeRequest { frame: Some(frame) };
    frames.send(frame(Frame::Open(open(group)))).await?;
    let codec = ProstCodec::<_, SubscribeMessage>::default();
    let call = path("/tidings.v1.SubscriberService/Subscribe");
    let request = Request::new(ReceiverStream::new(receiver));
    let mut messages = client.streaming(request, call, codec).await?.into_inner();
    loop {
        let message = tokio::select! {
            message = messages.next() => message.ok_or("the stream ended early")??,
            _ = all.acquire() => return Ok(()),
        };
        let Some(deliveries) = message.deliveries else { continue };
        let ranges = ranges(&deliveries.deliveries);
        let ack = Ack {
            ranges,
            ..Ack::default()
        };
        frames.send(frame(Frame::Ack(ack))).await?;
        let count = deliveries.deliveries.len() as u64;
        if left.fetch_sub(count, Ordering::Relaxed) <= count {
            all.add_permits(STREAMS);
        }
    }
}

fn open(group: String) -> Open {
    Open {
        group,
        topics: vec![TOPIC.to_owned()],
        start: Some(Start {
            at: Some(At::Earliest(())),
        }),
        credit: Some(Credit {
            events: CREDIT,
            bytes: 0,
        }),
        credit_mode: CreditMode::OnSettle.into(),
        ..Open::default()
    }
}

pub(crate) fn ranges(deliveries: &[Delivery]) -> Vec<DeliveryRange> {
    let mut ranges: Vec<DeliveryRange> = Vec::new();
    for Delivery { id, .. } in deliveries {
        match ranges.last_mut() {
            Some(range) if range.last + 1 == *id => range.last = *id,
            _ => ranges.push(DeliveryRange { first: *id, last: *id }),
        }
    }
    ranges
}
