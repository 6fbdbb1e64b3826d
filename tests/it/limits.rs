//! Limits of the server towards its clients: message sizes, streams, groups.

use tidings::proto::{
    io::cloudevents::v1::{CloudEvent, cloud_event::Data},
    tidings::v1::{
        Deliveries, Delivery, Nack, Open, ReadRequest, subscribe_request::Frame as Sent, subscribe_response::Frame,
    },
};
use tonic::Code;

use crate::harness::{
    SOON, Server,
    clients::{ORDERS, ids, open, order, request},
    eventually,
    status::{has_retry_info, refused},
    within,
};

const KIB: usize = 1024;

fn with_data(id: &str, bytes: usize) -> CloudEvent {
    CloudEvent {
        data: Some(Data::BinaryData(vec![7; bytes].into())),
        ..order(id, id)
    }
}

fn framed(group: &str, max_frame_bytes: usize) -> Open {
    Open {
        max_frame_bytes: i32::try_from(max_frame_bytes).expect("a frame's size"),
        ..open(group)
    }
}

#[tokio::test]
async fn no_message_is_larger_than_the_client_asked_for() {
    use prost::Message as _;
    let server = Server::start().await;
    for chunk in 0..10 {
        let events = (0..50).map(|n| with_data(&format!("{chunk}-{n}"), 1_000 + n * 700));
        server.try_publish(request(events)).await.expect("publish");
    }
    let mut stream = server.subscribe(framed("group", 64 * KIB)).await;
    assert_eq!(stream.opened.max_frame_bytes, 64 * 1024);
    let mut count = 0;
    while count < 500 {
        let frame = stream.next().await.expect("no error").expect("no end");
        if let Frame::Deliveries(deliveries) = frame {
            assert!(deliveries.encoded_len() <= 64 * KIB, "{}", deliveries.encoded_len());
            // What is not acked counts in the group's buffer.
            stream.ack(&deliveries.deliveries);
            count += deliveries.deliveries.len();
        }
    }
}

#[tokio::test]
async fn an_event_too_large_for_a_client_ends_its_stream_with_its_place_and_goes_to_another() {
    let server = Server::start().await;
    let place = server
        .try_publish(request([with_data("large", 500 * KIB)]))
        .await
        .expect("publish");
    let mut small = server.subscribe(framed("group", 64 * KIB)).await;
    let status = refused(small.end().await, Code::InvalidArgument, "EVENT_TOO_LARGE");
    let told = format!("{ORDERS}/{} offset {}", place[0].partition, place[0].offset);
    assert!(status.message().contains(&told), "{}", status.message());
    assert!(!has_retry_info(&status));
    let mut large = server.subscribe(open("group")).await;
    let got = large.deliveries(1).await;
    assert_eq!(ids(&got), ["large"]);
    large.ack(&got);
    large.close().await;
}

#[tokio::test]
async fn an_event_of_the_largest_size_fits_into_the_frame_of_a_client_without_a_wish() {
    let server = Server::start().await;
    for n in 0..6 {
        server
            .try_publish(request([with_data(&n.to_string(), 1024 * KIB - 500)]))
            .await
            .expect("publish");
    }
    let mut stream = server.subscribe(open("group")).await;
    assert_eq!(stream.opened.max_frame_bytes, 4 * 1024 * 1024 - 64 * 1024);
    stream.deliveries(6).await;
    assert_eq!(server.read_all(ORDERS).await.len(), 6);
}

#[tokio::test]
async fn streams_over_the_limit_are_refused_and_have_a_place_when_another_ends() {
    let server = Server::start_with("[limits]\nstreams = 3\n").await;
    server.publish(vec![order("1", "a")]).await;
    let mut streams = Vec::new();
    for n in 0..3 {
        streams.push(server.subscribe(open(&format!("group-{n}"))).await);
    }
    let status = refused(
        server.open_refused(open("more")).await,
        Code::ResourceExhausted,
        "LIMIT",
    );
    assert!(has_retry_info(&status) && status.message().contains("limits.streams"));
    let reading = ReadRequest {
        topics: vec![ORDERS.to_owned()],
        ..Default::default()
    };
    let result = server.read(reading).await.map(|_| ());
    refused(result, Code::ResourceExhausted, "LIMIT");
    streams.pop().expect("a stream").close().await;
    eventually(SOON, "a free place", || async {
        let mut stream = server
            .try_subscribe([tidings::proto::tidings::v1::subscribe_request::Frame::Open(open(
                "more",
            ))])
            .await
            .ok()?;
        matches!(stream.next().await, Ok(Some(Frame::Opened(_)))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn groups_over_the_limit_are_refused() {
    let server = Server::start_with("[limits]\ngroups = 2\n").await;
    let first = server.subscribe(open("a")).await;
    let _second = server.subscribe(open("b")).await;
    let status = refused(server.open_refused(open("c")).await, Code::ResourceExhausted, "LIMIT");
    assert!(has_retry_info(&status) && status.message().contains("limits.groups"));
    server.subscribe(open("a")).await;
    first.close().await;
    server.subscribe(open("b")).await;
}

#[tokio::test]
async fn a_group_holds_bounded_memory_whatever_waits_on_the_log() {
    let server = Server::start_with("[limits]\ngroup_buffer_bytes = \"2MiB\"\n").await;
    for chunk in 0..60 {
        let events = (0..10).map(|n| with_data(&format!("{chunk}-{n}"), 100 * KIB));
        server.try_publish(request(events)).await.expect("publish");
    }
    let before = server.memory();
    let mut stream = server.subscribe(open("group")).await;
    let mut count = 0;
    while count < 600 {
        if let Frame::Deliveries(Deliveries { deliveries }) = stream.next().await.expect("no error").expect("no end") {
            stream.ack(&deliveries);
            count += deliveries.len();
        }
    }
    assert!(
        server.memory() < before + (60 << 20),
        "{before} before, {} after",
        server.memory()
    );
}

/// Each batch is pushed out of the feed as soon as it comes: whoever waits for it there reads alone.
#[tokio::test]
async fn events_of_which_the_feeds_may_hold_next_to_none_are_delivered() {
    let settings = "[limits]\nmax_event_bytes = \"96KiB\"\nfeed_bytes = \"96KiB\"\n[topics]\ndefault_partitions = 1\n";
    let server = Server::start_with(settings).await;
    for chunk in 0..10 {
        let events = (0..10).map(|n| with_data(&format!("{chunk}-{n}"), 80 * KIB));
        server.try_publish(request(events)).await.expect("publish");
    }
    let mut stream = server.subscribe(open("group")).await;
    within("all of them", async {
        let mut count = 0;
        while count < 100 {
            if let Frame::Deliveries(Deliveries { deliveries }) =
                stream.next().await.expect("no error").expect("no end")
            {
                stream.ack(&deliveries);
                count += deliveries.len();
            }
        }
    })
    .await;
}

/// One event of each batch fails for long, and together they would keep six times the group's buffer.
#[tokio::test]
async fn events_that_fail_for_long_do_not_fill_the_buffer_with_what_came_with_them() {
    let server =
        Server::start_with("[limits]\ngroup_buffer_bytes = \"1MiB\"\n[topics]\ndefault_partitions = 1\n").await;
    for chunk in 0..60 {
        let events = (0..10).map(|n| with_data(&format!("{chunk}-{n}"), 10 * KIB));
        server.try_publish(request(events)).await.expect("publish");
    }
    let mut stream = server.subscribe(open("group")).await;
    let mut done = 0;
    while done < 570 {
        if let Frame::Deliveries(Deliveries { deliveries }) = stream.next().await.expect("no error").expect("no end") {
            let (fail, work): (Vec<_>, Vec<_>) = deliveries.into_iter().partition(is_first_of_twenty);
            done += work.len();
            stream.ack(&work);
            stream.send(Sent::Nack(Nack {
                delivery_ids: fail.iter().map(|delivery| delivery.id).collect(),
                delay: Some(prost_types::Duration {
                    seconds: 3_600,
                    nanos: 0,
                }),
                ..Default::default()
            }));
        }
    }
}

fn is_first_of_twenty(delivery: &Delivery) -> bool {
    let id = &delivery.event.as_ref().expect("an event").id;
    let (chunk, n) = id.split_once('-').expect("two numbers");
    n == "0" && chunk.parse::<u32>().expect("a number").is_multiple_of(2)
}
