//! Topics filled for a load, and streams of groups that do some work for each event.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;

use crate::{
    Result, event,
    load::{path, ready},
    process::Server,
    wire::{Delivery, SubscribeMessage},
};
use tidings::proto::tidings::v1::{
    Ack, CreateTopicRequest, Credit, CreditMode, DeliveryRange, Nack, Open, PublishRequest, Retry, Start,
    SubscribeRequest, TopicSettings, publisher_service_client::PublisherServiceClient, start::At,
    subscribe_request::Frame, topic_service_client::TopicServiceClient,
};

/// Frames on their way to the server.
const FRAMES: usize = 64;

/// Makes a topic and publishes so many events to it, whose keys take turns.
pub(crate) async fn fill(server: &Server, topic: &str, partitions: i32, events: u64, keys: u64) -> Result<()> {
    let settings = TopicSettings {
        partitions: Some(partitions),
        ..TopicSettings::default()
    };
    let request = CreateTopicRequest {
        name: topic.to_owned(),
        settings: Some(settings),
    };
    TopicServiceClient::new(server.channel()).create_topic(request).await?;
    let mut publisher = PublisherServiceClient::new(server.channel());
    for first in (0..events).step_by(1_000) {
        let request = PublishRequest {
            events: (first..events.min(first + 1_000))
                .map(|n| event::event(n % keys))
                .collect(),
            topic: topic.to_owned(),
            ..PublishRequest::default()
        };
        publisher.publish(request).await?;
    }
    Ok(())
}

/// One stream of a group.
pub(crate) struct Stream {
    frames: mpsc::Sender<SubscribeRequest>,
    messages: Streaming<SubscribeMessage>,
}

impl Stream {
    /// From the topic's start, with credit for so many events that have not been settled.
    pub(crate) async fn open(server: &Server, group: &str, topic: &str, credit: i64) -> Result<Self> {
        let (frames, receiver) = mpsc::channel(FRAMES);
        let retry = Retry {
            max_attempts: Some(0),
            ..Retry::default()
        };
        let open = Open {
            group: group.to_owned(),
            topics: vec![topic.to_owned()],
            start: Some(Start {
                at: Some(At::Earliest(())),
            }),
            credit: Some(Credit {
                events: credit,
                bytes: 0,
            }),
            credit_mode: CreditMode::OnSettle.into(),
            retry: Some(retry),
            ..Open::default()
        };
        frames.send(frame(Frame::Open(open))).await?;
        let codec = ProstCodec::<_, SubscribeMessage>::default();
        let call = path("/tidings.v1.SubscriberService/Subscribe");
        let request = Request::new(ReceiverStream::new(receiver));
        let mut client = ready(server.channel()).await?;
        let messages = client.streaming(request, call, codec).await?.into_inner();
        Ok(Self { frames, messages })
    }

    /// The next deliveries.
    pub(crate) async fn next(&mut self) -> Result<Vec<Delivery>> {
        loop {
            let message = self.messages.next().await.ok_or("the stream ended early")??;
            if let Some(deliveries) = message.deliveries {
                return Ok(deliveries.deliveries);
            }
        }
    }

    pub(crate) async fn ack(&self, ranges: Vec<DeliveryRange>) -> Result<()> {
        Ok(self.frames.send(acked(ranges)).await?)
    }

    /// These are tried again after this delay.
    pub(crate) async fn nack(&self, ranges: Vec<DeliveryRange>, delay: Duration) -> Result<()> {
        let nack = Nack {
            ranges,
            delay: Some(prost_types::Duration::try_from(delay)?),
            ..Nack::default()
        };
        Ok(self.frames.send(frame(Frame::Nack(nack))).await?)
    }

    /// Where frames go that another thread sends.
    pub(crate) fn frames(&self) -> mpsc::Sender<SubscribeRequest> {
        self.frames.clone()
    }
}

pub(crate) fn acked(ranges: Vec<DeliveryRange>) -> SubscribeRequest {
    frame(Frame::Ack(Ack {
        ranges,
        ..Ack::default()
    }))
}

fn frame(frame: Frame) -> SubscribeRequest {
    SubscribeRequest { frame: Some(frame) }
}
