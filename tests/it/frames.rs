//! Bad frames and fields: each ends its own stream with a reason, and no other.

use bytes::Bytes;
use prost::Message as _;
use tidings::proto::tidings::v1::{
    Action, Authenticate, CommandReply, Credit, Extend, Filter, Nack, Open, Retry, Start, SubscribeRequest,
    Undecodable, filter::Dialect, start::At, subscribe_request::Frame as Sent,
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
async fn fields_of_open_that_break_their_rules_are_named() {
    let server = Server::start().await;
    let cases: [(&str, &str, Open); 11] = [
        (
            "REQUEST_INVALID",
            "open.heartbeat_interval",
            Open {
                heartbeat_interval: period(0, 500_000_000),
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.heartbeat_interval",
            Open {
                heartbeat_interval: period(61, 0),
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.heartbeat_interval",
            Open {
                heartbeat_interval: period(-1, 0),
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.max_frame_bytes",
            Open {
                max_frame_bytes: 1_000,
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.max_frame_bytes",
            Open {
                max_frame_bytes: -1,
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.client_id",
            Open {
                client_id: "c".repeat(201),
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.on_gap",
            Open {
                on_gap: 99,
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.on_conflict",
            Open {
                on_conflict: 99,
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.credit_mode",
            Open {
                credit_mode: 99,
                ..open("g")
            },
        ),
        (
            "REQUEST_INVALID",
            "open.topics",
            Open {
                topics: vec![],
                ..open("new")
            },
        ),
        (
            "TOPIC_INVALID",
            "open.topics[1]",
            Open {
                topics: vec!["fine".into(), "a/b".into()],
                ..open("g")
            },
        ),
    ];
    for (reason, field, open) in cases {
        let refusal = refused(end_of_open(&server, open).await, Code::InvalidArgument, reason);
        assert_eq!(fields(&refusal), [field]);
    }
}

#[tokio::test]
async fn group_names_against_the_rule_are_refused() {
    let server = Server::start().await;
    for name in ["", "a b", "a/b", "ä", &"g".repeat(201)] {
        refused(
            end_of_open(&server, open(name)).await,
            Code::InvalidArgument,
            "GROUP_INVALID",
        );
    }
    server.subscribe(open(&"g".repeat(200))).await;
    server.subscribe(open("Group._-1")).await;
}

#[tokio::test]
async fn fields_of_open_that_are_not_built_are_refused_by_name() {
    let server = Server::start().await;
    let filter = Filter {
        dialect: Some(Dialect::Cesql("true".into())),
    };
    let start = |at| Some(Start { at: Some(at) });
    for (named, open) in [
        (
            "filter",
            Open {
                filter: Some(filter),
                ..open("g")
            },
        ),
        (
            "filter",
            Open {
                filter: Some(Filter::default()),
                ..open("g")
            },
        ),
        (
            "lease",
            Open {
                lease: period(30, 0),
                ..open("g")
            },
        ),
        (
            "retry",
            Open {
                retry: Some(Retry::default()),
                ..open("g")
            },
        ),
        (
            "commands",
            Open {
                commands: true,
                ..open("g")
            },
        ),
        (
            "DEAD_LETTER",
            Open {
                undecodable: Undecodable::DeadLetter.into(),
                ..open("g")
            },
        ),
        (
            "snapshot",
            Open {
                start: start(At::Snapshot("s".into())),
                ..open("g")
            },
        ),
        (
            "checkpoint",
            Open {
                start: start(At::Checkpoint("c".into())),
                ..open("g")
            },
        ),
        (
            "orders.*",
            Open {
                topics: vec!["orders.*".into()],
                ..open("g")
            },
        ),
        (
            "re:orders",
            Open {
                topics: vec!["re:orders".into()],
                ..open("g")
            },
        ),
    ] {
        let refusal = refused(end_of_open(&server, open).await, Code::Unimplemented, "NOT_SUPPORTED");
        assert!(refusal.message().contains(named), "{named}: {}", refusal.message());
    }
}

#[tokio::test]
async fn frames_that_are_not_built_are_refused_by_name() {
    let server = Server::start().await;
    let dead_letter = Nack {
        action: Action::DeadLetter.into(),
        ..Default::default()
    };
    for (named, frame) in [
        ("extend", Sent::Extend(Extend::default())),
        ("authenticate", Sent::Authenticate(Authenticate::default())),
        ("command_reply", Sent::CommandReply(CommandReply::default())),
        ("DEAD_LETTER", Sent::Nack(dead_letter)),
    ] {
        let ended = end_of(&server, [Sent::Open(open("group")), frame]).await;
        let refusal = refused(ended, Code::Unimplemented, "NOT_SUPPORTED");
        assert!(refusal.message().contains(named), "{named}: {}", refusal.message());
    }
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
