//! Streams that break while they have events.

use bytes::{Buf as _, BytesMut};
use prost::Message as _;
use tidings::proto::tidings::v1::{SubscribeRequest, SubscribeResponse, subscribe_response::Frame};

use super::*;
use crate::harness::{wire::Connection, within};

/// A client that has got so many events when its connection breaks.
pub(crate) async fn break_over(server: &Server, events: usize) -> Vec<Delivery> {
    let connection = Connection::open(server).await;
    let mut call = connection.call("/tidings.v1.SubscriberService/Subscribe", &[]).await;
    call.send(&SubscribeRequest {
        frame: Some(Sent::Open(open("group"))),
    });
    let (_sending, mut body) = call.begun().await;
    let (mut read, mut got) = (BytesMut::new(), Vec::new());
    while got.len() < events {
        let more = within("deliveries", body.data()).await.expect("more").expect("data");
        read.extend_from_slice(&more);
        while let Some(message) = next_message(&mut read) {
            if let Some(Frame::Deliveries(deliveries)) = message.frame {
                got.extend(deliveries.deliveries);
            }
        }
    }
    drop(connection);
    got
}

fn next_message(read: &mut BytesMut) -> Option<SubscribeResponse> {
    let length = read.get(1..5)?.try_into().ok()?;
    let length = u32::from_be_bytes(length) as usize;
    if read.len() < 5 + length {
        return None;
    }
    read.advance(5);
    Some(SubscribeResponse::decode(read.split_to(length)).expect("a message"))
}

/// It may be the event that breaks them.
#[tokio::test]
async fn an_event_that_two_streams_broke_over_is_sent_alone() {
    let server = with_one_partition("").await;
    server
        .publish((0..5).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    for attempt in 1..=2 {
        let got = break_over(&server, 5).await;
        let told: Vec<_> = got
            .iter()
            .map(|delivery| (delivery.attempt, delivery.failures))
            .collect();
        assert_eq!(told, [(attempt, 0); 5]);
    }
    let mut stream = server.subscribe(open("group")).await;
    for n in 0..5 {
        let alone = stream.deliveries(1).await;
        assert_eq!((ids(&alone), alone[0].attempt), (vec![n.to_string()], 3));
        stream.ack(&alone);
    }
}

#[tokio::test]
async fn closing_counts_as_no_break() {
    let server = with_one_partition("").await;
    server
        .publish((0..5).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    for _ in 0..3 {
        let mut stream = server.subscribe(open("group")).await;
        stream.deliveries(5).await;
        stream.close().await;
    }
    let mut stream = server.subscribe(open("group")).await;
    assert_eq!(stream.deliveries(5).await.len(), 5, "together");
}
