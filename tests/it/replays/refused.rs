//! Replays that are refused, and why.

use tidings::proto::tidings::v1::{
    End, GetReplayRequest, Start, StartReplayRequest, StopReplayRequest, end::Until, start::At,
};
use tonic::Code;

use super::{at, caught_up, everything, show, start, stop, try_start};
use crate::harness::{
    clients::ORDERS,
    status::{fields, reason_of, refused, resource},
};

fn from(at: At) -> Option<Start> {
    Some(Start { at: Some(at) })
}

fn until(until: Until) -> Option<End> {
    Some(End { until: Some(until) })
}

fn second(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

#[tokio::test]
async fn what_cannot_be_replayed_is_named_with_its_field() {
    let (server, _stream) = caught_up(5).await;
    let all = everything;
    let cases: [(StartReplayRequest, &str); 16] = [
        (
            StartReplayRequest {
                reason: " ".to_owned(),
                ..all()
            },
            "reason",
        ),
        (
            StartReplayRequest {
                reason: "r".repeat(1_001),
                ..all()
            },
            "reason",
        ),
        (
            StartReplayRequest {
                request_id: "q".repeat(129),
                ..all()
            },
            "request_id",
        ),
        (
            StartReplayRequest {
                max_events_per_second: -1.0,
                ..all()
            },
            "max_events_per_second",
        ),
        (
            StartReplayRequest {
                max_events_per_second: f64::NAN,
                ..all()
            },
            "max_events_per_second",
        ),
        (
            StartReplayRequest {
                topics: vec![ORDERS.to_owned(), "other".to_owned()],
                ..all()
            },
            "topics[1]",
        ),
        (
            StartReplayRequest {
                topics: vec!["none.*".to_owned()],
                ..all()
            },
            "topics[0]",
        ),
        (
            StartReplayRequest {
                topics: vec!["a b".to_owned()],
                ..all()
            },
            "topics[0]",
        ),
        (
            StartReplayRequest {
                start: from(At::Committed(Default::default())),
                ..all()
            },
            "start",
        ),
        (
            StartReplayRequest {
                start: from(At::Positions(at(0, 6))),
                ..all()
            },
            "start.positions[0]",
        ),
        (
            StartReplayRequest {
                start: from(At::Positions(at(0, -1))),
                ..all()
            },
            "start.positions[0]",
        ),
        (
            StartReplayRequest {
                end: until(Until::Positions(at(0, 6))),
                ..all()
            },
            "end.positions[0]",
        ),
        (
            StartReplayRequest {
                end: until(Until::Positions(at(7, 1))),
                ..all()
            },
            "end.positions[0]",
        ),
        (
            StartReplayRequest {
                start: from(At::Positions(at(0, 4))),
                end: until(Until::Positions(at(0, 3))),
                ..all()
            },
            "end",
        ),
        (
            StartReplayRequest {
                start: from(At::Time(second(2))),
                end: until(Until::Time(second(1))),
                ..all()
            },
            "end.time",
        ),
        (
            StartReplayRequest {
                start: from(At::Positions(Default::default())),
                ..all()
            },
            "start",
        ),
    ];
    for (request, field) in cases {
        let status = try_start(&server, request.clone()).await.expect_err(field);
        assert_eq!(
            (status.code(), fields(&status)),
            (Code::InvalidArgument, vec![field.to_owned()]),
            "{request:?}"
        );
    }
    let filter = StartReplayRequest {
        filter: Some(Default::default()),
        ..all()
    };
    refused(
        try_start(&server, filter).await,
        Code::InvalidArgument,
        "FILTER_INVALID",
    );
    let snapshot = StartReplayRequest {
        start: from(At::Snapshot("s".to_owned())),
        ..all()
    };
    refused(try_start(&server, snapshot).await, Code::Unimplemented, "NOT_SUPPORTED");
    let unknown = StartReplayRequest {
        group: "nobody".to_owned(),
        ..all()
    };
    refused(try_start(&server, unknown).await, Code::NotFound, "GROUP_NOT_FOUND");
    let nameless = StartReplayRequest {
        group: "a/b".to_owned(),
        ..all()
    };
    refused(
        try_start(&server, nameless).await,
        Code::InvalidArgument,
        "GROUP_INVALID",
    );
}

#[tokio::test]
async fn a_group_has_one_at_a_time_and_the_same_request_gets_the_same() {
    let (server, _stream) = caught_up(5).await;
    let request = StartReplayRequest {
        request_id: "once".to_owned(),
        ..everything()
    };
    let first = start(&server, request.clone()).await;
    assert_eq!(start(&server, request.clone()).await.id, first.id);
    let second = refused(
        try_start(&server, everything()).await,
        Code::FailedPrecondition,
        "REPLAY_ACTIVE",
    );
    assert_eq!(resource(&second), first.id);
    let reused = StartReplayRequest {
        reason: "another".to_owned(),
        ..request.clone()
    };
    assert_eq!(
        fields(&try_start(&server, reused).await.expect_err("reused")),
        ["request_id"]
    );
    stop(&server, &first.id).await;
    let over = try_start(&server, request).await.expect("the same");
    assert_eq!(over, show(&server, &first.id).await, "also once it is over");
}

#[tokio::test]
async fn what_is_not_there_is_not_shown_or_stopped() {
    let (server, _stream) = caught_up(1).await;
    let request = GetReplayRequest {
        replay_id: "nothing".to_owned(),
    };
    let missing = server.replays().get_replay(request).await.expect_err("nothing");
    assert_eq!(reason_of(&missing), "REPLAY_NOT_FOUND");
    let stop = |id: &str, reason: &str| StopReplayRequest {
        replay_id: id.to_owned(),
        reason: reason.to_owned(),
        request_id: String::new(),
    };
    let missing = server
        .replays()
        .stop_replay(stop("nothing", "why"))
        .await
        .expect_err("nothing");
    assert_eq!(reason_of(&missing), "REPLAY_NOT_FOUND");
    let groundless = server
        .replays()
        .stop_replay(stop("nothing", ""))
        .await
        .expect_err("no reason");
    assert_eq!(fields(&groundless), ["reason"]);
}
