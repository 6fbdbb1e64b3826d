//! Replies that are of no use: told to the client, never to the sender, and the stream goes on.

use tidings::proto::tidings::v1::{CommandFault, CommandFaultReason};

use super::*;
use crate::harness::status::refused;

async fn fault(stream: &mut Subscription) -> (String, CommandFaultReason) {
    let fault: CommandFault = stream
        .until("a fault of a reply", |frame| match frame {
            Frame::CommandFault(fault) => Some(fault),
            _ => None,
        })
        .await;
    (fault.command_id.clone(), fault.reason())
}

#[tokio::test]
async fn unknown_foreign_and_second_replies_change_nothing() {
    let server = Server::start().await;
    let mut one = server.subscribe(listening("group", "one")).await;
    let mut other = server.subscribe(listening("group", "other")).await;
    let call = send(&server, to_instance(&one, "version"));
    let command = one.command().await;
    let id = command.command_id.clone();
    other.reply_ok(&command);
    assert_eq!(fault(&mut other).await, (id.clone(), CommandFaultReason::Unknown));
    one.send(Sent::CommandReply(CommandReply {
        command_id: "ü".repeat(100_000),
        ..Default::default()
    }));
    assert_eq!(fault(&mut one).await, ("ü".repeat(100), CommandFaultReason::Unknown));
    one.reply_ok(&command);
    one.send(Sent::CommandReply(CommandReply {
        status: Some(tonic_types::pb::Status {
            code: 5,
            ..Default::default()
        }),
        ..reply(&command)
    }));
    assert_eq!(fault(&mut one).await, (id, CommandFaultReason::Repeated));
    assert_eq!(shown(&answers(call).await), [("one", OK.0, OK.1)]);
    // Both streams still work.
    let call = send(&server, to_group("group", "version"));
    for stream in [&mut one, &mut other] {
        let command = stream.command().await;
        stream.reply_ok(&command);
    }
    assert_eq!(answers(call).await.len(), 2);
}

#[tokio::test]
async fn whoever_does_not_answer_in_time_is_told_so_and_its_late_reply_is_too() {
    let server = Server::start().await;
    let mut quick = server.subscribe(listening("group", "quick")).await;
    let mut slow = server.subscribe(listening("group", "slow")).await;
    let request = SendCommandRequest {
        timeout: seconds(3),
        ..to_group("group", "restore")
    };
    let call = send(&server, request);
    let command = quick.command().await;
    quick.reply_ok(&command);
    let late = slow.command().await;
    let no_answer = ("slow", CommandOutcome::NoAnswer, Code::DeadlineExceeded);
    assert_eq!(shown(&answers(call).await), [("quick", OK.0, OK.1), no_answer]);
    slow.reply_ok(&late);
    assert_eq!(fault(&mut slow).await, (late.command_id, CommandFaultReason::Late));
}

#[tokio::test]
async fn a_reply_that_is_too_large_is_refused_and_a_smaller_one_counts() {
    let server = Server::start().await;
    let mut stream = server.subscribe(listening("group", "")).await;
    let call = send(&server, to_group("group", "restore"));
    let command = stream.command().await;
    let large = |bytes: usize| CommandReply {
        payload: Some(any("", vec![7; bytes])),
        ..reply(&command)
    };
    stream.send(Sent::CommandReply(large(256 * 1024 + 1)));
    assert_eq!(
        fault(&mut stream).await,
        (command.command_id.clone(), CommandFaultReason::TooLarge)
    );
    // Little by itself, and much as it is written.
    stream.send(Sent::CommandReply(CommandReply {
        status: Some(tonic_types::pb::Status {
            details: vec![any("", vec![7]); 100_000],
            ..Default::default()
        }),
        ..reply(&command)
    }));
    assert_eq!(
        fault(&mut stream).await,
        (command.command_id.clone(), CommandFaultReason::TooLarge)
    );
    stream.send(Sent::CommandReply(large(256 * 1024)));
    let told = answers(call).await;
    assert_eq!(told[0].payload, Some(any("", vec![7; 256 * 1024])));
}

#[tokio::test]
async fn a_long_message_is_cut_and_characters_of_all_kinds_come_through() {
    let server = Server::start().await;
    let mut stream = server.subscribe(listening("group", "ü\u{1}\"")).await;
    let call = send(&server, to_group("group", "restore"));
    let command = stream.command().await;
    let message = format!("\u{0}\u{7f}\"世{}", "x".repeat(5_000));
    stream.send(Sent::CommandReply(CommandReply {
        status: Some(tonic_types::pb::Status {
            code: 99,
            message: message.clone(),
            details: Vec::new(),
        }),
        ..reply(&command)
    }));
    let told = answers(call).await;
    let status = told[0].status.as_ref().expect("a status");
    let expected: String = message.chars().take(1_000).collect();
    assert_eq!((status.code, &status.message), (99, &expected));
    assert_eq!(label(&told[0]), "ü\u{1}\"");
}

#[tokio::test]
async fn a_reply_on_a_stream_without_commands_ends_it() {
    let server = Server::start().await;
    let mut stream = server.subscribe(open("group")).await;
    stream.send(Sent::CommandReply(CommandReply::default()));
    let ended = stream.end().await;
    let status = refused(ended, Code::InvalidArgument, "FRAME_UNEXPECTED");
    assert!(status.message().contains("commands"), "{}", status.message());
}

/// They are for those who are there when they are sent.
#[tokio::test]
async fn a_group_of_the_topic_of_commands_begins_at_its_end() {
    let server = Server::start().await;
    let mut stream = server.subscribe(listening("group", "")).await;
    let call = send(&server, to_group("group", "restore"));
    let command = stream.command().await;
    stream.reply_ok(&command);
    answers(call).await;
    let watching = Open {
        topics: vec!["tidings.commands".to_owned()],
        ..open("watching")
    };
    let opened = server.subscribe(watching).await.opened;
    assert!(opened.partitions[0].committed() > 0, "{opened:?}");
}
