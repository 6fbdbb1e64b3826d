//! SIGTERM: what is under way ends well, and everybody is told.

use tidings::proto::{
    io::cloudevents::v1::cloud_event::Data,
    tidings::v1::{
        PublishStreamRequest, ReadRequest, publish_stream_response::Result as Answer, subscribe_response::Frame,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::harness::{
    Server,
    clients::{ORDERS, Subscription, ids, open, order, request},
    status::{has_retry_info, refused},
    within,
};

fn terminate(server: &Server) {
    server.signal(nix::sys::signal::Signal::SIGTERM);
}

async fn drained(stream: &mut Subscription) {
    stream
        .until("the drain", |frame| match frame {
            Frame::Drain(drain) => {
                assert!(drain.deadline.expect("a deadline").seconds >= 1);
                Some(())
            }
            Frame::Deliveries(more) => panic!("{more:?}"),
            _ => None,
        })
        .await;
}

#[tokio::test]
async fn streams_are_told_and_acks_after_it_still_count() {
    let server = Server::start().await;
    server
        .publish((0..10).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(10).await;
    terminate(&server);
    drained(&mut stream).await;
    stream.ack(&got);
    let status = refused(stream.end().await, Code::Unavailable, "DRAINING");
    assert!(has_retry_info(&status));
    let mut server = server;
    assert!(server.ended().await.success());
    let server = server.restart().await;
    let again = server.subscribe(open("group")).await;
    assert!(
        again.opened.partitions.iter().all(|row| row.committed == Some(row.end)),
        "{:?}",
        again.opened
    );
}

#[tokio::test]
async fn what_is_not_acked_in_time_is_delivered_by_the_next_server() {
    let mut server = Server::start_with("[server]\ndrain_timeout = \"1s\"\n").await;
    server.publish(vec![order("1", "a"), order("2", "b")]).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(2).await;
    terminate(&server);
    drained(&mut stream).await;
    stream.ack(&got[..1]);
    refused(stream.end().await, Code::Unavailable, "DRAINING");
    assert!(server.ended().await.success());
    let server = server.restart().await;
    let again = server.subscribe(open("group")).await.deliveries(1).await;
    assert_eq!(ids(&again), ids(&got[1..]));
}

#[tokio::test]
async fn an_idle_server_stops_at_once_with_its_idle_streams() {
    let mut server = Server::start().await;
    let mut stream = server.subscribe(open("group")).await;
    let request = ReadRequest {
        topics: vec![ORDERS.to_owned()],
        follow: true,
        ..Default::default()
    };
    let reading = server.read(request).await.expect("read");
    let began = std::time::Instant::now();
    terminate(&server);
    let status = refused(stream.end().await, Code::Unavailable, "DRAINING");
    assert!(has_retry_info(&status));
    let status = refused(reading.rest().await, Code::Unavailable, "DRAINING");
    assert!(has_retry_info(&status));
    assert!(server.ended().await.success());
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_publish_under_way_completes() {
    let mut server = Server::start().await;
    server.publish(vec![order("warm", "a")]).await;
    let large = |n: usize| {
        let mut event = order(&n.to_string(), "a");
        event.data = Some(Data::TextData("x".repeat(100_000)));
        event
    };
    let calls: Vec<_> = (0..20)
        .map(|n| {
            let mut publisher = server.publisher();
            tokio::spawn(async move { publisher.publish(request([large(n)])).await.map(|_| n) })
        })
        .collect();
    let mut told = Vec::new();
    let mut calls = calls.into_iter();
    told.push(calls.next().expect("a call").await.expect("a call"));
    terminate(&server);
    for call in calls {
        told.push(within("an answer", call).await.expect("a call"));
    }
    assert!(server.ended().await.success());
    let server = server.restart().await;
    let there: Vec<_> = server
        .read_all(ORDERS)
        .await
        .into_iter()
        .map(|read| read.event.expect("set").id)
        .collect();
    for n in told.into_iter().flatten() {
        assert!(there.contains(&n.to_string()), "{n} was answered OK");
    }
}

#[tokio::test]
async fn a_publish_stream_ends_when_the_server_stops_and_what_it_had_is_answered() {
    let mut server = Server::start_with("[server]\ndrain_timeout = \"2s\"\n").await;
    let (sender, receiver) = mpsc::channel(100);
    let answers = server.publisher().publish_stream(ReceiverStream::new(receiver)).await;
    let mut answers = answers.expect("a stream").into_inner();
    for sequence in 1..=20 {
        let publish = PublishStreamRequest {
            sequence,
            publish: Some(request([order(&sequence.to_string(), "a")])),
            timeout: None,
        };
        sender.send(publish).await.expect("room");
    }
    for _ in 0..20 {
        let answer = within("an answer", answers.message())
            .await
            .expect("no error")
            .expect("an answer");
        assert!(matches!(answer.result, Some(Answer::Response(_))));
    }
    terminate(&server);
    // The client holds its side open: it is told to come back, and does not keep the server.
    let status = refused(
        within("the end", answers.message()).await,
        Code::Unavailable,
        "DRAINING",
    );
    assert!(has_retry_info(&status));
    assert!(server.ended().await.success());
    drop(sender);
}
