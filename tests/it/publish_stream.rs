//! PublishStream: answers in order, a refused request fails alone, sequences rise.

use prost::Message as _;
use tidings::proto::tidings::v1::{
    PublishRequest, PublishStreamRequest, PublishStreamResponse, publish_stream_response::Result as Answer,
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Status, Streaming};

use crate::harness::{
    Server,
    clients::{ORDERS, order, request},
    status::refused,
    within,
};

const PUBLISH_STREAM: &str = "/tidings.v1.PublisherService/PublishStream";

struct Publishing {
    sender: Option<mpsc::Sender<PublishStreamRequest>>,
    answers: Streaming<PublishStreamResponse>,
}

impl Publishing {
    async fn begin(server: &Server) -> Self {
        let (sender, receiver) = mpsc::channel(1_000);
        let requests = ReceiverStream::new(receiver);
        let answers = within("a stream", server.publisher().publish_stream(requests)).await;
        Self {
            sender: Some(sender),
            answers: answers.expect("a stream").into_inner(),
        }
    }

    fn send(&self, sequence: u64, publish: Option<PublishRequest>) {
        self.send_for(sequence, publish, None);
    }

    fn send_for(&self, sequence: u64, publish: Option<PublishRequest>, timeout: Option<prost_types::Duration>) {
        let request = PublishStreamRequest {
            sequence,
            publish,
            timeout,
        };
        let sender = self.sender.as_ref().expect("not half-closed");
        sender.try_send(request).expect("room for requests");
    }

    fn half_close(&mut self) {
        self.sender = None;
    }

    async fn next(&mut self) -> Result<Option<PublishStreamResponse>, Status> {
        within("an answer", self.answers.message()).await
    }

    async fn answer(&mut self) -> (u64, Answer) {
        let answer = self.next().await.expect("no end").expect("an answer");
        (answer.sequence, answer.result.expect("a result"))
    }
}

fn one(id: &str) -> Option<PublishRequest> {
    Some(request([order(id, "a")]))
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_requests_and_half_closing_answers_all() {
    let server = Server::start().await;
    let mut stream = Publishing::begin(&server).await;
    for sequence in 0..300 {
        stream.send(sequence, one(&sequence.to_string()));
    }
    stream.half_close();
    for expected in 0..300 {
        let (sequence, answer) = stream.answer().await;
        let Answer::Response(response) = answer else {
            panic!("{answer:?}")
        };
        let offset = response.results[0].position.as_ref().expect("a position").offset;
        assert_eq!((sequence, offset), (expected, i64::try_from(expected).expect("small")));
    }
    assert!(matches!(stream.next().await, Ok(None)), "the stream ends OK");
    let there = server.read_all(ORDERS).await;
    let ids: Vec<_> = there.into_iter().map(|read| read.event.expect("an event").id).collect();
    assert_eq!(ids, (0..300).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_request_is_answered_while_the_client_goes_on() {
    let server = Server::start().await;
    let mut stream = Publishing::begin(&server).await;
    for sequence in [3, 8, 1_000, u64::MAX] {
        stream.send(sequence, one("x"));
        assert_eq!(stream.answer().await.0, sequence);
    }
}

#[tokio::test]
async fn a_refused_request_fails_alone() {
    let server = Server::start().await;
    let mut stream = Publishing::begin(&server).await;
    let mut bad = order("2", "a");
    bad.id.clear();
    stream.send(1, one("1"));
    stream.send(2, Some(request([order("good", "a"), bad])));
    stream.send(3, None);
    stream.send(
        4,
        Some(PublishRequest {
            atomic: true,
            ..request([order("4", "a")])
        }),
    );
    stream.send_for(5, one("5"), Some(prost_types::Duration { seconds: 0, nanos: 0 }));
    stream.send_for(6, one("6"), Some(prost_types::Duration { seconds: -1, nanos: 0 }));
    stream.send(
        7,
        Some(PublishRequest {
            topic: "a/b".to_owned(),
            ..request([order("7", "a")])
        }),
    );
    stream.send(8, one("8"));
    stream.half_close();
    let mut codes = Vec::new();
    while let Some(answer) = stream.next().await.expect("the stream goes on") {
        codes.push(match answer.result.expect("a result") {
            Answer::Response(_) => Code::Ok,
            Answer::Error(error) => {
                assert!(!error.details.is_empty(), "no details: {error:?}");
                Code::from(error.code)
            }
        });
    }
    use Code::{InvalidArgument, Ok, Unimplemented};
    assert_eq!(
        codes,
        [
            Ok,
            InvalidArgument,
            InvalidArgument,
            Unimplemented,
            InvalidArgument,
            InvalidArgument,
            InvalidArgument,
            Ok
        ]
    );
    assert_eq!(server.read_all(ORDERS).await.len(), 2);
}

#[tokio::test]
async fn a_sequence_that_does_not_rise_ends_the_stream_after_what_came_before_is_answered() {
    let server = Server::start().await;
    for second in [5, 4, 0] {
        let mut stream = Publishing::begin(&server).await;
        stream.send(5, one("1"));
        stream.send(second, one("2"));
        assert!(matches!(stream.answer().await, (5, Answer::Response(_))));
        refused(stream.next().await, Code::InvalidArgument, "FRAME_UNEXPECTED");
    }
    assert_eq!(server.read_all(ORDERS).await.len(), 3);
}

#[tokio::test]
async fn bytes_that_are_no_request_end_the_stream_after_what_came_before_is_answered() {
    let server = Server::start().await;
    let first = PublishStreamRequest {
        sequence: 1,
        publish: one("1"),
        timeout: None,
    };
    let messages = [first.encode_to_vec().into(), (&b"\xff\xff\xff"[..]).into()];
    let messages = tokio_stream::iter(messages).chain(tokio_stream::pending());
    let mut answers = server.raw_stream(PUBLISH_STREAM, messages).await.expect("a stream");
    within("the answer", answers.message())
        .await
        .expect("no end")
        .expect("an answer");
    refused(
        within("the end", answers.message()).await,
        Code::InvalidArgument,
        "FRAME_UNEXPECTED",
    );
}

#[tokio::test]
async fn a_client_that_vanishes_in_the_middle_leaves_what_the_server_took() {
    let server = Server::start().await;
    let mut stream = Publishing::begin(&server).await;
    for sequence in 0..20 {
        stream.send(sequence, one(&sequence.to_string()));
    }
    let (first, _) = stream.answer().await;
    assert_eq!(first, 0);
    drop(stream);
    let there = server.read_all(ORDERS).await;
    let ids: Vec<_> = there.into_iter().map(|read| read.event.expect("an event").id).collect();
    assert!(!ids.is_empty() && ids.len() <= 20);
    assert_eq!(ids, (0..ids.len()).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_that_reads_no_answers_is_held_up_and_loses_none() {
    let server = Server::start_with("[limits]\npublish_stream_bytes = \"4MiB\"\n").await;
    let mut stream = Publishing::begin(&server).await;
    let data = "x".repeat(50_000);
    for sequence in 0..400 {
        let mut event = order(&sequence.to_string(), "a");
        event.data = Some(tidings::proto::io::cloudevents::v1::cloud_event::Data::TextData(
            data.clone(),
        ));
        stream.send(sequence, Some(request([event])));
    }
    stream.half_close();
    let mut count = 0;
    while let Some(answer) = stream.next().await.expect("no error") {
        assert!(matches!(answer.result, Some(Answer::Response(_))));
        count += 1;
    }
    assert_eq!(count, 400);
}

#[tokio::test]
async fn after_a_write_failure_nothing_overtakes_it_and_the_stream_ends() {
    let server = Server::start().await;
    server.publish(vec![order("first", "a")]).await;
    let mut stream = Publishing::begin(&server).await;
    // So little time that sooner or later a request is not known to be durable when it is over.
    let hurried = Some(prost_types::Duration {
        seconds: 0,
        nanos: 1_000_000,
    });
    let mut sequence = 0;
    let failure = loop {
        sequence += 1;
        stream.send_for(sequence, one(&sequence.to_string()), hurried);
        if let (_, Answer::Error(error)) = stream.answer().await {
            break error;
        }
    };
    assert_eq!(Code::from(failure.code), Code::DeadlineExceeded);
    assert!(
        failure
            .details
            .iter()
            .any(|any| any.type_url.ends_with("PublishFailure")),
        "{failure:?}"
    );
    let end = loop {
        match stream.next().await {
            Ok(Some(later)) => assert!(matches!(later.result, Some(Answer::Error(_))), "{later:?}"),
            end => break end,
        }
    };
    refused(end, Code::Aborted, "PRECEDING_FAILED");
}
