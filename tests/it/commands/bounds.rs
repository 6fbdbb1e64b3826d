//! What is bounded: large commands, streams that do not read or answer, calls that wait.

use std::time::Duration;

use super::*;
use crate::harness::{
    SOON, eventually,
    status::{has_retry_info, refused},
};

const BUSY: (CommandOutcome, Code) = (CommandOutcome::NotDelivered, Code::ResourceExhausted);

fn large(bytes: usize) -> SendCommandRequest {
    SendCommandRequest {
        payload: Some(any("", vec![1; bytes])),
        ..to_group("group", "restore")
    }
}

#[tokio::test]
async fn the_largest_command_comes_through_and_a_client_that_takes_less_is_told_apart() {
    let server = Server::start().await;
    let mut able = server.subscribe(listening("group", "able")).await;
    let small = Open {
        max_frame_bytes: 64 * 1024,
        ..listening("group", "small")
    };
    let mut small = server.subscribe(small).await;
    let call = send(&server, large(256 * 1024));
    let command = able.command().await;
    assert_eq!(command.payload.as_ref().map(|any| any.value.len()), Some(256 * 1024));
    able.reply_ok(&command);
    assert_eq!(
        shown(&answers(call).await),
        [("able", OK.0, OK.1), ("small", BUSY.0, BUSY.1)]
    );
    let call = send(&server, large(32 * 1024));
    for stream in [&mut able, &mut small] {
        let command = stream.command().await;
        stream.reply_ok(&command);
    }
    assert_eq!(answers(call).await.len(), 2);
}

#[tokio::test]
async fn where_events_must_be_small_so_must_commands() {
    let server = Server::start_with("[limits]\nmax_event_bytes = \"96KiB\"\n").await;
    let mut stream = server.subscribe(listening("group", "")).await;
    refused(
        end_of(send(&server, large(60 * 1024 + 1))).await,
        Code::InvalidArgument,
        "REQUEST_INVALID",
    );
    let call = send(&server, large(60 * 1024));
    let command = stream.command().await;
    stream.send(Sent::CommandReply(CommandReply {
        payload: Some(any("", vec![2; 60 * 1024])),
        ..reply(&command)
    }));
    assert_eq!(answers(call).await[0].payload, Some(any("", vec![2; 60 * 1024])));
}

#[tokio::test]
async fn a_stream_that_does_not_read_loses_commands_and_holds_no_other_up() {
    let server = Server::start().await;
    let _deaf = server.subscribe(listening("group", "deaf")).await;
    let mut good = server.subscribe(listening("group", "good")).await;
    tokio::spawn(async move {
        loop {
            let command = good.command().await;
            good.reply_ok(&command);
        }
    });
    let request = SendCommandRequest {
        timeout: seconds(600),
        ..large(250_000)
    };
    let send_until_one_is_lost = async {
        loop {
            let mut answers = begin(&server, request.clone()).await.expect("sent");
            let first = within("an answer", answers.message())
                .await
                .expect("well")
                .expect("one");
            if label(&first) == "deaf" {
                return (first, answers);
            }
        }
    };
    let (lost, mut others) = within("a command that is not delivered", send_until_one_is_lost).await;
    assert_eq!(shown(&[lost]), [("deaf", BUSY.0, BUSY.1)]);
    let other = within("an answer", others.message()).await.expect("well").expect("one");
    assert_eq!(shown(&[other]), [("good", OK.0, OK.1)]);
    assert_eq!(within("the end", others.message()).await.expect("well"), None);
}

#[tokio::test]
async fn a_stream_that_answers_nothing_gets_no_more_than_sixty_four() {
    let server = Server::start().await;
    let mut stream = server.subscribe(listening("group", "silent")).await;
    let mut commands = Vec::new();
    for _ in 0..64 {
        // Whoever sends need not wait.
        drop(begin(&server, to_group("group", "restore")).await.expect("sent"));
        commands.push(stream.command().await);
    }
    let call = send(&server, to_group("group", "restore"));
    assert_eq!(shown(&answers(call).await), [("silent", BUSY.0, BUSY.1)]);
    stream.reply_ok(&commands[10]);
    eventually(SOON, "one more", async || {
        let request = SendCommandRequest {
            timeout: seconds(1),
            ..to_group("group", "version")
        };
        let told = answers(send(&server, request)).await;
        (told[0].outcome() == CommandOutcome::NoAnswer).then_some(())
    })
    .await;
    assert_eq!(stream.command().await.name, "version");
}

#[tokio::test]
async fn calls_that_wait_are_bounded_and_one_that_is_cancelled_makes_room() {
    let server = Server::start_with("[commands]\noutstanding = 1\n").await;
    let mut stream = server.subscribe(listening("group", "")).await;
    let waiting = begin(&server, to_group("group", "restore")).await.expect("sent");
    stream.command().await;
    let refusal = end_of(send(&server, to_group("group", "restore"))).await;
    let status = refused(refusal, Code::ResourceExhausted, "LIMIT");
    assert!(has_retry_info(&status) && status.message().contains("commands.outstanding"));
    drop(waiting);
    eventually(SOON, "room for a call", || async {
        begin(&server, to_group("group", "version")).await.ok().map(|_| ())
    })
    .await;
    assert_eq!(stream.command().await.name, "version");
}

#[tokio::test]
async fn a_shorter_deadline_of_the_call_counts_and_every_answer_comes_before_it() {
    let server = Server::start().await;
    let mut stream = server.subscribe(listening("group", "slow")).await;
    let mut request = tonic::Request::new(SendCommandRequest {
        timeout: seconds(600),
        ..to_group("group", "restore")
    });
    request.set_timeout(Duration::from_secs(4));
    let call = within("the answers", server.commands().send_command(request)).await;
    let mut call = call.expect("sent").into_inner();
    stream.command().await;
    let answer = within("an answer", call.message()).await.expect("well");
    let answer = [answer.expect("an answer")];
    assert_eq!(
        shown(&answer),
        [("slow", CommandOutcome::NoAnswer, Code::DeadlineExceeded)]
    );
    assert_eq!(within("the end", call.message()).await.expect("well"), None);
}
