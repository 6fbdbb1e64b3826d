//! Commands over several replicas: any of them sends to all, whoever dies or is away.

use std::time::Instant;

use nix::sys::signal::Signal;
use tidings::proto::tidings::v1::{CommandOutcome, SendCommandRequest};
use tonic::Code;

use super::CONFIG;
use crate::{
    commands::{OK, answers, end_of, listening, seconds, send, shown, to_group, to_instance},
    harness::{SOON, Server, eventually, kafka::Broker, status::refused, within},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_on_all_replicas_get_it_through_one_that_has_none() {
    let one = Server::start_with(CONFIG).await;
    let (two, idle) = (one.replica().await, one.replica().await);
    let mut first = one.subscribe(listening("group", "first")).await;
    let mut second = two.subscribe(listening("group", "second")).await;
    let mut third = two.subscribe(listening("group", "third")).await;
    for server in [&idle, &one, &two] {
        let call = send(server, to_group("group", "version"));
        for stream in [&mut first, &mut second, &mut third] {
            let command = stream.command().await;
            stream.reply_ok(&command);
        }
        let told = answers(call).await;
        assert_eq!(
            shown(&told),
            ["first", "second", "third"].map(|label| (label, OK.0, OK.1))
        );
    }
    let call = send(&idle, to_instance(&second, "health_check"));
    let command = second.command().await;
    assert_eq!(command.name, "health_check");
    second.reply_ok(&command);
    assert_eq!(shown(&answers(call).await), [("second", OK.0, OK.1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_has_just_opened_on_another_replica_is_told_too() {
    let one = Server::start_with(CONFIG).await;
    let two = one.replica().await;
    let mut streams = vec![one.subscribe(listening("group", "0")).await];
    for round in 1..4 {
        let server = [&one, &two][round % 2];
        let sender = [&two, &one][round % 2];
        streams.push(server.subscribe(listening("group", &round.to_string())).await);
        let call = send(sender, to_group("group", "version"));
        for stream in &mut streams {
            let command = stream.command().await;
            stream.reply_ok(&command);
        }
        assert_eq!(answers(call).await.len(), round + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_of_a_replica_that_stops_or_dies_are_gone_long_before_the_time_is_over() {
    let one = Server::start_with(CONFIG).await;
    let (mut stopping, mut dying) = (one.replica().await, one.replica().await);
    let mut first = stopping.subscribe(listening("group", "stopping")).await;
    let mut second = dying.subscribe(listening("group", "dying")).await;
    let request = SendCommandRequest {
        timeout: seconds(600),
        ..to_group("group", "restore")
    };
    let began = Instant::now();
    let call = send(&one, request);
    first.command().await;
    second.command().await;
    assert!(stopping.stop().await.success());
    dying.kill().await;
    let gone = CommandOutcome::Gone;
    // A replica that gives no sign of life is believed for 15 s.
    eventually(2 * SOON, "all answers", async || call.is_finished().then_some(())).await;
    assert_eq!(
        shown(&answers(call).await),
        [
            ("dying", gone, Code::Unavailable),
            ("stopping", gone, Code::Unavailable)
        ]
    );
    assert!(began.elapsed() < 2 * SOON);
    // Nothing of it comes again.
    let again = stopping.restart().await;
    let mut stream = again.subscribe(listening("group", "again")).await;
    let call = send(&one, to_group("group", "version"));
    let command = stream.command().await;
    assert_eq!(command.name, "version");
    stream.reply_ok(&command);
    assert_eq!(shown(&answers(call).await), [("again", OK.0, OK.1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_was_frozen_past_the_time_is_named_and_gives_the_command_to_nobody() {
    let one = Server::start_with(CONFIG).await;
    let frozen = one.replica().await;
    let mut here = one.subscribe(listening("group", "here")).await;
    let mut there = frozen.subscribe(listening("group", "there")).await;
    frozen.signal(Signal::SIGSTOP);
    let request = SendCommandRequest {
        timeout: seconds(4),
        ..to_group("group", "reset")
    };
    let call = send(&one, request);
    let command = here.command().await;
    here.reply_ok(&command);
    let status = refused(end_of(call).await, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert!(
        status.message().contains(&there.opened.replica_id),
        "{}",
        status.message()
    );
    frozen.signal(Signal::SIGCONT);
    let call = send(&one, to_instance(&there, "version"));
    let command = there.command().await;
    assert_eq!(command.name, "version");
    there.reply_ok(&command);
    assert_eq!(shown(&answers(call).await), [("there", OK.0, OK.1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_come_again_when_the_broker_is_back_and_none_whose_time_was_over() {
    let mut broker = Broker::start(&[]).await;
    let server = Server::start_on(&broker, CONFIG).await;
    let mut stream = server.subscribe(listening("group", "one")).await;
    let call = send(&server, to_group("group", "version"));
    let command = stream.command().await;
    stream.reply_ok(&command);
    assert_eq!(shown(&answers(call).await), [("one", OK.0, OK.1)]);
    broker.stop().await;
    let brief = |name| SendCommandRequest {
        timeout: seconds(2),
        ..to_group("group", name)
    };
    end_of(send(&server, brief("reset")))
        .await
        .expect_err("there is no broker");
    broker.start_again().await;
    // What was left on its way to the broker may lie on the log by now, and is void.
    tokio::spawn(async move {
        loop {
            let command = stream.command().await;
            assert_eq!(command.name, "version");
            stream.reply_ok(&command);
        }
    });
    eventually(3 * SOON, "an answer", async || {
        let told = within("the answers", send(&server, brief("version")))
            .await
            .expect("a call");
        (shown(&told.ok()?) == [("one", OK.0, OK.1)]).then_some(())
    })
    .await;
}
