//! Tests of the commands against a scripted server: what the real one does only on bad days.

use std::{
    io::Write,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use clap::Parser as _;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::{
    Stream, StreamExt as _,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Code, Request, Response, Status, Streaming, transport::Server};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;
use crate::cli::arguments::{Arguments, Command, Format};
use crate::proto::{
    io::cloudevents::v1::CloudEvent,
    tidings::v1::{
        publisher_service_server::{PublisherService, PublisherServiceServer},
        subscriber_service_server::{SubscriberService, SubscriberServiceServer},
        *,
    },
};

const GOOD: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"a.b.c"}"#;

/// Keeps what is printed.
#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    pub(super) fn output(&self, format: Format) -> Output {
        Output::to(format, self.clone())
    }

    pub(super) fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8(bytes.clone()).expect("text")
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_is_told_by_line_and_ends_the_sending() {
    let server = Fake::start(Script::default()).await;
    let mut text = String::from("# comment\n");
    for number in 0..2000 {
        let id = if number == 299 { "refuse" } else { "good" };
        text.push_str(&GOOD.replace(r#""id":"1""#, &format!(r#""id":"{id}""#)));
        text.push('\n');
    }
    let file = file(&text);
    let (done, printed) = server
        .run(&[
            "publish",
            "--output",
            "json",
            "--from",
            &file.path().display().to_string(),
        ])
        .await;
    let failure = done.expect_err("refused");
    assert_eq!(failure.exit_status(), 1);
    let text = failure.to_string();
    assert!(
        text.contains("line 301.id: refused by the script (EVENT_INVALID)"),
        "{text}"
    );
    let published = printed.lines().count();
    assert!(text.ends_with(&format!("published {published} events")), "{text}");
    // How many requests went before depends on how fast the lines were read; the one with line 301 has at most 256.
    assert!((1..1999).contains(&published), "{published}");
    assert!(
        printed.starts_with("{\"topic\":\"t\",\"partition\":0,\"offset\":\"0\"}\n"),
        "{printed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_faulty_line_is_not_published() {
    let server = Fake::start(Script::default()).await;
    let file = file(&format!("{GOOD}\nfaulty\n"));
    let (done, _) = server
        .run(&["publish", "--from", &file.path().display().to_string()])
        .await;
    assert!(done.expect_err("faulty").to_string().contains(":2: "));
    assert!(server.script.lock().seen.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_opened_again_and_ends_after_its_last_event() {
    let script = Script {
        breaks: vec![("DRAINING", Code::Unavailable), ("LIMIT", Code::ResourceExhausted)],
        ..Script::default()
    };
    let server = Fake::start(script).await;
    let (done, printed) = server
        .run(&["subscribe", "--group", "g", "t", "--max", "3", "--output", "json"])
        .await;
    done.expect("done");
    assert_eq!(printed.lines().count(), 3);
    let seen = server.script.lock().seen.clone();
    let expected = ["open 3", "open 3", "open 3", "ack [0, 1]", "ack [2]", "close", "end"];
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_refused_ends() {
    let script = Script {
        breaks: vec![("TOPIC_NOT_FOUND", Code::NotFound)],
        ..Script::default()
    };
    let server = Fake::start(script).await;
    let (done, _) = server.run(&["subscribe", "--group", "g", "t"]).await;
    let failure = done.expect_err("refused");
    assert_eq!(
        (failure.exit_status(), failure.to_string().as_str()),
        (2, "subscribe g: scripted (TOPIC_NOT_FOUND)")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_acks_or_nacks_each_event() {
    let server = Fake::start(Script::default()).await;
    let command = r#"! grep -q '"id":"1"'"#;
    let (done, _) = server
        .run(&["subscribe", "--group", "g", "t", "--max", "2", "--exec", command])
        .await;
    done.expect("done");
    let seen = server.script.lock().seen.clone();
    assert_eq!(
        seen,
        [
            "open 2",
            "ack [0]",
            "nack [1] exit status: 1",
            "credit 1",
            "ack [2]",
            "close",
            "end"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_nobody_reads_ends_quietly_and_keeps_what_was_acked() {
    let server = Fake::start(Script::default()).await;
    let mut output = Output::to(Format::Json, Closed);
    let (done, seen) = (
        server.run_to(&["subscribe", "--group", "g", "t"], &mut output).await,
        server.script.lock().seen.clone(),
    );
    assert_eq!(done.expect_err("closed").exit_status(), 0);
    assert_eq!(seen, ["open 1024", "close", "end"]);
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the server does and what it saw.
#[derive(Default)]
struct Script {
    /// How the first Subscribe calls break, one after the other.
    breaks: Vec<(&'static str, Code)>,
    seen: Vec<String>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Script>>);

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, what: impl Into<String>) {
        self.lock().seen.push(what.into());
    }
}

struct Fake {
    address: String,
    script: Shared,
}

impl Fake {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let script = Shared(Arc::new(Mutex::new(script)));
        let server = Server::builder()
            .add_service(PublisherServiceServer::new(script.clone()))
            .add_service(SubscriberServiceServer::new(script.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { address, script }
    }

    async fn run(&self, line: &[&str]) -> (Result<()>, String) {
        let memory = Memory::default();
        let format = if line.contains(&"json") {
            Format::Json
        } else {
            Format::Text
        };
        (self.run_to(line, &mut memory.output(format)).await, memory.text())
    }

    async fn run_to(&self, line: &[&str], output: &mut Output) -> Result<()> {
        let line = ["tidings", "--server", &self.address]
            .into_iter()
            .chain(line.iter().copied());
        let arguments = Arguments::try_parse_from(line).expect("good");
        let Command::Client(command) = arguments.command else {
            panic!("not a client's command");
        };
        dispatch(command, &arguments.global, output).await
    }
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl PublisherService for Shared {
    type PublishStreamStream = Answers<PublishStreamResponse>;

    async fn publish(&self, _: Request<PublishRequest>) -> Result<Response<PublishResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn publish_stream(
        &self,
        requests: Request<Streaming<PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let mut offset = 0;
        let answers = requests.into_inner().map(move |request| {
            let PublishStreamRequest { sequence, publish, .. } = request?;
            let result = Some(answer(&publish.unwrap_or_default().events, &mut offset));
            Ok(PublishStreamResponse { sequence, result })
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

fn answer(events: &[CloudEvent], offset: &mut i64) -> publish_stream_response::Result {
    use publish_stream_response::Result as Answer;
    if let Some(index) = events.iter().position(|event| event.id == "refuse") {
        let text = format!("events[{index}].id: refused by the script");
        let details = ErrorDetails::with_error_info("EVENT_INVALID", "tidings", []);
        let status = Status::with_error_details(Code::InvalidArgument, text, details);
        return Answer::Error(prost::Message::decode(status.details()).expect("a status"));
    }
    let mut result = |_: &CloudEvent| {
        let position = Position {
            topic: "t".to_owned(),
            partition: 0,
            offset: *offset,
        };
        *offset += 1;
        PublishResult {
            position: Some(position),
            duplicate: false,
        }
    };
    Answer::Response(PublishResponse {
        results: events.iter().map(&mut result).collect(),
    })
}

#[tonic::async_trait]
impl SubscriberService for Shared {
    type SubscribeStream = Answers<SubscribeResponse>;
    type ReadStream = Answers<ReadResponse>;

    async fn subscribe(
        &self,
        requests: Request<Streaming<SubscribeRequest>>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let (sender, receiver) = mpsc::channel(8);
        tokio::spawn(play(self.clone(), requests.into_inner(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn read(&self, _: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}

/// Notes what the client says; delivers two events when it opens, and a third when it settled the first ones.
async fn play(
    script: Shared,
    mut requests: Streaming<SubscribeRequest>,
    sender: mpsc::Sender<Result<SubscribeResponse, Status>>,
) {
    use subscribe_request::Frame;
    let mut third = false;
    while let Some(Ok(request)) = requests.next().await {
        match request.frame {
            Some(Frame::Open(open)) => {
                script.saw(format!("open {}", open.credit.unwrap_or_default().events));
                let broken = script.lock().breaks.first().copied();
                if let Some((reason, code)) = broken {
                    script.lock().breaks.remove(0);
                    let details = ErrorDetails::with_error_info(reason, "tidings", []);
                    let _ = sender
                        .send(Err(Status::with_error_details(code, "scripted", details)))
                        .await;
                    return;
                }
                let _ = sender.send(Ok(deliveries([0, 1]))).await;
            }
            Some(Frame::Ack(ack)) => {
                script.saw(format!("ack {:?}", ack.delivery_ids));
                let settled = ack.delivery_ids.contains(&1);
                if settled && !third {
                    third = true;
                    let _ = sender.send(Ok(deliveries([2]))).await;
                }
            }
            Some(Frame::Nack(nack)) => {
                // How long it waits is the group's to say.
                assert_eq!(nack.delay, None);
                script.saw(format!("nack {:?} {}", nack.delivery_ids, nack.reason));
                third = true;
                let _ = sender.send(Ok(deliveries([2]))).await;
            }
            Some(Frame::Credit(credit)) if credit.events > 0 => script.saw(format!("credit {}", credit.events)),
            Some(Frame::Close(_)) => script.saw("close"),
            _ => {}
        }
    }
    script.saw("end");
}

fn deliveries<const N: usize>(ids: [u64; N]) -> SubscribeResponse {
    let delivery = |id: u64| Delivery {
        id,
        attempt: 1,
        event: Some(CloudEvent {
            id: id.to_string(),
            source: "/s".to_owned(),
            spec_version: "1.0".to_owned(),
            r#type: "a.b.c".to_owned(),
            ..CloudEvent::default()
        }),
        ..Delivery::default()
    };
    let deliveries = ids.into_iter().map(delivery).collect();
    SubscribeResponse {
        frame: Some(subscribe_response::Frame::Deliveries(Deliveries { deliveries })),
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("written");
    file
}
