//! Several streams of one group: who gets what, in which order, and what happens when one fails.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidings::proto::tidings::v1::{
    CreateTopicRequest, Credit, Delivery, Nack, Open, SubscribeRequest, TopicSettings, UpdateTopicRequest,
    subscribe_request::Frame as Sent, subscribe_response::Frame,
};

use crate::harness::{
    Server,
    clients::{ORDERS, Subscription, ids, open, order},
    wire::Connection,
    within,
};

async fn with_partitions(partitions: i32) -> Server {
    let server = Server::start().await;
    let request = CreateTopicRequest {
        name: ORDERS.to_owned(),
        settings: settings(partitions),
    };
    server.topics().create_topic(request).await.expect("create the topic");
    server
}

fn settings(partitions: i32) -> Option<TopicSettings> {
    Some(TopicSettings {
        partitions: Some(partitions),
        ..Default::default()
    })
}

fn with_credit(events: i64) -> Open {
    Open {
        credit: Some(Credit { events, bytes: 0 }),
        ..open("group")
    }
}

#[tokio::test]
async fn more_streams_than_partitions_all_get_work() {
    let server = with_partitions(1).await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(server.subscribe(with_credit(5)).await);
    }
    server
        .publish((0..40).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    for stream in &mut streams {
        stream.deliveries(5).await;
    }
}

#[tokio::test]
async fn many_events_of_a_partition_are_in_flight_at_once_but_one_of_a_key() {
    let server = with_partitions(1).await;
    let events = (0..300).map(|n| order(&n.to_string(), &format!("key-{}", n % 100)));
    server.publish(events.collect()).await;
    let mut stream = server.subscribe(open("group")).await;
    for round in 0..3 {
        let got = stream.deliveries(100).await;
        let mut expected: Vec<_> = (0..100).map(|n| (round * 100 + n).to_string()).collect();
        let mut found = ids(&got);
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected);
        stream.ack(&got);
    }
}

#[tokio::test]
async fn events_without_a_key_are_all_in_flight_at_once() {
    let server = with_partitions(2).await;
    let keyless = |n: usize| {
        let mut event = order(&n.to_string(), "a");
        event.attributes.clear();
        event
    };
    server.publish((0..100).map(keyless).collect()).await;
    server.subscribe(open("group")).await.deliveries(100).await;
}

/// What was acked, by key, in the order of the acks.
#[derive(Default)]
struct Seen {
    done: HashMap<String, Vec<usize>>,
    count: usize,
}

const KEYS: usize = 50;
const EVENTS: usize = 2_000;

/// Takes events until all are done: nacks some, acks the others in any order, and now and then leaves and comes back.
async fn work(server: Arc<Server>, seen: Arc<Mutex<Seen>>, mut random: fastrand::Rng) {
    let mut stream = server.subscribe(with_credit(16_000)).await;
    let mut held: Vec<Delivery> = Vec::new();
    loop {
        let frame = tokio::time::timeout(Duration::from_millis(200), stream.next()).await;
        if let Ok(frame) = frame
            && let Some(Frame::Deliveries(new)) = frame.expect("the stream goes on")
        {
            held.extend(new.deliveries);
        }
        random.shuffle(&mut held);
        if settle_all(&stream, &mut held, &seen, &mut random) == EVENTS {
            // A stream that is only dropped may take its last acks with it: then others get those events again.
            return stream.close().await;
        }
        if random.u8(..) < 10 {
            stream.close().await;
            stream = server.subscribe(with_credit(16_000)).await;
        }
    }
}

/// Settles what is held; gives how many are done in all.
fn settle_all(
    stream: &Subscription,
    held: &mut Vec<Delivery>,
    seen: &Mutex<Seen>,
    random: &mut fastrand::Rng,
) -> usize {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    for delivery in held.drain(..) {
        settle(stream, &delivery, &mut seen, random.u8(..));
    }
    seen.count
}

fn settle(stream: &Subscription, delivery: &Delivery, seen: &mut Seen, dice: u8) {
    let key = String::from_utf8(delivery.key.clone().expect("a key").to_vec()).expect("text");
    let number: usize = delivery.event.as_ref().expect("an event").id.parse().expect("a number");
    if dice < 20 {
        let now = prost_types::Duration { seconds: 0, nanos: 0 };
        let nack = Nack {
            delivery_ids: vec![delivery.id],
            delay: Some(now),
            ..Default::default()
        };
        return stream.send(Sent::Nack(nack));
    }
    let done = seen.done.entry(key).or_default();
    let expected = done.last().map_or(number % KEYS, |last| last + KEYS);
    // What was acked and not committed when its stream closed cannot come again: Close and half-close commit.
    assert_eq!(number, expected, "the order of a key");
    done.push(number);
    seen.count += 1;
    stream.ack(std::slice::from_ref(delivery));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_key_come_in_order_under_nacks_and_streams_that_come_and_go() {
    let server = Arc::new(with_partitions(4).await);
    let seen = Arc::new(Mutex::new(Seen::default()));
    let workers: Vec<_> = (0..4)
        .map(|seed| {
            tokio::spawn(work(
                Arc::clone(&server),
                Arc::clone(&seen),
                fastrand::Rng::with_seed(seed),
            ))
        })
        .collect();
    for chunk in (0..EVENTS).collect::<Vec<_>>().chunks(100) {
        let event = |n: &usize| order(&n.to_string(), &format!("key-{}", n % KEYS));
        server.publish(chunk.iter().map(event).collect()).await;
    }
    for worker in workers {
        within("a worker", worker).await.expect("the worker is content");
    }
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!((seen.done.len(), seen.count), (KEYS, EVENTS));
}

#[tokio::test]
async fn a_client_that_vanishes_leaves_its_events_to_the_others() {
    let server = with_partitions(2).await;
    server
        .publish((0..20).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let connection = Connection::open(&server).await;
    let mut call = connection.call("/tidings.v1.SubscriberService/Subscribe", &[]).await;
    call.send(&SubscribeRequest {
        frame: Some(Sent::Open(open("group"))),
    });
    let (_sending, mut body) = call.begun().await;
    // Opened, then deliveries: it has them all before it vanishes.
    let mut other = server
        .subscribe(Open {
            credit: None,
            ..open("group")
        })
        .await;
    let mut bytes = 0;
    while bytes < 20 * 60 {
        bytes += within("deliveries", body.data())
            .await
            .expect("more")
            .expect("data")
            .len();
    }
    drop(connection);
    other.grant(100, 0);
    let got = other.deliveries(20).await;
    assert!(got.iter().any(|delivery| delivery.attempt == 2));
}

#[tokio::test]
async fn a_stream_that_stops_reading_keeps_what_it_was_sent_and_the_rest_goes_to_others() {
    const EVENTS: usize = 3_000;
    let server = with_partitions(4).await;
    let data = "x".repeat(8_000);
    for chunk in (0..EVENTS).collect::<Vec<_>>().chunks(300) {
        let event = |n: &usize| {
            let mut event = order(&n.to_string(), &n.to_string());
            event.data = Some(tidings::proto::io::cloudevents::v1::cloud_event::Data::TextData(
                data.clone(),
            ));
            event
        };
        server.publish(chunk.iter().map(event).collect()).await;
    }
    let connection = Connection::open(&server).await;
    let mut deaf = connection.call("/tidings.v1.SubscriberService/Subscribe", &[]).await;
    deaf.send(&SubscribeRequest {
        frame: Some(Sent::Open(with_credit(i64::MAX))),
    });
    let (sending, unread) = deaf.begun().await;
    let mut other = server.subscribe(with_credit(1_000)).await;
    let mut got = 0;
    // 64 KiB of HTTP/2 window, the outbox and what is on its way: far below 2 MiB of the 24.
    while got < EVENTS - 250 {
        let more = other.at_least(1).await;
        other.ack(&more);
        other.grant(i64::try_from(more.len()).expect("few"), 0);
        got += more.len();
    }
    assert!(server.memory() < 200 << 20, "{} bytes", server.memory());
    drop((sending, unread, connection));
    let rest = other.deliveries(EVENTS - got).await;
    assert!(rest.iter().any(|delivery| delivery.attempt == 2));
}

#[tokio::test]
async fn partitions_that_come_later_are_delivered_from_their_start() {
    let server = with_partitions(1).await;
    let mut stream = server.subscribe(open("group")).await;
    server
        .publish((0..10).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let got = stream.deliveries(10).await;
    stream.ack(&got);
    let grow = UpdateTopicRequest {
        name: ORDERS.to_owned(),
        settings: settings(6),
    };
    server.topics().update_topic(grow).await.expect("more partitions");
    server
        .publish((10..60).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let got = stream.deliveries(50).await;
    let partitions: std::collections::HashSet<_> = got
        .iter()
        .map(|delivery| delivery.position.as_ref().expect("set").partition)
        .collect();
    assert!(partitions.len() > 3, "{partitions:?}");
}
