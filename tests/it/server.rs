//! The server's doors: health, reflection, the ops listener, what it refuses to start with.

use tidings::proto::health::{
    HealthCheckRequest, HealthListRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Streaming};
use tonic_reflection::pb::{v1, v1alpha};

use crate::harness::{
    Server,
    clients::{open, order},
    tidings, within,
};

const SERVICES: [&str; 9] = [
    "tidings.v1.CommandService",
    "tidings.v1.DeadLetterService",
    "tidings.v1.OffsetService",
    "tidings.v1.PublisherService",
    "tidings.v1.ReplayService",
    "tidings.v1.StateService",
    "tidings.v1.SubscriberService",
    "tidings.v1.SystemService",
    "tidings.v1.TopicService",
];

fn check(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

/// The status line's code and the body.
pub(crate) async fn get(server: &Server, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(server.ops()).await.expect("connect");
    let request = format!("GET {path} HTTP/1.1\r\nhost: bus\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("ask");
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer))
        .await
        .expect("an answer");
    let code = answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .expect("a status line");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (code, body.to_owned())
}

#[tokio::test]
async fn health_is_told_for_the_server_and_each_service() {
    let server = Server::start().await;
    let mut health = HealthClient::new(server.channel());
    serving(&mut health.watch(check("")).await.expect("a watch").into_inner()).await;
    for service in SERVICES.into_iter().chain([""]) {
        let answer = health.check(check(service)).await.expect("known").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(check("nothing")).await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound);
    let listed = health
        .list(HealthListRequest {})
        .await
        .expect("a list")
        .into_inner()
        .statuses;
    assert_eq!(listed.len(), SERVICES.len() + 1);
    assert!(listed.values().all(|answer| answer.status() == ServingStatus::Serving));
}

#[tokio::test]
async fn watching_an_unknown_service_stays_open_with_service_unknown() {
    let server = Server::start().await;
    let mut health = HealthClient::new(server.channel());
    let mut unknown = health.watch(check("nothing")).await.expect("a watch").into_inner();
    assert_eq!(next(&mut unknown).await, Some(ServingStatus::ServiceUnknown));
    let mut known = health.watch(check("")).await.expect("a watch").into_inner();
    serving(&mut known).await;
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(50), unknown.message())
            .await
            .is_err(),
        "it stays open"
    );
}

/// A log elsewhere is reached a moment after the start.
async fn serving(watch: &mut Streaming<tidings::proto::health::HealthCheckResponse>) {
    while next(watch).await.expect("the watch goes on") != ServingStatus::Serving {}
}

async fn next(watch: &mut Streaming<tidings::proto::health::HealthCheckResponse>) -> Option<ServingStatus> {
    let answer = within("a health status", watch.message()).await.expect("no error");
    answer.map(|answer| answer.status())
}

#[tokio::test]
async fn a_watch_tells_when_the_server_drains_and_readyz_too() {
    let server = Server::start().await;
    let mut health = HealthClient::new(server.channel());
    let mut watch = health
        .watch(check("tidings.v1.PublisherService"))
        .await
        .expect("a watch")
        .into_inner();
    serving(&mut watch).await;
    let mut unknown = health.watch(check("nothing")).await.expect("a watch").into_inner();
    assert_eq!(next(&mut unknown).await, Some(ServingStatus::ServiceUnknown));
    assert_eq!(get(&server, "/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(get(&server, "/readyz").await, (200, "ok\n".to_owned()));
    assert_eq!(get(&server, "/nothing").await.0, 404);
    server.publish(vec![order("1", "a")]).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(1).await;
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(next(&mut watch).await, Some(ServingStatus::NotServing));
    // It drains for as long as the event is not acked: alive, but not ready.
    assert_eq!(get(&server, "/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(get(&server, "/readyz").await.0, 503);
    stream.ack(&got);
    drop(stream);
    let mut server = server;
    assert!(server.ended().await.success(), "watches do not keep a stopping server");
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let server = Server::start().await;
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(server.channel());
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let answers = client.server_reflection_info(tokio_stream::iter([request])).await;
    let answer = within("an answer", answers.expect("answers").get_mut().message())
        .await
        .expect("no error");
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        answer.and_then(|answer| answer.message_response)
    else {
        panic!("no list");
    };
    check_services(list.service.into_iter().map(|service| service.name));
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(server.channel());
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let answers = client.server_reflection_info(tokio_stream::iter([request])).await;
    let answer = within("an answer", answers.expect("answers").get_mut().message())
        .await
        .expect("no error");
    let Some(v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(list)) =
        answer.and_then(|answer| answer.message_response)
    else {
        panic!("no list");
    };
    check_services(list.service.into_iter().map(|service| service.name));
}

fn check_services(names: impl Iterator<Item = String>) {
    let names: Vec<_> = names.collect();
    for service in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
        assert!(names.iter().any(|name| name == service), "{service} of {names:?}");
    }
}

#[tokio::test]
async fn a_listener_open_to_others_is_refused_unless_that_is_said_to_be_wanted() {
    let directory = tempfile::tempdir().expect("a directory");
    let serve = |insecure: &'static str| {
        let mut command = tidings();
        command
            .args(["serve", "--listen", "0.0.0.0:0", "--data"])
            .arg(directory.path())
            .env("TIDINGS_SERVER__OPS", "127.0.0.1:0")
            .env("TIDINGS_SERVER__INSECURE", insecure);
        command
    };
    let refused = within("the refusal", serve("false").output()).await.expect("run");
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(told.contains("server.insecure") && told.contains("0.0.0.0"), "{told}");
    let wanted = Server::start_with("[server]\ninsecure = true\nlisten = \"0.0.0.0:0\"\n").await;
    drop(wanted);
}

#[tokio::test]
async fn a_taken_address_is_told() {
    let server = Server::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let mut second = tidings();
    second
        .args(["serve", "--listen", &server.address().to_string(), "--data"])
        .arg(directory.path())
        .env("TIDINGS_SERVER__OPS", "127.0.0.1:0");
    let refused = within("the refusal", second.output()).await.expect("run");
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(
        told.contains("server.listen") && told.contains(&server.address().to_string()),
        "{told}"
    );
}
