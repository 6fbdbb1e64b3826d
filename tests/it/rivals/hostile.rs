//! Clients that misbehave: one that never acks, one that nacks everything, one that reads a byte a second.

use std::sync::atomic::{AtomicUsize, Ordering};

use tidings::proto::tidings::v1::{
    Delivery, GetGroupRequest, Heartbeat, Nack, ReadRequest, Retry, SubscribeRequest, Waiting,
    subscribe_request::Frame as Sent, subscribe_response::Frame,
};
use tokio::time::interval;

use super::*;
use crate::harness::{SOON, eventually, wire::Connection, within};

fn after(seconds: f64) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(Duration::from_secs_f64(seconds)).ok()
}

async fn full(stream: &mut Subscription) -> Heartbeat {
    let is_full = |frame| match frame {
        Frame::Heartbeat(beat) if beat.waiting() == Waiting::WindowFull => Some(beat),
        _ => None,
    };
    stream.until("a heartbeat that the window is full", is_full).await
}

#[tokio::test]
async fn a_consumer_that_never_acks_holds_up_what_it_has_and_the_others_are_told_when_that_fills_the_window() {
    let server = with_partitions(1, "[delivery]\nwindow = 20\n").await;
    let mut silent = server.subscribe(having(5)).await;
    publish(&server, 0..5).await;
    let held = silent.deliveries(5).await;
    let often = Open {
        heartbeat_interval: after(1.0),
        ..having(100)
    };
    let mut worker = server.subscribe(often).await;
    publish(&server, 5..40).await;
    // Up to the end of the window, which begins at the first event that is not acked.
    let got = worker.deliveries(15).await;
    worker.ack(&got);
    let oldest = full(&mut worker)
        .await
        .oldest
        .expect("the oldest event that is not acked");
    let place = oldest.position.expect("its place");
    assert_eq!((place.offset, oldest.attempt), (0, 1));
    assert_eq!(Some(place), held[0].position);
    let mut others = server
        .subscribe(Open {
            group: "others".to_owned(),
            ..having(100)
        })
        .await;
    let all = others.at_least(20).await;
    others.ack(&all);
    others.at_least(40 - all.len()).await;
    drop(silent);
    let mut rest = 0;
    while rest < 25 {
        let got = worker.at_least(1).await;
        worker.ack(&got);
        rest += got.len();
    }
    worker.close().await;
}

async fn committed(server: &Server) -> i64 {
    let group = "group".to_owned();
    let group = server.groups().get_group(GetGroupRequest { group }).await;
    let group = group.expect("the group").into_inner().group.expect("a group");
    group.partitions.iter().filter_map(|row| row.committed).sum()
}

#[tokio::test]
async fn what_a_consumer_nacks_again_and_again_is_a_dead_letter_in_the_end_and_others_flow() {
    const POISON: usize = 10;
    let server = with_partitions(1, "").await;
    publish(&server, 0..POISON).await;
    let retry = Retry {
        initial: after(0.05),
        factor: 1.0,
        maximum: after(0.05),
        max_attempts: Some(3),
        ..Default::default()
    };
    let mut nacking = server
        .subscribe(Open {
            retry: Some(retry),
            ..having(100)
        })
        .await;
    publish(&server, POISON..POISON + 50).await;
    let mut others = server
        .subscribe(Open {
            group: "others".to_owned(),
            ..having(100)
        })
        .await;
    others.at_least(POISON + 50).await;
    let all = i64::try_from(POISON + 50).expect("few");
    let mut nacks = 0;
    within("the offset to pass the dead letters", async {
        while committed(&server).await < all {
            // Looks up now and then whether all is committed.
            if let Ok(got) = tokio::time::timeout(Duration::from_millis(100), nacking.at_least(1)).await {
                nacks += settle(&nacking, &got, POISON);
            }
        }
    })
    .await;
    assert_eq!(nacks, 3 * POISON, "each was tried three times");
}

/// Nacks events of numbers below `poison`, acks the others; how many were nacked.
fn settle(stream: &Subscription, got: &[Delivery], poison: usize) -> usize {
    let number = |delivery: &Delivery| {
        ids(std::slice::from_ref(delivery))[0]
            .parse::<usize>()
            .expect("a number")
    };
    let (bad, good): (Vec<Delivery>, Vec<Delivery>) =
        got.iter().cloned().partition(|delivery| number(delivery) < poison);
    if !good.is_empty() {
        stream.ack(&good);
    }
    if !bad.is_empty() {
        stream.send(Sent::Nack(Nack {
            delivery_ids: bad.iter().map(|delivery| delivery.id).collect(),
            ..Default::default()
        }));
    }
    bad.len()
}

/// Reads a byte each second, until dropped.
async fn crawl(mut body: h2::RecvStream, bytes: &AtomicUsize) {
    let mut seconds = interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        // What the window lets through is there at once; only a byte of it is said to be read.
        if let Some(Ok(_)) = body.data().await {
            body.flow_control().release_capacity(1).expect("release");
            bytes.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_read_a_byte_a_second_cost_little_memory_and_hold_nobody_up() {
    const EVENTS: usize = 3_000;
    let server = with_partitions(4, "").await;
    large(&server, 0..EVENTS).await;
    let connection = Connection::open(&server).await;
    let mut subscribing = connection.call("/tidings.v1.SubscriberService/Subscribe", &[]).await;
    subscribing.send(&SubscribeRequest {
        frame: Some(Sent::Open(having(i64::MAX))),
    });
    let (_sending, subscribed) = subscribing.begun().await;
    let reader = Connection::open(&server).await;
    let mut reading = reader.call("/tidings.v1.SubscriberService/Read", &[]).await;
    reading.send(&ReadRequest {
        topics: vec![ORDERS.to_owned()],
        follow: true,
        ..Default::default()
    });
    reading
        .sending
        .send_data(bytes::Bytes::new(), true)
        .expect("half-close");
    let (_open, read) = reading.begun().await;
    let bytes = AtomicUsize::new(0);
    let others = async {
        let mut other = server.subscribe(having(1_000)).await;
        let mut got = 0;
        while got < EVENTS - 250 {
            let more = other.at_least(1).await;
            other.ack(&more);
            got += more.len();
        }
        assert_eq!(server.read_all(ORDERS).await.len(), EVENTS);
        eventually(SOON, "some seconds", async || {
            (bytes.load(Ordering::Relaxed) > 4).then_some(())
        })
        .await;
        assert!(server.memory() < 200 << 20, "{} bytes", server.memory());
        drop((connection, reader));
        while got < EVENTS {
            let more = other.at_least(1).await;
            other.ack(&more);
            got += more.len();
        }
    };
    tokio::select! {
        () = within("the others", others) => {}
        () = crawl(subscribed, &bytes) => {}
        () = crawl(read, &bytes) => {}
    }
}

/// 8 KB each.
async fn large(server: &Server, numbers: std::ops::Range<usize>) {
    let data = "x".repeat(8_000);
    for chunk in numbers.collect::<Vec<_>>().chunks(300) {
        let event = |n: &usize| {
            let mut event = order(&n.to_string(), &n.to_string());
            event.data = Some(tidings::proto::io::cloudevents::v1::cloud_event::Data::TextData(
                data.clone(),
            ));
            event
        };
        server.publish(chunk.iter().map(event).collect()).await;
    }
}
