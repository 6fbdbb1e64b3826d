//! Log lines: of calls with their ids, of streams with what came of them, and as severe as is asked for.

use nix::sys::signal::Signal;
use tidings::proto::tidings::v1::{ReadRequest, SubscribeRequest, subscribe_request::Frame};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tonic::Request;

use super::{TRACE, traceparent, tracing_to};
use crate::harness::{
    Server,
    clients::{ORDERS, open, order},
    collector::Collector,
    within,
};

/// What is no HTTP/2: the server says so where debug lines are written.
async fn send_nonsense(server: &Server) {
    let mut stream = TcpStream::connect(server.address()).await.expect("connect");
    stream
        .write_all(b"this is not HTTP/2, whatever else\r\n\r\n")
        .await
        .expect("send");
}

#[tokio::test]
async fn sighup_changes_how_severe_lines_must_be_and_a_faulty_file_does_not() {
    let server = Server::start_with("[telemetry]\nlog_level = 'info'\n").await;
    server.configure("[telemetry]\nlog_level = 'debug'\n");
    server.signal(Signal::SIGHUP);
    let changed = server.logged("SIGHUP: telemetry.log_level has changed").await;
    assert_eq!((&changed["from"], &changed["to"]), (&"Info".into(), &"Debug".into()));
    send_nonsense(&server).await;
    assert_eq!(server.logged("a connection failed").await["level"], "DEBUG");
    server.configure("[telemetry]\nlog_level = 'loud'\n");
    server.signal(Signal::SIGHUP);
    let faulty = server
        .logged("the configuration is no good; telemetry.log_level stays as it was")
        .await;
    assert_eq!(faulty["level"], "ERROR");
    assert!(
        faulty["error"].as_str().is_some_and(|error| error.contains("loud")),
        "{faulty}"
    );
}

#[tokio::test]
async fn lines_of_a_call_have_its_ids() {
    let collector = Collector::start().await;
    let server = tracing_to(&collector, "").await;
    let frame = SubscribeRequest {
        frame: Some(Frame::Open(open("billing"))),
    };
    let mut call = Request::new(tokio_stream::iter([frame]));
    let metadata = call.metadata_mut();
    metadata.insert("x-request-id", "order 66".parse().expect("ASCII"));
    let context = traceparent("00000000000000aa", "01");
    metadata.insert("traceparent", context.parse().expect("ASCII"));
    let answer = within("a stream", server.subscriber().subscribe(call))
        .await
        .expect("subscribe");
    assert_eq!(answer.metadata().get("x-request-id").expect("echoed"), "order 66");
    for line in ["stream opened", "stream closed"] {
        let line = server.logged(line).await;
        assert_eq!(
            (&line["span"]["request_id"], &line["span"]["trace_id"]),
            (&"order 66".into(), &TRACE.into())
        );
        assert_eq!(line["group"], "billing");
    }
}

#[tokio::test]
async fn a_read_is_told_when_it_ends_with_how_much_it_read_and_why_it_ended() {
    let server = Server::start().await;
    server.publish(vec![order("1", "a"), order("2", "b")]).await;
    assert_eq!(server.read_all(ORDERS).await.len(), 2);
    let opened = server.logged("stream opened").await;
    assert_eq!(opened["method"], "tidings.v1.SubscriberService/Read");
    let closed = server.logged("stream closed").await;
    assert_eq!(
        (&closed["events"], &closed["reason"]),
        (&2.into(), &"OK".into()),
        "{closed}"
    );

    let following = Server::start().await;
    following.publish(vec![order("1", "a")]).await;
    let request = ReadRequest {
        topics: vec![ORDERS.to_owned()],
        follow: true,
        ..Default::default()
    };
    drop(following.read(request).await.expect("read"));
    assert_eq!(following.logged("stream closed").await["reason"], "CANCELLED");
}
