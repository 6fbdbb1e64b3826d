//! Replays: past events beside the live ones of a running group, marked, in order per key, at their own pace, to their end.

mod command;
mod failing;
mod killed;
mod lost;
mod pace;
mod refused;
mod together;

use tidings::proto::tidings::v1::{
    Delivery, Filter, GetReplayRequest, ListReplaysRequest, Position, Positions, ReadEvent, Replay, ReplayState, Start,
    StartReplayRequest, StopReplayRequest, filter::Dialect, start::At,
};
use tidings::proto::{io::cloudevents::v1::cloud_event::Data, tidings::v1::target::To};
use tonic::Status;

use crate::{
    harness::{
        SOON, Server,
        clients::{ORDERS, Subscription, ids, open},
        eventually, within,
    },
    resets::{ack, committed, create, numbers, publish, reset, to, with_events},
};

/// All that the group's topics have, for a reason.
pub(crate) fn everything() -> StartReplayRequest {
    StartReplayRequest {
        group: "group".to_owned(),
        reason: "a test".to_owned(),
        ..Default::default()
    }
}

pub(crate) async fn try_start(server: &Server, request: StartReplayRequest) -> Result<Replay, Status> {
    let answer = within("a replay", server.replays().start_replay(request)).await?;
    Ok(answer.into_inner().replay.expect("a replay"))
}

pub(crate) async fn start(server: &Server, request: StartReplayRequest) -> Replay {
    let replay = try_start(server, request).await.expect("start a replay");
    assert_eq!(replay.state(), ReplayState::Running);
    replay
}

pub(crate) async fn show(server: &Server, id: &str) -> Replay {
    let request = GetReplayRequest {
        replay_id: id.to_owned(),
    };
    let answer = within("a replay", server.replays().get_replay(request)).await;
    answer.expect("the replay").into_inner().replay.expect("a replay")
}

async fn stop(server: &Server, id: &str) -> Replay {
    let request = StopReplayRequest {
        replay_id: id.to_owned(),
        reason: "enough".to_owned(),
        request_id: String::new(),
    };
    let answer = within("a stop", server.replays().stop_replay(request)).await;
    answer.expect("stop it").into_inner().replay.expect("a replay")
}

/// Waits until it has come so far.
pub(crate) async fn until(server: &Server, id: &str, what: &str, is_so: impl Fn(&Replay) -> bool) -> Replay {
    let look = async || Some(show(server, id).await).filter(&is_so);
    eventually(SOON, what, look).await
}

pub(crate) async fn done(server: &Server, id: &str) -> Replay {
    until(server, id, "the end of a replay", |replay| {
        replay.state() == ReplayState::Done
    })
    .await
}

/// A server with so many events in one partition, and a stream of a group that has acked all of them.
async fn caught_up(count: usize) -> (Server, Subscription) {
    let server = with_events(count).await;
    let stream = catch_up(&server, count).await;
    (server, stream)
}

async fn catch_up(server: &Server, count: usize) -> Subscription {
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(count).await;
    assert_eq!(ack(&mut stream, &got).await, []);
    stream
}

pub(crate) fn at(partition: i32, offset: i64) -> Positions {
    let position = Position {
        topic: ORDERS.to_owned(),
        partition,
        offset,
    };
    Positions {
        positions: vec![position],
    }
}

pub(crate) fn replay_ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.replay_id.as_str()).collect()
}

#[tokio::test]
async fn past_events_come_again_marked_and_the_group_stands_where_it_stood() {
    let (server, mut stream) = caught_up(10).await;
    let replay = start(&server, everything()).await;
    assert_eq!((replay.total_offsets, replay.partitions[0].until_offset), (10, 10));
    let again = stream.deliveries(10).await;
    assert_eq!(ids(&again), numbers(0..10));
    assert_eq!(replay_ids(&again), [replay.id.as_str(); 10]);
    assert!(
        again
            .iter()
            .all(|delivery| delivery.attempt == 1 && delivery.reset_id.is_empty())
    );
    publish(&server, 10..11).await;
    let live = stream.deliveries(1).await;
    assert_eq!((ids(&live), replay_ids(&live)), (numbers(10..11), vec![""]));
    assert_eq!(committed(&server).await, 10, "acked is what was acked before");
    assert_eq!(ack(&mut stream, &again[..9]).await, []);
    let shown = show(&server, &replay.id).await;
    assert_eq!(
        (
            shown.state(),
            shown.sent,
            shown.acked,
            shown.done_offsets,
            shown.percent
        ),
        (ReplayState::Running, 10, 9, 9, 90.0)
    );
    assert_eq!(ack(&mut stream, &again[9..]).await, []);
    let over = done(&server, &replay.id).await;
    assert_eq!((over.acked, over.percent, over.failed, over.gone), (10, 100.0, 0, 0));
    assert!(over.end_time.is_some() && over.end_reason.is_empty() && over.end_principal.is_empty());
    assert_eq!(committed(&server).await, 10, "the group's offset has not moved");
    assert_eq!(ack(&mut stream, &live).await, []);
    assert_eq!(committed(&server).await, 11);
}

#[tokio::test]
async fn what_comes_later_is_not_replayed_and_topics_filter_and_positions_leave_the_others_out() {
    let (server, mut stream) = caught_up(10).await;
    let some = StartReplayRequest {
        start: Some(Start {
            at: Some(At::Positions(at(0, 2))),
        }),
        end: Some(tidings::proto::tidings::v1::End {
            until: Some(tidings::proto::tidings::v1::end::Until::Positions(at(0, 8))),
        }),
        filter: Some(Filter {
            dialect: Some(Dialect::Cesql("id <> '4'".to_owned())),
        }),
        topics: vec!["io.shop.*.resource".to_owned()],
        ..everything()
    };
    let replay = start(&server, some).await;
    let again = stream.deliveries(5).await;
    assert_eq!(ids(&again), ["2", "3", "5", "6", "7"]);
    publish(&server, 10..12).await;
    let live = stream.deliveries(2).await;
    assert_eq!(replay_ids(&live), ["", ""]);
    ack(&mut stream, &again).await;
    let over = done(&server, &replay.id).await;
    assert_eq!((over.hidden, over.acked, over.total_offsets), (1, 5, 6));
    assert_eq!(
        (over.topics, over.filter.is_some()),
        (vec!["io.shop.*.resource".to_owned()], true)
    );
}

#[tokio::test]
async fn a_time_starts_and_ends_it() {
    let (server, mut stream) = caught_up(3).await;
    // What follows is appended later, by the log's clock.
    let first = server.read_all(ORDERS).await;
    let time = eventually(SOON, "the clock to go on", async || {
        publish(&server, 100..101).await;
        let last = server.read_all(ORDERS).await.pop().expect("an event");
        let millis = |event: &ReadEvent| {
            let time = event.log_time.expect("a time");
            (time.seconds, time.nanos)
        };
        (millis(&last) > millis(&first[2])).then_some(last.log_time)
    })
    .await;
    let from = StartReplayRequest {
        start: Some(Start {
            at: Some(At::Time(time.expect("a time"))),
        }),
        ..everything()
    };
    let replay = start(&server, from).await;
    let range = replay.partitions[0].clone();
    assert!(
        range.from_offset >= 3 && range.from_offset < range.until_offset,
        "{range:?}"
    );
    stop(&server, &replay.id).await;
    let before = StartReplayRequest {
        end: Some(tidings::proto::tidings::v1::End {
            until: Some(tidings::proto::tidings::v1::end::Until::Time(time.expect("a time"))),
        }),
        ..everything()
    };
    let replay = start(&server, before).await;
    assert_eq!(replay.partitions[0].until_offset, range.from_offset);
    drop(stream.at_least(1).await);
}

#[tokio::test]
async fn a_group_without_streams_has_it_wait_and_a_range_without_events_is_done_at_once() {
    let (server, stream) = caught_up(5).await;
    stream.close().await;
    let replay = start(&server, everything()).await;
    assert_eq!(show(&server, &replay.id).await.state(), ReplayState::Running);
    let mut stream = server.subscribe(open("group")).await;
    let again = stream.deliveries(5).await;
    assert_eq!(replay_ids(&again), [replay.id.as_str(); 5]);
    ack(&mut stream, &again).await;
    done(&server, &replay.id).await;
    let nothing = StartReplayRequest {
        start: Some(Start {
            at: Some(At::Latest(())),
        }),
        ..everything()
    };
    let replay = start(&server, nothing).await;
    assert_eq!(done(&server, &replay.id).await.percent, 100.0);
}

#[tokio::test]
async fn what_is_acked_and_saved_stays_acked_when_the_server_is_killed_and_all_else_comes_again() {
    let (server, mut stream) = caught_up(20).await;
    let replay = start(&server, everything()).await;
    let again = stream.deliveries(20).await;
    let odd: Vec<Delivery> = again.iter().skip(1).step_by(2).cloned().collect();
    // The answer comes once it is saved, also above what is not acked.
    assert_eq!(ack(&mut stream, &odd).await, []);
    drop(stream);
    let server = server.restart().await;
    let mut stream = server.subscribe(open("group")).await;
    let rest = stream.deliveries(10).await;
    let even: Vec<String> = (0..20).step_by(2).map(|n| n.to_string()).collect();
    assert_eq!((ids(&rest), replay_ids(&rest)), (even, vec![replay.id.as_str(); 10]));
    ack(&mut stream, &rest).await;
    let over = done(&server, &replay.id).await;
    assert_eq!((over.acked, over.done_offsets), (20, 20));
    assert_eq!(committed(&server).await, 20);
}

#[tokio::test]
async fn once_stopped_nothing_more_is_sent_and_what_is_out_may_still_be_acked() {
    let (server, stream) = caught_up(10).await;
    stream.close().await;
    let replay = start(&server, everything()).await;
    let mut stream = server
        .subscribe(crate::harness::clients::open_with_credit("group", 2))
        .await;
    let out = stream.deliveries(2).await;
    let stopped = stop(&server, &replay.id).await;
    assert_eq!(
        (stopped.state(), stopped.end_reason.as_str()),
        (ReplayState::Stopped, "enough")
    );
    assert_eq!(stopped.end_principal, "anonymous");
    stream.grant(100, 0);
    publish(&server, 10..11).await;
    let live = stream.deliveries(1).await;
    assert_eq!(replay_ids(&live), [""]);
    assert_eq!(ack(&mut stream, &live).await, []);
    assert_eq!(ack(&mut stream, &out).await, []);
    let counted = until(&server, &replay.id, "the last acks", |replay| replay.acked == 2).await;
    assert_eq!((counted.state(), counted.sent), (ReplayState::Stopped, 2));
    // Again, it stays as it is; and another may begin.
    let twice = stop(&server, &replay.id).await;
    assert_eq!(
        (twice.end_time, twice.state()),
        (counted.end_time, ReplayState::Stopped)
    );
    let next = start(&server, everything()).await;
    let again = stream.deliveries(11).await;
    assert_eq!(replay_ids(&again), vec![next.id.as_str(); 11]);
}

#[tokio::test]
async fn a_reset_does_not_end_it_and_what_was_out_comes_again() {
    let (server, mut stream) = caught_up(10).await;
    let replay = start(&server, everything()).await;
    let out = stream.deliveries(10).await;
    ack(&mut stream, &out[..4]).await;
    reset(&server, to(To::ShiftBy(-2))).await;
    let (mut live, mut again) = (Vec::new(), Vec::new());
    while live.len() < 2 || again.len() < 6 {
        let got = stream.at_least(1).await;
        // What is live lets its key go.
        stream.ack(&got);
        for delivery in got {
            match delivery.replay_id.is_empty() {
                true => live.push(delivery),
                false => again.push(delivery),
            }
        }
    }
    again.sort_by_key(|delivery| delivery.position.as_ref().map(|at| at.offset));
    assert_eq!((ids(&live), ids(&again)), (numbers(8..10), numbers(4..10)));
    assert!(live.iter().all(|delivery| !delivery.reset_id.is_empty()));
    assert!(again.iter().all(|delivery| delivery.reset_id.is_empty()));
    done(&server, &replay.id).await;
    assert_eq!(committed(&server).await, 10);
}

#[tokio::test]
async fn replays_are_listed_newest_first_and_started_and_stopped_is_audited() {
    let (server, _stream) = caught_up(3).await;
    let first = start(&server, everything()).await;
    stop(&server, &first.id).await;
    let second = start(&server, everything()).await;
    let request = ListReplaysRequest {
        group: "group".to_owned(),
        page_size: 1,
        page_token: String::new(),
    };
    let page = server
        .replays()
        .list_replays(request.clone())
        .await
        .expect("list")
        .into_inner();
    assert_eq!((page.replays.len(), &page.replays[0].id), (1, &second.id));
    assert!(page.replays[0].partitions.is_empty());
    let request = ListReplaysRequest {
        page_token: page.next_page_token,
        ..request
    };
    let page = server.replays().list_replays(request).await.expect("list").into_inner();
    assert_eq!((&page.replays[0].id, page.next_page_token.as_str()), (&first.id, ""));
    let other = ListReplaysRequest {
        group: "other".to_owned(),
        ..Default::default()
    };
    let none = server.replays().list_replays(other).await.expect("list").into_inner();
    assert!(none.replays.is_empty());
    let audited = server.read_all("tidings.audit").await;
    let audited: Vec<_> = (audited.iter().filter_map(|event| event.event.as_ref()))
        .filter(|event| event.r#type.starts_with("tidings.replays."))
        .collect();
    let acts: Vec<(&str, &str)> = audited
        .iter()
        .map(|event| (event.r#type.as_str(), event.id.as_str()))
        .collect();
    let stopped = format!("{}-stopped", first.id);
    assert_eq!(
        acts,
        [
            ("tidings.replays.started", first.id.as_str()),
            ("tidings.replays.stopped", &stopped),
            ("tidings.replays.started", &second.id)
        ]
    );
    let Some(Data::TextData(data)) = &audited[0].data else {
        panic!("{audited:?}")
    };
    let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
    assert_eq!((&data["by"], &data["reason"]), (&"anonymous".into(), &"a test".into()));
}

#[tokio::test]
async fn a_deleted_group_has_it_stopped() {
    let server = Server::start().await;
    create(&server, 2).await;
    publish(&server, 0..6).await;
    let stream = catch_up(&server, 6).await;
    let replay = start(&server, everything()).await;
    drop(stream);
    let request = tidings::proto::tidings::v1::DeleteGroupRequest {
        group: "group".to_owned(),
        force: true,
        reason: "a test".to_owned(),
        ..Default::default()
    };
    server.groups().delete_group(request).await.expect("delete the group");
    let stopped = show(&server, &replay.id).await;
    assert_eq!(
        (stopped.state(), stopped.end_reason.as_str()),
        (ReplayState::Stopped, "the group was deleted")
    );
    // Another of the name has nothing of it.
    let mut stream = server.subscribe(open("group")).await;
    assert_eq!(replay_ids(&stream.deliveries(6).await), [""; 6]);
}
