//! Streams and servers that end: what was given is told as gone, and nothing is ever given again.

use nix::sys::signal::Signal;
use tidings::proto::tidings::v1::Close;

use super::*;
use crate::harness::status::refused;

const GONE: (CommandOutcome, Code) = (CommandOutcome::Gone, Code::Unavailable);

#[tokio::test]
async fn instances_that_end_before_they_answer_are_told_at_once() {
    let server = Server::start().await;
    let mut broken = server.subscribe(listening("group", "broken")).await;
    let mut closed = server.subscribe(listening("group", "closed")).await;
    let call = send(
        &server,
        SendCommandRequest {
            timeout: seconds(600),
            ..to_group("group", "restore")
        },
    );
    broken.command().await;
    closed.command().await;
    drop(broken);
    closed.close().await;
    assert_eq!(
        shown(&answers(call).await),
        [("broken", GONE.0, GONE.1), ("closed", GONE.0, GONE.1)]
    );
}

#[tokio::test]
async fn a_stream_that_closes_gets_no_more_and_may_answer_what_it_has() {
    let server = Server::start().await;
    let mut stream = server.subscribe(listening("group", "closing")).await;
    let first = send(&server, to_group("group", "restore"));
    let command = stream.command().await;
    stream.send(Sent::Close(Close {}));
    // Behind the close, and in order: this has been taken when its fault is there.
    stream.send(Sent::CommandReply(CommandReply::default()));
    stream
        .until("a fault", |frame| matches!(frame, Frame::CommandFault(_)).then_some(()))
        .await;
    let call = send(&server, to_group("group", "version"));
    let not_delivered = ("closing", CommandOutcome::NotDelivered, Code::Unavailable);
    assert_eq!(shown(&answers(call).await), [not_delivered]);
    stream.reply_ok(&command);
    assert_eq!(shown(&answers(first).await), [("closing", OK.0, OK.1)]);
}

#[tokio::test]
async fn a_stream_that_opens_later_gets_nothing_that_was_sent_before() {
    let server = Server::start().await;
    let mut early = server.subscribe(listening("group", "early")).await;
    let call = send(&server, to_group("group", "restore"));
    let command = early.command().await;
    let mut late = server.subscribe(listening("group", "late")).await;
    early.reply_ok(&command);
    assert_eq!(shown(&answers(call).await), [("early", OK.0, OK.1)]);
    let call = send(&server, to_instance(&late, "version"));
    let command = late.command().await;
    assert_eq!(command.name, "version");
    late.reply_ok(&command);
    answers(call).await;
}

#[tokio::test]
async fn a_server_that_is_killed_and_started_again_gives_no_command_again() {
    let mut server = Server::start().await;
    let mut stream = server.subscribe(listening("group", "")).await;
    let call = send(
        &server,
        SendCommandRequest {
            timeout: seconds(3_600),
            ..to_group("group", "reset")
        },
    );
    assert_eq!(stream.command().await.name, "reset");
    server.kill().await;
    drop(stream);
    within("the end of the call", call)
        .await
        .expect("a call")
        .expect_err("the server is dead");
    let server = server.restart().await;
    let mut stream = server.subscribe(listening("group", "")).await;
    let call = send(&server, to_group("group", "version"));
    // Its time is not over, and it lies before this one.
    let command = stream.command().await;
    assert_eq!(command.name, "version");
    stream.reply_ok(&command);
    assert_eq!(answers(call).await.len(), 1);
}

#[tokio::test]
async fn calls_end_when_the_server_stops_and_instances_may_answer_until_their_streams_end() {
    let mut server = Server::start().await;
    server.publish(vec![order("1", "a")]).await;
    let mut stream = server.subscribe(listening("group", "")).await;
    // What it has not acked keeps the stream open while the server drains.
    let held = stream.deliveries(1).await;
    let call = send(&server, to_group("group", "restore"));
    let command = stream.command().await;
    server.signal(Signal::SIGTERM);
    refused(end_of(call).await, Code::Unavailable, "DRAINING");
    stream.reply_ok(&command);
    stream.reply_ok(&command);
    let is_repeated = |frame| matches!(frame, Frame::CommandFault(fault) if fault.reason == 3).then_some(());
    stream.until("that the first reply counted", is_repeated).await;
    stream.ack(&held);
    refused(stream.end().await, Code::Unavailable, "DRAINING");
    assert!(server.ended().await.success());
}
