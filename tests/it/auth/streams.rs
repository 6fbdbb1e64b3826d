//! Streams last as long as what their callers have shown, and longer with a fresh token.

use std::time::Duration;

use tidings::proto::tidings::v1::{
    Authenticate, Credit, Open, PublishStreamRequest, ReadRequest, RestoreRequest, SubscribeRequest,
    publisher_service_client::PublisherServiceClient, state_service_client::StateServiceClient,
    subscribe_request::Frame as Sent, subscribe_response::Frame, subscriber_service_client::SubscriberServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{
    EVERYTHING, Shown, Token,
    issuers::{Signer, from_file, keys},
    token_of,
};
use crate::{
    harness::{
        Server,
        clients::{ORDERS, open, order, request},
        status::refused,
        within,
    },
    tls::Authority,
};

const HOUR: Duration = Duration::from_secs(3_600);
/// Until it expires, a stream must have been opened.
const SHORT: Duration = Duration::from_secs(4);

/// A server that knows a signer's tokens, with one topic.
async fn server(authority: &Authority, signer: &Signer) -> Server {
    let server = Server::start_with(&format!(
        "{}{EVERYTHING}",
        from_file(&authority.written("keys.json", &keys(&[signer])))
    ))
    .await;
    let channel = Token::new(&signer.token("alice", HOUR)).on(server.channel());
    PublisherServiceClient::new(channel)
        .publish(request([order("a", "1")]))
        .await
        .expect("published");
    server
}

/// Passes over messages until the stream ends.
async fn end<T>(mut stream: Streaming<T>) -> Result<(), Status> {
    within("the end of a stream", async {
        while stream.message().await?.is_some() {}
        Ok(())
    })
    .await
}

fn frames(open: Open) -> (mpsc::Sender<SubscribeRequest>, ReceiverStream<SubscribeRequest>) {
    let (sender, receiver) = mpsc::channel(10);
    sender.try_send(frame(Sent::Open(open))).expect("room");
    (sender, ReceiverStream::new(receiver))
}

fn frame(frame: Sent) -> SubscribeRequest {
    SubscribeRequest { frame: Some(frame) }
}

fn fresh(token: String) -> SubscribeRequest {
    frame(Sent::Authenticate(Authenticate { token }))
}

fn beating(group: &str) -> Open {
    Open {
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..open(group)
    }
}

#[tokio::test]
async fn every_kind_of_stream_ends_when_its_token_does() {
    let (authority, signer) = (Authority::new(), Signer::new("a"));
    let server = server(&authority, &signer).await;
    let channel: Shown = Token::new(&signer.token("alice", SHORT)).on(server.channel());
    let mut subscriber = SubscriberServiceClient::new(channel.clone());
    let (_open, sent) = frames(open("g"));
    let subscribed = subscriber.subscribe(sent).await.expect("a stream").into_inner();
    let following = ReadRequest {
        topics: vec![ORDERS.to_owned()],
        follow: true,
        ..Default::default()
    };
    let read = subscriber.read(following).await.expect("a stream").into_inner();
    let following = RestoreRequest {
        topics: vec![ORDERS.to_owned()],
        follow: true,
        ..Default::default()
    };
    let restored = StateServiceClient::new(channel.clone())
        .restore(following)
        .await
        .expect("a stream")
        .into_inner();
    let (publishing, requests) = mpsc::channel::<PublishStreamRequest>(10);
    let published = PublisherServiceClient::new(channel)
        .publish_stream(ReceiverStream::new(requests))
        .await;
    let first = PublishStreamRequest {
        sequence: 1,
        publish: Some(request([order("b", "1")])),
        timeout: None,
    };
    publishing.try_send(first).expect("room");
    let published = published.expect("a stream").into_inner();
    let (subscribed, read, restored, published) =
        tokio::join!(end(subscribed), end(read), end(restored), end(published));
    for ended in [subscribed, read, restored, published] {
        refused(ended, Code::Unauthenticated, "TOKEN_EXPIRED");
    }
}

#[tokio::test]
async fn a_fresh_token_carries_a_subscription_on() {
    let (authority, signer) = (Authority::new(), Signer::new("a"));
    let server = server(&authority, &signer).await;
    let channel = Token::new(&signer.token("alice", SHORT)).on(server.channel());
    let (sender, sent) = frames(beating("g"));
    let mut stream = SubscriberServiceClient::new(channel)
        .subscribe(sent)
        .await
        .expect("a stream")
        .into_inner();
    let mut next = async || {
        within("a frame", stream.message())
            .await
            .expect("the stream goes on")
            .expect("a frame")
            .frame
    };
    let Some(Frame::Opened(opened)) = next().await else {
        panic!("the first frame is opened")
    };
    let expires = opened.token_expire_time.expect("it expires");
    sender.send(fresh(signer.token("alice", HOUR))).await.expect("sent");
    let is_later = |time: &prost_types::Timestamp| time.seconds > expires.seconds + 1;
    loop {
        if let Some(Frame::Heartbeat(beat)) = next().await
            && beat.server_time.as_ref().is_some_and(is_later)
        {
            break;
        }
    }
    sender
        .send(frame(Sent::Credit(Credit { events: 1, bytes: 0 })))
        .await
        .expect("sent");
}

#[tokio::test]
async fn nobody_elses_token_carries_a_subscription_on() {
    let (authority, signer, forger) = (Authority::new(), Signer::new("a"), Signer::new("a"));
    let server = server(&authority, &signer).await;
    for token in [signer.token("bob", HOUR), forger.token("alice", HOUR), String::new()] {
        let channel = Token::new(&signer.token("alice", HOUR)).on(server.channel());
        let (sender, sent) = frames(open("g"));
        let stream = SubscriberServiceClient::new(channel)
            .subscribe(sent)
            .await
            .expect("a stream")
            .into_inner();
        sender.send(fresh(token)).await.expect("sent");
        refused(end(stream).await, Code::Unauthenticated, "TOKEN_INVALID");
    }
    let open_server = Server::start().await;
    let frames = [Sent::Open(open("g")), Sent::Authenticate(Authenticate::default())];
    let mut stream = open_server.try_subscribe(frames).await.expect("a stream");
    refused(stream.end().await, Code::Unimplemented, "NOT_SUPPORTED");
}

#[tokio::test]
async fn streams_end_when_their_token_is_taken_back() {
    let authority = Authority::new();
    let write = |tokens: String| authority.written("auth.toml", &tokens.replace("auth.tokens", "tokens"));
    let file = write(format!("{}{}", token_of("a", "first"), token_of("b", "second")));
    let server = Server::start_with(&format!("[auth]\nfile = \"{}\"\n{EVERYTHING}", file.display())).await;
    let stream = async |token: &str, group: &str| {
        let channel = Token::new(token).on(server.channel());
        let (sender, sent) = frames(beating(group));
        let stream = SubscriberServiceClient::new(channel)
            .subscribe(sent)
            .await
            .expect("a stream")
            .into_inner();
        (sender, stream)
    };
    let ((_one, first), (_other, mut second)) = (stream("first", "g").await, stream("second", "h").await);
    write(token_of("b", "second"));
    refused(end(first).await, Code::Unauthenticated, "TOKEN_INVALID");
    // The other's goes on.
    loop {
        let message = within("a frame", second.message()).await.expect("the stream goes on");
        if let Some(Frame::Heartbeat(_)) = message.and_then(|message| message.frame) {
            break;
        }
    }
}
