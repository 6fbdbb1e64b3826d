//! Quotas: what is too much is refused with how long, publish streams are slowed down, and nobody uses up another's.

use std::time::{Duration, Instant};

use tidings::proto::tidings::v1::{
    Open, PublishRequest, PublishStreamRequest, PublishStreamResponse, ReadRequest, StartReplayRequest, Waiting,
    publish_stream_response::Result as Outcome, publisher_service_client::PublisherServiceClient,
    replay_service_client::ReplayServiceClient, subscribe_request::Frame,
    subscriber_service_client::SubscriberServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use super::{config, publish};
use crate::{
    auth::Shown,
    harness::{
        SOON, Server,
        clients::{ORDERS, order, subscribe_through},
        eventually,
        status::{has_retry_info, refused},
        within,
    },
    metrics::shows,
    policies::{
        groups::{Stream, open},
        shown,
    },
    tls::Authority,
};

/// As `/metrics` has it.
const EVENTS_REFUSED: &str = "tidings_quota_refusals_total{quota=\"publish_events_per_second\"}";

async fn server(quota: &str) -> Server {
    Server::start_with(&config(&format!("[[auth.quotas]]\ntenants = [\"acme\"]\n{quota}"))).await
}

/// Whose quota is used up, and which.
fn used<T>(result: Result<T, Status>) -> (String, String) {
    let status = refused(result, Code::ResourceExhausted, "QUOTA");
    assert!(has_retry_info(&status));
    let mut failure = status.get_details_quota_failure().expect("a QuotaFailure");
    let violation = failure.violations.remove(0);
    (violation.subject, violation.description)
}

fn of_acme(name: &str) -> (String, String) {
    ("tenant:acme".to_owned(), name.to_owned())
}

#[tokio::test]
async fn who_publishes_too_much_is_told_for_how_long_and_nobody_else_is() {
    let server = server("publish_events_per_second = 5\n").await;
    let some = |count: usize| (0..count).map(|n| order(&n.to_string(), "1")).collect::<Vec<_>>();
    let acme = shown(&server, "acme");
    publish(acme.clone(), "", some(10))
        .await
        .expect("as it had used nothing");
    assert_eq!(
        used(publish(acme.clone(), "", some(1)).await),
        of_acme("publish_events_per_second")
    );
    shows(&server, [(EVENTS_REFUSED, 1.0)]).await;
    publish(shown(&server, "beta"), "", some(10)).await.expect("another's");
    publish(shown(&server, "beta"), "", some(10)).await.expect("another's");
    eventually(SOON, "there is something again", async || {
        publish(acme.clone(), "", some(1)).await.ok()
    })
    .await;
}

#[tokio::test]
async fn bytes_are_counted_too() {
    let server = server("publish_bytes_per_second = \"1KiB\"\n").await;
    let acme = shown(&server, "acme");
    let large = super::with_json(order("1", "1"), &format!("\"{}\"", "x".repeat(5_000)));
    publish(acme.clone(), "", vec![large])
        .await
        .expect("as it had used nothing");
    assert_eq!(
        used(publish(acme, "", vec![order("2", "1")]).await),
        of_acme("publish_bytes_per_second")
    );
}

/// Twenty events for a publish stream, and for how long they may wait.
fn request(sequence: u64, seconds: i64) -> PublishStreamRequest {
    let events = (0..20).map(|n| order(&format!("{sequence}-{n}"), "1")).collect();
    PublishStreamRequest {
        sequence,
        publish: Some(PublishRequest {
            events,
            ..Default::default()
        }),
        timeout: Some(prost_types::Duration { seconds, nanos: 0 }),
    }
}

/// A publish stream, and where its requests go.
async fn publish_stream(channel: Shown) -> (mpsc::Sender<PublishStreamRequest>, Streaming<PublishStreamResponse>) {
    let (requests, receiver) = mpsc::channel(8);
    let mut client = PublisherServiceClient::new(channel);
    let stream = client.publish_stream(ReceiverStream::new(receiver)).await;
    (requests, stream.expect("a stream").into_inner())
}

async fn result(answers: &mut Streaming<PublishStreamResponse>) -> Outcome {
    let answer = within("an answer", answers.message()).await.expect("no error");
    answer.expect("an answer").result.expect("a result")
}

fn is_of_quota(result: &Outcome) -> bool {
    matches!(result, Outcome::Error(error) if error.message.contains("quota"))
}

#[tokio::test]
async fn what_waits_for_a_quota_is_refused_when_the_server_stops() {
    let mut server = server("publish_events_per_second = 1\n").await;
    let (requests, mut answers) = publish_stream(shown(&server, "acme")).await;
    requests.send(request(1, 60)).await.expect("sent");
    assert!(matches!(result(&mut answers).await, Outcome::Response(_)));
    requests.send(request(2, 60)).await.expect("sent");
    // It has come, and waits.
    shows(&server, [(EVENTS_REFUSED, 1.0)]).await;
    let stopped = Instant::now();
    assert!(server.stop().await.success());
    assert!(stopped.elapsed() < Duration::from_secs(10), "{:?}", stopped.elapsed());
    let refusal = result(&mut answers).await;
    assert!(is_of_quota(&refusal), "{refusal:?}");
    let end = within("the end", answers.message())
        .await
        .expect_err("the server stops");
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
}

#[tokio::test]
async fn a_quota_changes_without_a_new_start_and_for_streams_that_are_open() {
    let authority = Authority::new();
    let with_rate = |rate: u32| {
        let quota = format!("[[quotas]]\ntenants = [\"acme\"]\npublish_events_per_second = {rate}\n");
        let file = authority.written("quotas.toml", &quota);
        format!("[auth]\nfile = \"{}\"\n{}", file.display(), config(""))
    };
    let server = Server::start_with(&with_rate(1_000_000)).await;
    let acme = shown(&server, "acme");
    let (requests, mut answers) = publish_stream(acme.clone()).await;
    for sequence in 1..=3 {
        requests.send(request(sequence, 60)).await.expect("sent");
        assert!(matches!(result(&mut answers).await, Outcome::Response(_)));
    }
    with_rate(1);
    eventually(SOON, "the quota that there is now", async || {
        publish(acme.clone(), "", vec![order("1", "1"), order("2", "1")])
            .await
            .err()
    })
    .await;
    requests.send(request(4, 1)).await.expect("sent");
    let refusal = result(&mut answers).await;
    assert!(is_of_quota(&refusal), "{refusal:?}");
    with_rate(1_000_000);
    requests.send(request(5, 60)).await.expect("sent");
    assert!(matches!(result(&mut answers).await, Outcome::Response(_)));
}

#[tokio::test]
async fn a_publish_stream_is_slowed_down_in_order_and_what_would_be_too_late_fails_alone() {
    let server = server("publish_events_per_second = 20\n").await;
    let requests = tokio_stream::iter([request(1, 10), request(2, 10), request(3, 10), request(4, 10)]);
    let began = Instant::now();
    let mut client = PublisherServiceClient::new(shown(&server, "acme"));
    let mut answers = client.publish_stream(requests).await.expect("a stream").into_inner();
    for sequence in 1..=4 {
        let answer = within("an answer", answers.message())
            .await
            .expect("no error")
            .expect("an answer");
        assert_eq!(answer.sequence, sequence);
        assert!(matches!(answer.result, Some(Outcome::Response(_))), "{answer:?}");
    }
    // Twice a second's worth at once, and the rest as the rate has it.
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
    let mut answers = client
        .publish_stream(tokio_stream::iter([request(1, 20), request(2, 1)]))
        .await
        .expect("a stream")
        .into_inner();
    let mut results = Vec::new();
    while let Some(answer) = within("an answer", answers.message()).await.expect("no error") {
        results.push(answer.result.expect("a result"));
    }
    let refusal = results.pop().expect("the second");
    assert!(is_of_quota(&refusal), "{refusal:?}");
    assert!(matches!(results[..], [Outcome::Response(_)]), "{results:?}");
}

#[tokio::test]
async fn so_many_streams_are_open_at_once() {
    let server = server("streams = 2\n").await;
    let acme = shown(&server, "acme");
    publish(acme.clone(), "", vec![order("1", "1")])
        .await
        .expect("published");
    let mut first = Stream::open(acme.clone(), open("acme.g", &[ORDERS]))
        .await
        .expect("the first");
    first.event().await.expect("an event");
    let follow = ReadRequest {
        topics: vec![ORDERS.to_owned()],
        follow: true,
        ..Default::default()
    };
    let mut reader = SubscriberServiceClient::new(acme.clone());
    let second = reader.read(follow.clone()).await.expect("the second");
    assert_eq!(used(reader.read(follow.clone()).await), of_acme("streams"));
    assert_eq!(
        used(Stream::open(acme.clone(), open("acme.g", &[])).await.map(drop)),
        of_acme("streams")
    );
    SubscriberServiceClient::new(shown(&server, "beta"))
        .read(follow.clone())
        .await
        .expect("another's");
    drop(second);
    eventually(SOON, "its place again", async || {
        let mut reader = SubscriberServiceClient::new(shown(&server, "acme"));
        reader.read(follow.clone()).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_replay_is_no_faster_than_the_quota() {
    let server = server("replay_events_per_second = 7\n").await;
    let acme = shown(&server, "acme");
    publish(acme.clone(), "", vec![order("1", "1")])
        .await
        .expect("published");
    let mut stream = Stream::open(acme.clone(), open("acme.g", &[ORDERS]))
        .await
        .expect("a stream");
    stream.event().await.expect("an event");
    let asked = |max_events_per_second: f64| StartReplayRequest {
        group: "acme.g".to_owned(),
        reason: "test".to_owned(),
        max_events_per_second,
        ..Default::default()
    };
    let mut replays = ReplayServiceClient::new(acme);
    assert_eq!(
        used(replays.start_replay(asked(8.0)).await),
        of_acme("replay_events_per_second")
    );
    let replay = replays
        .start_replay(asked(0.0))
        .await
        .expect("started")
        .into_inner()
        .replay
        .expect("a replay");
    assert_eq!(replay.max_events_per_second, 7.0);
}

/// What the stream of one group has keeps that of another from more, until it is settled.
#[tokio::test]
async fn streams_of_a_tenant_have_no_more_together_than_its_quota_and_others_do() {
    let server = server("outstanding_bytes = \"80KiB\"\n").await;
    let large = |n: usize| {
        super::with_json(
            order(&n.to_string(), &n.to_string()),
            &format!("\"{}\"", "x".repeat(30_000)),
        )
    };
    for tenant in ["acme", "beta"] {
        publish(shown(&server, tenant), "", (0..10).map(large).collect())
            .await
            .expect("published");
    }
    let of = async |tenant: &str, group: &str| {
        let open = Open {
            heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
            ..open(group, &[ORDERS])
        };
        subscribe_through(shown(&server, tenant), [Frame::Open(open)])
            .await
            .expect("a stream")
    };
    let mut one = of("acme", "acme.one").await;
    one.deliveries(3).await;
    let mut other = of("acme", "acme.other").await;
    for stream in [&mut one, &mut other] {
        assert_eq!(stream.heartbeat().await.waiting(), Waiting::Limit);
    }
    of("beta", "beta.g").await.deliveries(10).await;
    // What a stream has that ends is nobody's.
    drop(one);
    let mut got = 0;
    while got < 10 {
        let some = other.at_least(1).await;
        other.ack(&some);
        got += some.len();
    }
}
