//! Groups: their names need a right, their topics too, and what somebody else may have does not come in by them.

use tidings::proto::tidings::v1::{
    Credit, Deliveries, OnConflict, Open, SubscribeRequest, subscribe_request::Frame as Sent,
    subscribe_response::Frame, subscriber_service_client::SubscriberServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{denied, policy, publish, shown, with_admin};
use crate::{
    auth::Shown,
    harness::{Server, within},
};
use tidings::proto::tidings::v1::SubscribeResponse;

/// One subscription, which ends when it is dropped.
pub(crate) struct Stream {
    sender: mpsc::Sender<SubscribeRequest>,
    answers: Streaming<SubscribeResponse>,
}

impl Stream {
    pub(crate) async fn open(channel: Shown, open: Open) -> Result<Self, Status> {
        let (sender, receiver) = mpsc::channel(10);
        let frame = Some(Sent::Open(open));
        sender.try_send(SubscribeRequest { frame }).expect("room");
        let mut client = SubscriberServiceClient::new(channel);
        let answers = within("a stream", client.subscribe(ReceiverStream::new(receiver)))
            .await?
            .into_inner();
        Ok(Self { sender, answers })
    }

    pub(crate) fn send(&self, request: SubscribeRequest) {
        self.sender.try_send(request).expect("room");
    }

    /// The next event's id, which comes alone.
    pub(crate) async fn event(&mut self) -> Result<String, Status> {
        let mut ids = self.events().await?;
        assert_eq!(ids.len(), 1, "one at a time: {ids:?}");
        Ok(ids.remove(0))
    }

    /// The ids of the next events that come together.
    pub(crate) async fn events(&mut self) -> Result<Vec<String>, Status> {
        loop {
            let message = within("a frame", self.answers.message())
                .await?
                .expect("the stream goes on");
            if let Some(Frame::Deliveries(Deliveries { deliveries })) = message.frame {
                let events = deliveries.into_iter().filter_map(|delivery| delivery.event);
                return Ok(events.map(|event| event.id).collect());
            }
        }
    }

    pub(crate) async fn end(&mut self) -> Result<(), Status> {
        within("the end of a stream", async {
            while self.answers.message().await?.is_some() {}
            Ok(())
        })
        .await
    }
}

pub(crate) fn open(group: &str, topics: &[&str]) -> Open {
    Open {
        group: group.to_owned(),
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        credit: Some(Credit { events: 10, bytes: 0 }),
        ..Default::default()
    }
}

async fn server() -> Server {
    let policies = policy(
        "\"subscribe\"",
        "topics = [\"mine.**\"]\ngroups = [\"billing\", \"re:billing-.*\"]",
    );
    let server = Server::start_with(&with_admin(&policies)).await;
    for topic in ["mine.a", "others"] {
        publish(shown(&server, "root"), topic, topic).await.expect("published");
    }
    server
}

#[tokio::test]
async fn a_stream_needs_its_group_and_its_topics() {
    let server = server().await;
    let opened = async |group: &str, topics: &[&str]| match Stream::open(shown(&server, "a"), open(group, topics)).await
    {
        Ok(mut stream) => stream.event().await,
        Err(refused) => Err(refused),
    };
    assert_eq!(opened("billing", &["mine.a"]).await.expect("an event"), "mine.a");
    for (group, topics) in [
        ("shipping", &["mine.a"][..]),
        ("shipping", &[]),
        ("billing", &["others"]),
        ("billing", &["mine.a", "none"]),
        ("billing-x", &["tidings.audit"]),
    ] {
        denied(opened(group, topics).await);
    }
}

#[tokio::test]
async fn a_pattern_means_what_may_be_had_now_and_later() {
    let server = server().await;
    let mut stream = Stream::open(shown(&server, "a"), open("billing", &["**"]))
        .await
        .expect("a stream");
    assert_eq!(stream.event().await.expect("an event"), "mine.a");
    for topic in ["new", "mine.new"] {
        publish(shown(&server, "root"), topic, topic).await.expect("published");
    }
    assert_eq!(stream.event().await.expect("an event"), "mine.new");
    // Another stream of the same group, by who may more, does not widen it.
    let mut wider = Stream::open(shown(&server, "root"), open("billing", &["**"]))
        .await
        .expect("a stream");
    drop(stream);
    let ids = wider.events().await.expect("events");
    assert!(ids.iter().all(|id| id.starts_with("mine.")), "{ids:?}");
}

#[tokio::test]
async fn what_others_gave_a_group_is_not_had_by_joining_it() {
    let server = server().await;
    let mut others = Stream::open(shown(&server, "root"), open("billing", &["others"]))
        .await
        .expect("a stream");
    assert_eq!(others.event().await.expect("an event"), "others");
    for topics in [&[][..], &["mine.a"], &["**"]] {
        let told = match Stream::open(shown(&server, "a"), open("billing", topics)).await {
            Ok(mut stream) => denied(stream.end().await),
            Err(refused) => denied(Err::<(), _>(refused)),
        };
        assert!(!told.contains("others"), "{told}");
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_group_is_given_more_than_it_may_have() {
    let server = server().await;
    let mut stream = Stream::open(shown(&server, "a"), open("billing", &["mine.a"]))
        .await
        .expect("a stream");
    assert_eq!(stream.event().await.expect("an event"), "mine.a");
    let wider = Open {
        on_conflict: OnConflict::Replace.into(),
        ..open("billing", &["mine.a", "others"])
    };
    let _wider = Stream::open(shown(&server, "root"), wider).await.expect("a stream");
    denied(stream.event().await);
}
