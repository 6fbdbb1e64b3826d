//! Sizes: what passes, what is refused and how that is told; compression.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tidings::proto::{
    io::cloudevents::v1::{CloudEvent, cloud_event::Data},
    tidings::v1::{PublishRequest, PublishStreamRequest, publish_stream_response::Result as Answer},
};
use tonic::{Code, codec::CompressionEncoding};
use tonic_types::StatusExt as _;

use crate::harness::{
    Server,
    clients::{ORDERS, order, request},
    status::{has_retry_info, refused},
    within,
};

const MIB: usize = 1024 * 1024;

fn with_data(bytes: usize) -> CloudEvent {
    CloudEvent {
        data: Some(Data::BinaryData(vec![0xa5; bytes].into())),
        ..order("1", "a")
    }
}

/// An event that is exactly this long where it takes the most room: as JSON, with its data in base64.
fn with_largest_encoding(bytes: usize) -> CloudEvent {
    let size = |data: usize, id: usize| {
        let encoded = STANDARD.encode(vec![0xa5; data]);
        let id = "i".repeat(id);
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/test","type":"io.shop.orders.created","subject":"a","data_base64":"{encoded}"}}"#
        )
        .len()
    };
    let data = (bytes - size(0, 1)) / 4 * 3;
    let id = 1 + bytes - size(data, 1);
    assert_eq!(size(data, id), bytes);
    CloudEvent {
        id: "i".repeat(id),
        ..with_data(data)
    }
}

#[tokio::test]
async fn an_event_of_64_kib_in_its_largest_encoding_passes_everywhere_whatever_the_limits() {
    let server = Server::start_with("[limits]\nmax_event_bytes = \"96KiB\"\nmax_request_bytes = \"96KiB\"\n").await;
    let event = with_largest_encoding(64 * 1024);
    server.publish(vec![event.clone()]).await;
    let (answer, _) = stream_one(&server, request([event.clone()])).await;
    assert!(matches!(answer, Answer::Response(_)), "{answer:?}");
    let there = server.read_all(ORDERS).await;
    assert_eq!(there.len(), 2);
    assert!(there.iter().all(|read| read.event.as_ref() == Some(&event)));
}

#[tokio::test]
async fn an_event_of_1_mib_as_logged_passes_and_comes_out_again() {
    let server = Server::start().await;
    let event = with_data(MIB - 1_000);
    server.publish(vec![event.clone()]).await;
    assert_eq!(server.read_all(ORDERS).await[0].event.as_ref(), Some(&event));
}

#[tokio::test]
async fn a_larger_event_is_refused_with_its_size_and_the_limit() {
    let server = Server::start().await;
    for bytes in [MIB, 3 * MIB] {
        let result = server.try_publish(request([order("1", "a"), with_data(bytes)])).await;
        let refusal = refused(result, Code::InvalidArgument, "EVENT_TOO_LARGE");
        let bad = refusal.get_details_bad_request().expect("violations");
        let told = &bad.field_violations[0];
        assert_eq!(told.field, "events[1]");
        assert!(told.description.contains("1048576") && told.description.contains("max_event_bytes"));
        assert!(
            told.description.contains(&bytes.to_string()[..3]),
            "{}",
            told.description
        );
    }
    let (answer, _) = stream_one(&server, request([with_data(MIB)])).await;
    assert!(matches!(answer, Answer::Error(error) if error.message.contains("1048576")));
    server.publish(vec![order("2", "a")]).await;
    assert_eq!(server.read_all(ORDERS).await.len(), 1);
}

#[tokio::test]
async fn a_request_over_4_mib_is_refused_with_its_size_and_the_limit() {
    let server = Server::start().await;
    let large = request((0..5).map(|_| with_data(900 * 1024)));
    let refusal = refused(
        server.try_publish(large).await,
        Code::InvalidArgument,
        "REQUEST_TOO_LARGE",
    );
    let text = refusal.message();
    assert!(text.contains("4194304") && text.contains("46"), "{text}");
}

#[tokio::test]
async fn a_request_far_over_the_limit_is_refused_in_the_same_way() {
    let server = Server::start().await;
    let refusal = refused(
        server.try_publish(request([with_data(20 * MIB)])).await,
        Code::InvalidArgument,
        "REQUEST_TOO_LARGE",
    );
    assert!(!has_retry_info(&refusal));
    let result = stream_many(&server, vec![request([with_data(20 * MIB)])]).await;
    refused(result, Code::InvalidArgument, "REQUEST_TOO_LARGE");
}

#[tokio::test]
async fn ten_thousand_events_pass_and_one_more_does_not() {
    let server = Server::start().await;
    let events = |count: usize| request((0..count).map(|n| order(&n.to_string(), &(n % 10).to_string())));
    server.try_publish(events(10_000)).await.expect("10,000 events");
    let refusal = refused(
        server.try_publish(events(10_001)).await,
        Code::InvalidArgument,
        "REQUEST_TOO_LARGE",
    );
    let text = refusal.message();
    assert!(text.contains("10001") && text.contains("10000"), "{text}");
}

#[tokio::test]
async fn requests_may_be_compressed_and_sizes_are_checked_after_inflating() {
    let server = Server::start().await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let mut publisher = server.publisher().send_compressed(encoding);
        let small = request([with_data(100_000)]);
        within("a publish", publisher.publish(small))
            .await
            .expect("publish compressed");
        for (bytes, code) in [
            (2 * MIB, "EVENT_TOO_LARGE"),
            (6 * MIB, "REQUEST_TOO_LARGE"),
            (40 * MIB, "REQUEST_TOO_LARGE"),
        ] {
            let result = within("a publish", publisher.publish(request([with_data(bytes)]))).await;
            refused(result, Code::InvalidArgument, code);
        }
    }
    assert_eq!(server.read_all(ORDERS).await.len(), 2);
}

/// The answer to one request on a stream of its own.
async fn stream_one(server: &Server, publish: PublishRequest) -> (Answer, u64) {
    let mut answers = stream_many(server, vec![publish]).await.expect("answers");
    answers.pop().expect("an answer")
}

async fn stream_many(server: &Server, publishes: Vec<PublishRequest>) -> Result<Vec<(Answer, u64)>, tonic::Status> {
    let requests = (1..).zip(publishes).map(|(sequence, publish)| PublishStreamRequest {
        sequence,
        publish: Some(publish),
        timeout: None,
    });
    let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
    let mut stream = within("a stream", server.publisher().publish_stream(requests))
        .await?
        .into_inner();
    let mut answers = Vec::new();
    while let Some(answer) = within("an answer", stream.message()).await? {
        answers.push((answer.result.expect("a result"), answer.sequence));
    }
    Ok(answers)
}
