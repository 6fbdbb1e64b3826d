//! Read: events without a group, from a start to an end or for ever; everybody sees everything.

mod bounds;
mod refused;

use tidings::proto::tidings::v1::{
    CaughtUp, Committed, CreateTopicRequest, DeleteTopicRequest, End, GapReason, Position, Positions, ReadEvent,
    ReadRequest, Start, TopicSettings, UpdateTopicRequest, Waiting, end::Until, read_response::Frame, start::At,
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
