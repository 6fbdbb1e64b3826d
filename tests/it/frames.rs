//! Bad frames and fields: each ends its own stream with a reason, and no other.

mod fields;

use bytes::Bytes;
use prost::Message as _;
use tidings::proto::tidings::v1::{
    Authenticate, Credit, Nack, Open, Retry, SubscribeRequest, subscribe_request::Frame as Sent,
};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

use crate::harness::{
    Server,
    clients::{open, order},
    status::{fields, refused},
    within,
};

const SUBSCRIBE: &str = "/tidings.v1.SubscriberService/Subscribe";

fn period(seconds: i64, nanos: i32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos })
}

/// How a stream that begins with these frames ends.
async fn end_of(server: &Server, frames: impl IntoIterator<Item = Sent>) -> Result<(), Status> {
    match server.try_subscribe(frames).await {
        Ok(mut stream) => stream.end().await,
        Err(status) => Err(status),
    }
}

async fn end_of_open(server: &Server, open: Open) -> Result<(), Status> {
    end_of(server, [Sent::Open(open)]).await
}

#[tokio::test]
async fn a_frame_in_the_wrong_place_ends_the_stream() {
    let server = Server::start().await;
    let credit = |events, bytes| Sent::Credit(Credit { events, bytes });
    for frames in [
        vec![Sent::Open(open("group")), Sent::Open(open("group"))],
        vec![credit(1, 0)],
        vec![credit(1, 0), Sent::Open(open("group"))],
        vec![Sent::Ack(Default::default())],
        vec![Sent::Open(open("group")), credit(-1, 0)],
        vec![Sent::Open(open("group")), credit(0, -1)],
        vec![Sent::Open(Open {
            credit: Some(Credit { events: -1, bytes: 0 }),
            ..open("group")
        })],
        vec![Sent::Open(Open {
            credit: Some(Credit { events: 1, bytes: -1 }),
            ..open("group")
        })],
    ] {
        refused(end_of(&server, frames).await, Code::InvalidArgument, "FRAME_UNEXPECTED");
    }
}

#[tokio::test]
async fn an_empty_frame_and_garbage_end_the_stream_before_and_after_open() {
    let server = Server::start().await;
    let opening = SubscribeRequest {
        frame: Some(Sent::Open(open("group"))),
    };
    let opening = Bytes::from(opening.encode_to_vec());
    for bad in [
        &b""[..],
        b"\xff\xff\xff\xff",
        b"\x0a\x7fshort",
        b"\x0a\x04\x0a\x02\xff\xff",
    ] {
        for before in [vec![], vec![opening.clone()]] {
            let frames = before.into_iter().chain([Bytes::from_static(bad)]).collect::<Vec<_>>();
            let frames = tokio_stream::iter(frames).chain(tokio_stream::pending());
            let ended = async {
                let mut answers = server.raw_stream(SUBSCRIBE, frames).await?;
                while answers.message().await?.is_some() {}
                Ok(())
            };
            let ended = within("the end of the stream", ended).await;
            refused(ended, Code::InvalidArgument, "FRAME_UNEXPECTED");
        }
    }
}

#[tokio::test]
async fn a_stream_without_open_ends_when_the_client_says_no_more() {
    let server = Server::start().await;
    let ended = async {
        let mut answers = server.raw_stream(SUBSCRIBE, tokio_stream::empty()).await?;
        answers.message().await.map(|_| ())
    };
    refused(ended.await, Code::InvalidArgument, "FRAME_UNEXPECTED");
}

#[tokio::test]
async fn bad_frames_of_one_stream_are_not_felt_by_the_others() {
    let server = Server::start().await;
    server
        .publish((0..10).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let mut good = server.subscribe(open("group")).await;
    let got = good.deliveries(10).await;
    let bad = [Sent::Open(open("group")), Sent::Open(open("group"))];
    refused(end_of(&server, bad).await, Code::InvalidArgument, "FRAME_UNEXPECTED");
    good.ack(&got);
    good.close().await;
}

#[tokio::test]
async fn frames_that_are_not_built_are_refused_by_name() {
    let server = Server::start().await;
    let frame = Sent::Authenticate(Authenticate::default());
    let ended = end_of(&server, [Sent::Open(open("group")), frame]).await;
    let refusal = refused(ended, Code::Unimplemented, "NOT_SUPPORTED");
    assert!(refusal.message().contains("authenticate"), "{}", refusal.message());
}

#[tokio::test]
async fn nacks_that_break_their_rules_end_the_stream() {
    let server = Server::start().await;
    for nack in [
        Nack {
            delay: period(24 * 3_600, 1),
            ..Default::default()
        },
        Nack {
            delay: period(-1, 0),
            ..Default::default()
        },
        Nack {
            action: 99,
            ..Default::default()
        },
    ] {
        let ended = end_of(&server, [Sent::Open(open("group")), Sent::Nack(nack)]).await;
        refused(ended, Code::InvalidArgument, "REQUEST_INVALID");
    }
}
