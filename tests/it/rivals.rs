//! What other brokers' sidecars get wrong: streams that come back, that share, that are cut off, and clients that misbehave.

#![expect(clippy::print_stderr, reason = "what was measured, for those who look")]

mod hostile;
mod killed;
mod reopened;

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use tidings::proto::tidings::v1::{CreateTopicRequest, Credit, CreditMode, Open, TopicSettings};

use crate::harness::{
    Server,
    clients::{ORDERS, Subscription, ids, open, order},
};

async fn with_partitions(partitions: i32, config: &str) -> Server {
    let server = Server::start_with(config).await;
    let settings = TopicSettings {
        partitions: Some(partitions),
        ..Default::default()
    };
    let request = CreateTopicRequest {
        name: ORDERS.to_owned(),
        settings: Some(settings),
    };
    server.topics().create_topic(request).await.expect("create the topic");
    server
}

/// Publishes events of these numbers, each of a key of its own.
async fn publish(server: &Server, numbers: std::ops::Range<usize>) {
    for chunk in numbers.collect::<Vec<_>>().chunks(1_000) {
        let events = chunk.iter().map(|n| order(&n.to_string(), &n.to_string()));
        server.publish(events.collect()).await;
    }
}

/// An Open of a stream that may have so many events at once.
fn having(events: i64) -> Open {
    Open {
        credit: Some(Credit { events, bytes: 0 }),
        credit_mode: CreditMode::OnSettle.into(),
        ..open("group")
    }
}

/// Acks all that comes until so many were had, and says when the first came and how many that were.
async fn work(mut stream: Subscription, left: &AtomicI64) -> (Option<Instant>, usize) {
    let (mut first, mut count) = (None, 0);
    while left.load(Ordering::Relaxed) > 0 {
        // Looks up now and then: the other stream may have had the rest.
        let Ok(got) = tokio::time::timeout(Duration::from_millis(100), stream.at_least(1)).await else {
            continue;
        };
        first.get_or_insert_with(Instant::now);
        stream.ack(&got);
        count += got.len();
        left.fetch_sub(got.len().try_into().expect("few"), Ordering::Relaxed);
    }
    (first, count)
}

#[tokio::test]
async fn two_streams_of_one_group_on_one_server_share_the_work_from_the_first_second() {
    const EVENTS: usize = 2_000;
    let server = with_partitions(4, "").await;
    publish(&server, 0..EVENTS).await;
    let (one, other) = (server.subscribe(having(10)).await, server.subscribe(having(10)).await);
    let left = AtomicI64::new(2_000);
    let (one, other) = tokio::join!(work(one, &left), work(other, &left));
    let (Some(first), Some(second)) = (one.0.min(other.0), one.0.max(other.0)) else {
        panic!("one of them got nothing: {one:?}, {other:?}");
    };
    assert!(second - first < Duration::from_secs(1), "{:?}", second - first);
    assert!(one.1.min(other.1) > EVENTS / 4, "{} and {}", one.1, other.1);
}
