//! Read: events without a group, from a start to an end or for ever; everybody sees everything.

use tidings::proto::tidings::v1::{
    CaughtUp, Committed, CreateTopicRequest, DeleteTopicRequest, End, Filter, GapReason, Position, Positions,
    ReadEvent, ReadRequest, Start, TopicSettings, UpdateTopicRequest, Waiting, end::Until, read_response::Frame,
    start::At,
};
use tonic::Code;

use crate::harness::{
    Server,
    clients::{ORDERS, Reading, order},
    status::{fields, refused},
};

async fn with_events(count: usize) -> Server {
    let server = Server::start().await;
    let request = CreateTopicRequest {
        name: ORDERS.to_owned(),
        settings: settings(2),
    };
    server.topics().create_topic(request).await.expect("create the topic");
    publish(&server, 0..count).await;
    server
}

fn settings(partitions: i32) -> Option<TopicSettings> {
    Some(TopicSettings {
        partitions: Some(partitions),
        ..Default::default()
    })
}

async fn publish(server: &Server, numbers: std::ops::Range<usize>) {
    let events: Vec<_> = numbers.map(|n| order(&n.to_string(), &n.to_string())).collect();
    if !events.is_empty() {
        server.publish(events).await;
    }
}

fn reading() -> ReadRequest {
    ReadRequest {
        topics: vec![ORDERS.to_owned()],
        ..Default::default()
    }
}

fn following() -> ReadRequest {
    ReadRequest {
        follow: true,
        ..reading()
    }
}

fn from(at: At) -> ReadRequest {
    ReadRequest {
        start: Some(Start { at: Some(at) }),
        ..reading()
    }
}

fn until(until: Until) -> ReadRequest {
    ReadRequest {
        end: Some(End { until: Some(until) }),
        ..reading()
    }
}

fn place(read: &ReadEvent) -> (i32, i64) {
    let position = read.position.as_ref().expect("a position");
    (position.partition, position.offset)
}

fn positions(places: &[(i32, i64)]) -> Positions {
    let position = |(partition, offset): &(i32, i64)| Position {
        topic: ORDERS.to_owned(),
        partition: *partition,
        offset: *offset,
    };
    Positions {
        positions: places.iter().map(position).collect(),
    }
}

async fn read(server: &Server, request: ReadRequest) -> Vec<(i32, i64)> {
    let events = server
        .read(request)
        .await
        .expect("read")
        .rest()
        .await
        .expect("to its end");
    events.iter().map(place).collect()
}

async fn caught_up(reading: &mut Reading) -> CaughtUp {
    loop {
        match reading.next().await.expect("no error").expect("no end") {
            Frame::CaughtUp(caught_up) => return caught_up,
            Frame::ReadEvents(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_read_without_more_words_gives_all_there_is_in_the_order_of_each_partition_and_ends() {
    let server = with_events(500).await;
    let there = server.read_all(ORDERS).await;
    assert_eq!(there.len(), 500);
    for partition in 0..2 {
        let of_one: Vec<_> = there.iter().filter(|read| place(read).0 == partition).collect();
        let offsets: Vec<_> = of_one.iter().map(|read| place(read).1).collect();
        assert_eq!(
            offsets,
            (0..i64::try_from(of_one.len()).expect("few")).collect::<Vec<_>>()
        );
        assert!(
            of_one
                .iter()
                .all(|read| read.key.is_some() && read.log_time.is_some() && read.fault.is_none())
        );
    }
}

#[tokio::test]
async fn reading_an_empty_topic_ends_at_once() {
    let server = with_events(0).await;
    assert!(server.read_all(ORDERS).await.is_empty());
}

#[tokio::test]
async fn starts_are_inclusive() {
    let server = with_events(40).await;
    let there = server.read_all(ORDERS).await;
    let ends = [0, 1].map(|partition| there.iter().filter(|read| place(read).0 == partition).count());
    assert_eq!(read(&server, from(At::Earliest(()))).await.len(), 40);
    assert_eq!(read(&server, from(At::Latest(()))).await, []);
    let mut got = read(&server, from(At::Positions(positions(&[(0, 3)])))).await;
    got.sort_unstable();
    assert_eq!((got[0], got.len()), ((0, 3), 37));
    assert!(got.contains(&(1, 0)), "partitions not named start at the earliest");
    let at_the_ends: Vec<_> = (0..)
        .zip(ends)
        .map(|(partition, end)| (partition, i64::try_from(end).expect("few")))
        .collect();
    assert_eq!(read(&server, from(At::Positions(positions(&at_the_ends)))).await, []);
}

#[tokio::test]
async fn ends_are_exclusive() {
    let server = with_events(40).await;
    assert_eq!(read(&server, until(Until::Latest(()))).await.len(), 40);
    let of_one = until(Until::Positions(positions(&[(1, 3)])));
    assert_eq!(read(&server, of_one).await, [(1, 0), (1, 1), (1, 2)]);
}

#[tokio::test]
async fn times_mean_the_logs_clock_and_bound_both_ends() {
    let server = with_events(0).await;
    for n in 0..60 {
        publish(&server, n..n + 1).await;
    }
    let there = server.read_all(ORDERS).await;
    let time = |read: &ReadEvent| read.log_time.map(|time| (time.seconds, time.nanos)).expect("a time");
    let mut times: Vec<_> = there.iter().map(time).collect();
    times.sort_unstable();
    let middle = times[30];
    let at = prost_types::Timestamp {
        seconds: middle.0,
        nanos: middle.1,
    };
    let later = times.iter().filter(|time| **time >= middle).count();
    assert_eq!(read(&server, from(At::Time(at))).await.len(), later);
    assert_eq!(read(&server, until(Until::Time(at))).await.len(), 60 - later);
    let both = ReadRequest {
        end: Some(End {
            until: Some(Until::Time(at)),
        }),
        ..from(At::Time(at))
    };
    assert_eq!(read(&server, both).await, []);
    let far = prost_types::Timestamp {
        seconds: 1 << 33,
        nanos: 0,
    };
    assert_eq!(read(&server, from(At::Time(far))).await, []);
}

#[tokio::test]
async fn max_events_ends_the_read_with_and_without_follow() {
    let server = with_events(50).await;
    for count in [1, 7, 50] {
        let bounded = ReadRequest {
            max_events: count,
            ..reading()
        };
        assert_eq!(read(&server, bounded).await.len(), usize::try_from(count).expect("few"));
        let bounded = ReadRequest {
            max_events: count,
            follow: true,
            ..from(At::Earliest(()))
        };
        assert_eq!(read(&server, bounded).await.len(), usize::try_from(count).expect("few"));
    }
}

#[tokio::test]
async fn several_topics_are_read_together_and_a_topic_named_twice_once() {
    let server = with_events(5).await;
    let mut user = order("user", "u");
    user.r#type = "io.shop.users.created".to_owned();
    server.publish(vec![user]).await;
    let topics = [ORDERS, "io.shop.users.resource", ORDERS].map(str::to_owned).to_vec();
    let both = ReadRequest { topics, ..reading() };
    assert_eq!(read(&server, both).await.len(), 6);
}

#[tokio::test]
async fn a_follower_starts_at_the_latest_catches_up_once_and_gets_what_comes() {
    let server = with_events(10).await;
    let mut follower = server.read(following()).await.expect("read");
    let ends: i64 = caught_up(&mut follower)
        .await
        .positions
        .iter()
        .map(|position| position.offset)
        .sum();
    assert_eq!(ends, 10);
    for round in 1..5 {
        publish(&server, round * 10..round * 10 + 10).await;
        let mut got = 0;
        while got < 10 {
            match follower.next().await.expect("no error").expect("no end") {
                Frame::ReadEvents(events) => got += events.events.len(),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_follower_from_the_start_is_caught_up_only_after_all_that_was_there() {
    let server = with_events(3_000).await;
    let request = ReadRequest {
        follow: true,
        ..from(At::Earliest(()))
    };
    let mut follower = server.read(request).await.expect("read");
    let mut count = 0;
    loop {
        match follower.next().await.expect("no error").expect("no end") {
            Frame::ReadEvents(events) => count += events.events.len(),
            Frame::CaughtUp(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(count, 3_000);
}

#[tokio::test]
async fn an_idle_follower_gets_heartbeats_with_where_it_can_resume() {
    let server = with_events(10).await;
    let mut follower = server.read(following()).await.expect("read");
    caught_up(&mut follower).await;
    let Some(Frame::Heartbeat(beat)) = follower.next().await.expect("no error") else {
        panic!("no heartbeat");
    };
    assert_eq!(beat.waiting(), Waiting::CaughtUp);
    assert_eq!(beat.partitions.iter().map(|row| row.next).sum::<i64>(), 10);
    assert!(
        beat.partitions
            .iter()
            .all(|row| row.committed.is_none() && row.lag_events == 0)
    );
}

#[tokio::test]
async fn three_hundred_followers_of_a_topic_all_see_everything() {
    let server = with_events(0).await;
    let mut followers = Vec::new();
    for _ in 0..300 {
        let mut follower = server.read(following()).await.expect("read");
        // All at once: they share a connection, and who does not read holds the others up.
        followers.push(tokio::spawn(async move { follower.events(200).await }));
    }
    for round in 0..10 {
        publish(&server, round * 20..round * 20 + 20).await;
    }
    for follower in followers {
        let got = follower.await.expect("all events");
        for partition in 0..2 {
            let offsets = got.iter().map(place).filter(|place| place.0 == partition);
            assert!(offsets.is_sorted());
        }
    }
}

#[tokio::test]
async fn a_follower_gets_partitions_that_come_later_and_ends_with_its_topic() {
    let server = with_events(0).await;
    let mut follower = server.read(following()).await.expect("read");
    let grow = UpdateTopicRequest {
        name: ORDERS.to_owned(),
        settings: settings(8),
    };
    server.topics().update_topic(grow).await.expect("more partitions");
    publish(&server, 0..50).await;
    let got = follower.events(50).await;
    assert!(got.iter().any(|read| place(read).0 > 2));
    let delete = DeleteTopicRequest {
        name: ORDERS.to_owned(),
    };
    server.topics().delete_topic(delete).await.expect("delete the topic");
    refused(follower.rest().await, Code::NotFound, "TOPIC_NOT_FOUND");
}

#[tokio::test]
async fn a_position_that_the_log_does_not_have_is_told_as_a_gap() {
    let server = with_events(10).await;
    let request = from(At::Positions(positions(&[(0, 1_000), (1, 0)])));
    let mut reading = server.read(request).await.expect("read");
    let Some(Frame::Gap(gap)) = reading.next().await.expect("no error") else {
        panic!("no gap");
    };
    assert_eq!((gap.partition, gap.from_offset, gap.to_offset), (0, 1_000, 0));
    assert_eq!(gap.reason(), GapReason::Truncated);
    assert_eq!(reading.rest().await.expect("to its end").len(), 10);
}

#[tokio::test]
async fn what_a_read_cannot_mean_is_refused_by_name() {
    let server = with_events(1).await;
    let with_end = ReadRequest {
        follow: true,
        ..until(Until::Latest(()))
    };
    let bad_time = prost_types::Timestamp { seconds: 0, nanos: -1 };
    for (field, request) in [
        ("start", from(At::Committed(Committed {}))),
        ("start", from(At::Time(bad_time))),
        ("end", with_end),
        (
            "topics",
            ReadRequest {
                topics: vec![],
                ..reading()
            },
        ),
        (
            "max_events",
            ReadRequest {
                max_events: -1,
                ..reading()
            },
        ),
        ("start.positions[0]", from(At::Positions(positions(&[(9, 0)])))),
        ("start.positions[1]", from(At::Positions(positions(&[(0, 1), (0, 1)])))),
        ("end.positions[0]", until(Until::Positions(positions(&[(0, -1)])))),
    ] {
        let refusal = refused(
            read_result(&server, request).await,
            Code::InvalidArgument,
            "REQUEST_INVALID",
        );
        assert_eq!(fields(&refusal), [field]);
    }
    let topics = vec!["nothing".to_owned()];
    let unknown = ReadRequest { topics, ..reading() };
    let refusal = refused(read_result(&server, unknown).await, Code::NotFound, "TOPIC_NOT_FOUND");
    assert!(
        refusal.message().contains("tidings topics create nothing"),
        "{}",
        refusal.message()
    );
}

#[tokio::test]
async fn what_is_not_built_is_refused_by_name() {
    let server = with_events(1).await;
    for (named, request) in [
        (
            "filter",
            ReadRequest {
                filter: Some(Filter::default()),
                ..reading()
            },
        ),
        ("snapshot", from(At::Snapshot("s".into()))),
        ("checkpoint", from(At::Checkpoint("c".into()))),
        (
            "**",
            ReadRequest {
                topics: vec!["**".into()],
                ..reading()
            },
        ),
        (
            "re:.",
            ReadRequest {
                topics: vec!["re:.".into()],
                ..reading()
            },
        ),
    ] {
        let refusal = refused(
            read_result(&server, request).await,
            Code::Unimplemented,
            "NOT_SUPPORTED",
        );
        assert!(refusal.message().contains(named), "{}", refusal.message());
    }
}

async fn read_result(server: &Server, request: ReadRequest) -> Result<Vec<ReadEvent>, tonic::Status> {
    server.read(request).await?.rest().await
}
