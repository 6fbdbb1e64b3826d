//! Replays that are refused, and why.

use tidings::proto::tidings::v1::{
    End, GetReplayRequest, Start, StartReplayRequest, StopReplayRequest, end::Until, start::At,
};
use tonic::Code;

use super::{at, catch_up, caught_up, everything, show, start, stop, try_start};
use crate::{
    harness::{
        Server,
        clients::ORDERS,
        status::{fields, reason_of, refused, resource},
    },
    resets::create,
    state::Store,
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

/// Everything, but for this change.
fn with(change: impl FnOnce(&mut StartReplayRequest)) -> StartReplayRequest {
    let mut request = everything();
    change(&mut request);
    request
}

/// Fails unless each is refused for the field that it is with.
async fn all_refused(server: &Server, cases: impl IntoIterator<Item = (&str, StartReplayRequest)>) {
    for (field, request) in cases {
        let status = try_start(server, request.clone()).await.expect_err(field);
        let named = (status.code(), fields(&status));
        assert_eq!(named, (Code::InvalidArgument, vec![field.to_owned()]), "{request:?}");
    }
}

#[tokio::test]
async fn a_snapshot_that_is_not_there_is_no_start() {
    let store = Store::new();
    let server = store.serve().await;
    create(&server, 1).await;
    let _stream = catch_up(&server, 0).await;
    let snapshot = with(|request| request.start = from(At::Snapshot("s".to_owned())));
    refused(try_start(&server, snapshot).await, Code::NotFound, "SNAPSHOT_NOT_FOUND");
}

#[tokio::test]
async fn what_is_no_request_for_a_replay_is_named_with_its_field() {
    let (server, _stream) = caught_up(5).await;
    let cases = [
        ("reason", with(|request| request.reason = " ".to_owned())),
        ("reason", with(|request| request.reason = "r".repeat(1_001))),
        ("request_id", with(|request| request.request_id = "q".repeat(129))),
        (
            "max_events_per_second",
            with(|request| request.max_events_per_second = -1.0),
        ),
        (
            "max_events_per_second",
            with(|request| request.max_events_per_second = f64::NAN),
        ),
        (
            "topics[1]",
            with(|request| request.topics = vec![ORDERS.to_owned(), "other".to_owned()]),
        ),
        ("topics[0]", with(|request| request.topics = vec!["none.*".to_owned()])),
        ("topics[0]", with(|request| request.topics = vec!["a b".to_owned()])),
    ];
    all_refused(&server, cases).await;
    let filter = with(|request| request.filter = Some(Default::default()));
    refused(
        try_start(&server, filter).await,
        Code::InvalidArgument,
        "FILTER_INVALID",
    );
    let unknown = with(|request| request.group = "nobody".to_owned());
    refused(try_start(&server, unknown).await, Code::NotFound, "GROUP_NOT_FOUND");
    let nameless = with(|request| request.group = "a/b".to_owned());
    refused(
        try_start(&server, nameless).await,
        Code::InvalidArgument,
        "GROUP_INVALID",
    );
}

#[tokio::test]
async fn a_range_that_the_group_does_not_have_is_named_with_its_field() {
    let (server, _stream) = caught_up(5).await;
    let starts = |at: At| with(|request| request.start = from(at));
    let ends = |end: Until| with(|request| request.end = until(end));
    let between = |at: At, end: Until| with(|request| (request.start, request.end) = (from(at), until(end)));
    let cases = [
        ("start", starts(At::Committed(Default::default()))),
        ("start.positions[0]", starts(At::Positions(at(0, 6)))),
        ("start.positions[0]", starts(At::Positions(at(0, -1)))),
        ("end.positions[0]", ends(Until::Positions(at(0, 6)))),
        ("end.positions[0]", ends(Until::Positions(at(7, 1)))),
        ("end", between(At::Positions(at(0, 4)), Until::Positions(at(0, 3)))),
        ("end.time", between(At::Time(second(2)), Until::Time(second(1)))),
        ("start", starts(At::Positions(Default::default()))),
    ];
    all_refused(&server, cases).await;
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
