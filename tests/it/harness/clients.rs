//! Clients of a served bus: stubs for each service, an event to publish, and a subscribed stream as an object.

use tidings::proto::{
    io::cloudevents::v1::{
        CloudEvent,
        cloud_event::{CloudEventAttributeValue, Data, cloud_event_attribute_value::Attr},
    },
    tidings::v1::{
        Ack, AckResult, Close, Command, CommandReply, Credit, Deliveries, Delivery, Heartbeat, Open, Opened, Position,
        PublishRequest, ReadEvent, ReadEvents, ReadRequest, ReadResponse, SubscribeRequest, SubscribeResponse,
        command_service_client::CommandServiceClient, offset_service_client::OffsetServiceClient,
        publisher_service_client::PublisherServiceClient, read_response::Frame as ReadFrame,
        replay_service_client::ReplayServiceClient, subscribe_request::Frame as Sent, subscribe_response::Frame,
        subscriber_service_client::SubscriberServiceClient, system_service_client::SystemServiceClient,
        topic_service_client::TopicServiceClient,
    },
};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Status, Streaming,
    body::Body,
    client::GrpcService,
    codegen::{Bytes, StdError},
    transport::Channel,
};

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

    pub(crate) fn commands(&self) -> CommandServiceClient<Channel> {
        CommandServiceClient::new(self.channel())
    }

    pub(crate) fn replays(&self) -> ReplayServiceClient<Channel> {
        ReplayServiceClient::new(self.channel())
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

    pub(crate) async fn try_publish(&self, request: PublishRequest) -> Result<Vec<Position>, Status> {
        let answer = within("a publish", self.publisher().publish(request)).await?;
        let results = answer.into_inner().results.into_iter();
        Ok(results.map(|result| result.position.expect("a position")).collect())
    }

    /// Reads topics from their start to their end.
    pub(crate) async fn read_all(&self, topic: &str) -> Vec<ReadEvent> {
        let request = ReadRequest {
            topics: vec![topic.to_owned()],
            ..Default::default()
        };
        self.read(request)
            .await
            .expect("read")
            .rest()
            .await
            .expect("read to the end")
    }

    pub(crate) async fn read(&self, request: ReadRequest) -> Result<Reading, Status> {
        let answers = within("a read", self.subscriber().read(request)).await?;
        Ok(Reading(answers.into_inner()))
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

    /// How a stream ends that the server should not open.
    pub(crate) async fn open_refused(&self, open: Open) -> Result<(), Status> {
        self.try_subscribe([Sent::Open(open)]).await?.end().await
    }

    /// Starts the call with these frames and looks at no answer.
    pub(crate) async fn try_subscribe(&self, frames: impl IntoIterator<Item = Sent>) -> Result<Subscription, Status> {
        subscribe_through(self.channel(), frames).await
    }
}

/// Starts a stream with these frames, on a connection that may outlive its server.
pub(crate) async fn subscribe_through<T>(
    channel: T,
    frames: impl IntoIterator<Item = Sent>,
) -> Result<Subscription, Status>
where
    T: GrpcService<Body>,
    T::Error: Into<StdError>,
    T::ResponseBody: tonic::codegen::Body<Data = Bytes> + Send + 'static,
    <T::ResponseBody as tonic::codegen::Body>::Error: Into<StdError> + Send,
{
    let (sender, receiver) = mpsc::channel(MOST_FRAMES);
    for frame in frames {
        sender
            .try_send(SubscribeRequest { frame: Some(frame) })
            .expect("frames fit into the channel");
    }
    let requests = ReceiverStream::new(receiver);
    let answers = within("a stream", SubscriberServiceClient::new(channel).subscribe(requests))
        .await?
        .into_inner();
    Ok(Subscription {
        sender: Some(sender),
        answers,
        opened: Opened::default(),
    })
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

/// The same, with credit for so many.
pub(crate) fn open_with_credit(group: &str, events: i64) -> Open {
    Open {
        credit: Some(Credit { events, bytes: 0 }),
        ..open(group)
    }
}

/// Events of the text data `id`, in a request.
pub(crate) fn request(events: impl IntoIterator<Item = CloudEvent>) -> PublishRequest {
    PublishRequest {
        events: events.into_iter().collect(),
        ..Default::default()
    }
}

/// The ids of the events that were delivered.
pub(crate) fn ids(deliveries: &[Delivery]) -> Vec<String> {
    let id = |delivery: &Delivery| delivery.event.as_ref().expect("an event").id.clone();
    deliveries.iter().map(id).collect()
}

/// A read in progress. Dropping it cancels the call.
pub(crate) struct Reading(Streaming<ReadResponse>);

impl Reading {
    /// The next frame; `None` = the end.
    pub(crate) async fn next(&mut self) -> Result<Option<ReadFrame>, Status> {
        let message = within("a frame of a read", self.0.message()).await?;
        Ok(message.and_then(|message| message.frame))
    }

    /// All events to the end, other frames passed over.
    pub(crate) async fn rest(mut self) -> Result<Vec<ReadEvent>, Status> {
        let mut got = Vec::new();
        while let Some(frame) = self.next().await? {
            if let ReadFrame::ReadEvents(ReadEvents { events }) = frame {
                got.extend(events);
            }
        }
        Ok(got)
    }

    /// Exactly so many events, other frames passed over.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<ReadEvent> {
        let mut got = Vec::new();
        while got.len() < count {
            match self.next().await {
                Ok(Some(ReadFrame::ReadEvents(ReadEvents { events }))) => got.extend(events),
                Ok(Some(_)) => {}
                end => panic!("the read ended after {} of {count} events: {end:?}", got.len()),
            }
        }
        assert_eq!(got.len(), count, "more events than expected");
        got
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

    /// Waits for the first frame that is of interest; the others are passed over.
    pub(crate) async fn until<T>(&mut self, what: &str, pick: impl Fn(Frame) -> Option<T>) -> T {
        let search = async {
            loop {
                match self.next().await {
                    Ok(Some(frame)) => {
                        if let Some(found) = pick(frame) {
                            return found;
                        }
                    }
                    end => panic!("the stream ended before {what}: {end:?}"),
                }
            }
        };
        within(what, search).await
    }

    pub(crate) async fn heartbeat(&mut self) -> Heartbeat {
        self.until("a heartbeat", |frame| match frame {
            Frame::Heartbeat(beat) => Some(beat),
            _ => None,
        })
        .await
    }

    /// The next command; other frames passed over.
    pub(crate) async fn command(&mut self) -> Command {
        self.until("a command", |frame| match frame {
            Frame::Command(command) => Some(command),
            _ => None,
        })
        .await
    }

    /// Answers a command with OK and nothing else.
    pub(crate) fn reply_ok(&self, command: &Command) {
        self.send(Sent::CommandReply(CommandReply {
            command_id: command.command_id.clone(),
            ..Default::default()
        }));
    }

    pub(crate) async fn ack_result(&mut self) -> AckResult {
        self.until("an answer to an ack", |frame| match frame {
            Frame::AckResult(result) => Some(result),
            _ => None,
        })
        .await
    }

    /// More deliveries, as they come, until this many were had; other frames passed over.
    pub(crate) async fn at_least(&mut self, count: usize) -> Vec<Delivery> {
        let mut got = Vec::new();
        while got.len() < count {
            let more = |frame| match frame {
                Frame::Deliveries(Deliveries { deliveries }) => Some(deliveries),
                _ => None,
            };
            got.extend(self.until("deliveries", more).await);
        }
        got
    }

    pub(crate) fn grant(&self, events: i64, bytes: i64) {
        self.send(Sent::Credit(Credit { events, bytes }));
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
