//! Clients of a served bus: stubs for each service, an event to publish, and a subscribed stream as an object.

use tidings::proto::{
    io::cloudevents::v1::{
        CloudEvent,
        cloud_event::{CloudEventAttributeValue, Data, cloud_event_attribute_value::Attr},
    },
    tidings::v1::{
        Ack, Close, Credit, Deliveries, Delivery, Open, Opened, PublishRequest, SubscribeRequest, SubscribeResponse,
        offset_service_client::OffsetServiceClient, publisher_service_client::PublisherServiceClient,
        subscribe_request::Frame as Sent, subscribe_response::Frame,
        subscriber_service_client::SubscriberServiceClient, system_service_client::SystemServiceClient,
        topic_service_client::TopicServiceClient,
    },
};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use super::{Server, within};

/// How many frames a test may send before the server reads them.
const MOST_FRAMES: usize = 1_000;

/// Where `order` events go.
pub(crate) const ORDERS: &str = "io.shop.orders.resource";

impl Server {
    pub(crate) fn publisher(&self) -> PublisherServiceClient<Channel> {
        PublisherServiceClient::new(self.channel())
    }

    pub(crate) fn subscriber(&self) -> SubscriberServiceClient<Channel> {
        SubscriberServiceClient::new(self.channel())
    }

    pub(crate) fn topics(&self) -> TopicServiceClient<Channel> {
        TopicServiceClient::new(self.channel())
    }

    pub(crate) fn groups(&self) -> OffsetServiceClient<Channel> {
        OffsetServiceClient::new(self.channel())
    }

    pub(crate) fn system(&self) -> SystemServiceClient<Channel> {
        SystemServiceClient::new(self.channel())
    }

    /// Publishes, and fails the test if it cannot.
    pub(crate) async fn publish(&self, events: Vec<CloudEvent>) {
        let request = PublishRequest {
            events,
            ..Default::default()
        };
        within("a publish", self.publisher().publish(request))
            .await
            .expect("publish");
    }

    /// Opens a stream, and fails the test if the server refuses it.
    pub(crate) async fn subscribe(&self, open: Open) -> Subscription {
        let mut stream = self.try_subscribe([Sent::Open(open)]).await.expect("subscribe");
        match stream.next().await {
            Ok(Some(Frame::Opened(opened))) => stream.opened = opened,
            other => panic!("the first frame was not Opened: {other:?}"),
        }
        stream
    }

    /// Starts the call with these frames and looks at no answer.
    pub(crate) async fn try_subscribe(&self, frames: impl IntoIterator<Item = Sent>) -> Result<Subscription, Status> {
        let (sender, receiver) = mpsc::channel(MOST_FRAMES);
        for frame in frames {
            sender
                .try_send(SubscribeRequest { frame: Some(frame) })
                .expect("frames fit into the channel");
        }
        let requests = ReceiverStream::new(receiver);
        let answers = within("a stream", self.subscriber().subscribe(requests))
            .await?
            .into_inner();
        Ok(Subscription {
            sender: Some(sender),
            answers,
            opened: Opened::default(),
        })
    }
}

/// An order event of this id, about the order `subject`, which is its key.
pub(crate) fn order(id: &str, subject: &str) -> CloudEvent {
    CloudEvent {
        id: id.to_owned(),
        source: "/test".to_owned(),
        spec_version: "1.0".to_owned(),
        r#type: "io.shop.orders.created".to_owned(),
        attributes: [("subject".to_owned(), text(subject))].into(),
        data: Some(Data::TextData(id.to_owned())),
    }
}

/// An attribute value of type string.
pub(crate) fn text(value: &str) -> CloudEventAttributeValue {
    CloudEventAttributeValue {
        attr: Some(Attr::CeString(value.to_owned())),
    }
}

/// An Open of the group on the orders, with credit for many events.
pub(crate) fn open(group: &str) -> Open {
    Open {
        group: group.to_owned(),
        topics: vec![ORDERS.to_owned()],
        credit: Some(Credit {
            events: 1_000,
            bytes: 0,
        }),
        ..Default::default()
    }
}

/// One subscribed stream. Dropping it cancels the call.
pub(crate) struct Subscription {
    pub(crate) opened: Opened,
    sender: Option<mpsc::Sender<SubscribeRequest>>,
    answers: Streaming<SubscribeResponse>,
}

impl Subscription {
    pub(crate) fn send(&self, frame: Sent) {
        let sender = self.sender.as_ref().expect("the stream is half-closed");
        if let Err(TrySendError::Full(_)) = sender.try_send(SubscribeRequest { frame: Some(frame) }) {
            panic!("the server reads no frames: {MOST_FRAMES} wait");
        }
        // A stream that the server has ended says so in `next`.
    }

    pub(crate) fn ack(&self, deliveries: &[Delivery]) {
        let delivery_ids = deliveries.iter().map(|delivery| delivery.id).collect();
        self.send(Sent::Ack(Ack {
            delivery_ids,
            ..Default::default()
        }));
    }

    /// The next frame; `None` = the server ended the stream with OK.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, Status> {
        let message = within("a frame", self.answers.message()).await?;
        Ok(message.and_then(|message| message.frame))
    }

    /// Exactly so many deliveries, other frames passed over.
    pub(crate) async fn deliveries(&mut self, count: usize) -> Vec<Delivery> {
        let mut got = Vec::new();
        within(&format!("{count} deliveries"), async {
            while got.len() < count {
                match self.next().await {
                    Ok(Some(Frame::Deliveries(Deliveries { deliveries }))) => got.extend(deliveries),
                    Ok(Some(_)) => {}
                    end => panic!("the stream ended after {} of {count} deliveries: {end:?}", got.len()),
                }
            }
        })
        .await;
        assert_eq!(got.len(), count, "more deliveries than expected: {got:?}");
        got
    }

    /// No more deliveries, no more acks: waits for the server's OK, which says that everything acked is committed.
    pub(crate) async fn close(mut self) {
        self.send(Sent::Close(Close {}));
        self.half_close();
        self.end().await.expect("the stream ends OK");
    }

    pub(crate) fn half_close(&mut self) {
        self.sender = None;
    }

    /// Passes over frames until the stream ends: OK or the status.
    pub(crate) async fn end(&mut self) -> Result<(), Status> {
        within("the end of a stream", async {
            while self.next().await?.is_some() {}
            Ok(())
        })
        .await
    }
}
