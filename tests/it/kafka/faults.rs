//! What goes wrong with a cluster, and what clients of the bus are told.

use std::{
    net::TcpListener,
    process::{Command, Stdio},
    time::Duration,
};

use tidings::proto::{
    io::cloudevents::v1::{CloudEvent, cloud_event::Data},
    tidings::v1::{CreateTopicRequest, ListTopicsRequest, OutcomeState, PublishRequest, ReadRequest, TopicSettings},
};
use tokio::task::spawn_blocking;
use tonic::{Code, Request, Status};

use super::brokers;
use crate::{
    deadlines::publish_failure,
    harness::{
        SOON, Server,
        clients::{ORDERS, open, order, request},
        eventually,
        kafka::Broker,
        status::{has_retry_info, reason, refused},
    },
    metrics::shows,
    server::get,
};

/// Properties of a broker that has rules: what none is about is allowed.
pub(super) const ACLS: [&str; 2] = [
    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found=true",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_started_before_its_brokers_says_so_and_serves_once_they_are_there() {
    let port = free_port();
    let server = Server::start_at_brokers(&format!("127.0.0.1:{port}"), "").await;
    let (status, text) = get(&server, "/readyz").await;
    assert_eq!(status, 503);
    assert!(text.contains("Kafka"), "{text}");
    assert_eq!(get(&server, "/livez").await.0, 200);
    let failed = publish_within(&server, Duration::from_secs(2))
        .await
        .expect_err("no broker");
    assert_eq!(reason(&failed), (Code::Unavailable, "LOG_UNAVAILABLE".into()));
    assert!(has_retry_info(&failed), "nothing was written: {failed:?}");
    let _broker = Broker::start_on_port(port).await;
    let is_ready = async || (get(&server, "/readyz").await.0 == 200).then_some(());
    eventually(SOON, "the server to be ready", is_ready).await;
    publish_within(&server, SOON).await.expect("now it is there");
    assert_eq!(
        server.read_all(ORDERS).await.len(),
        1,
        "what was refused was not written later"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_brokers_are_away_shows_it_in_its_metrics() {
    let mut broker = Broker::start(&[]).await;
    let server = Server::start_on(&broker, "[topics]\ndefault_partitions = 1\n").await;
    publish_within(&server, SOON).await.expect("published");
    let mut stream = server.subscribe(open("billing")).await;
    stream.deliveries(1).await;
    let unavailable = "tidings_group_waiting{group=\"billing\",reason=\"log_unavailable\"}";
    shows(&server, [("tidings_log_reachable", 1.0), (unavailable, 0.0)]).await;
    broker.kill().await;
    shows(&server, [("tidings_log_reachable", 0.0), (unavailable, 1.0)]).await;
    broker.start_again().await;
    shows(&server, [("tidings_log_reachable", 1.0), (unavailable, 0.0)]).await;
}

#[tokio::test]
async fn tls_where_there_is_none_is_told_and_not_taken_for_an_outage() {
    let broker = Broker::shared().await;
    let config = "[log.kafka.properties]\n'security.protocol' = 'ssl'\n";
    let server = Server::start_at_brokers(broker.address(), config).await;
    let told = async || {
        let (status, text) = get(&server, "/readyz").await;
        assert_eq!(status, 503);
        text.to_lowercase().contains("ssl").then_some(())
    };
    eventually(SOON, "the cause", told).await;
}

#[tokio::test]
async fn a_property_that_librdkafka_does_not_know_ends_the_start_with_its_name() {
    let broker = Broker::shared().await;
    let config = "[log.kafka.properties]\n'no.such.property' = '1'\n";
    let told = Server::refused_start(broker.address(), config).await;
    assert!(told.contains("log.kafka.properties.no.such.property"), "{told}");
}

#[tokio::test]
async fn without_auto_create_an_unknown_topic_is_refused_with_the_command_that_makes_it() {
    let server = Server::start_with("[topics]\nauto_create = false\n").await;
    let failed = refused(
        server.try_publish(request([order("1", "a")])).await,
        Code::NotFound,
        "TOPIC_NOT_FOUND",
    );
    assert!(failed.message().contains("tidings topics create"), "{failed:?}");
    let listed = server
        .topics()
        .list_topics(ListTopicsRequest::default())
        .await
        .expect("list");
    assert!(listed.into_inner().topics.is_empty(), "nothing was created");
}

#[tokio::test]
async fn an_event_over_the_topics_own_limit_fails_and_its_neighbors_are_told_of() {
    let broker = Broker::start(&["message.max.bytes=100000"]).await;
    let server = Server::start_on(&broker, "[topics]\nauto_create = false\n").await;
    brokers::create(&format!("{}small", server.prefix()), &broker).await;
    let mut large = order("large", "a");
    large.data = Some(Data::BinaryData(vec![7; 200_000].into()));
    let failed = server.try_publish(to("small", [large])).await.expect_err("too large");
    assert_eq!(reason(&failed), (Code::InvalidArgument, "EVENT_TOO_LARGE".into()));
    server
        .try_publish(to("small", [order("1", "a")]))
        .await
        .expect("small ones pass");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_disk_is_full_is_never_taken_for_durable() {
    let mut broker = Broker::start(&[]).await;
    let server = Server::start_on(&broker, "[topics]\ndefault_partitions = 1\n").await;
    let mut acknowledged = 0;
    publish_mib(&server, 1).await.expect("there is room");
    acknowledged += 1;
    broker.limit_files(3 << 20);
    let failed = loop {
        match publish_mib(&server, acknowledged + 1).await {
            Ok(()) => acknowledged += 1,
            Err(failed) => break failed,
        }
        assert!(acknowledged < 8, "the limit holds");
    };
    assert_eq!(reason(&failed), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".into()));
    let failure = publish_failure(&failed);
    assert!(
        failure.runs.iter().all(|run| run.state() == OutcomeState::Unknown),
        "{failure:?}"
    );
    broker.kill().await;
    broker.start_again().await;
    let is_ready = async || (get(&server, "/readyz").await.0 == 200).then_some(());
    eventually(SOON, "the server to be ready", is_ready).await;
    let there = server.read_all(ORDERS).await;
    for number in 1..=acknowledged {
        let id = number.to_string();
        assert!(
            there
                .iter()
                .any(|read| read.event.as_ref().is_some_and(|event| event.id == id)),
            "{id} is lost"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_acls_deny_is_refused_with_topic_or_group_and_operation() {
    let broker = Broker::start(&ACLS).await;
    let server = Server::start_on(&broker, "[topics]\nauto_create = false\n").await;
    for topic in ["unwritable", "unreadable"] {
        create(&server, topic).await.expect("allowed so far");
    }
    server
        .try_publish(to("unreadable", [order("1", "a")]))
        .await
        .expect("allowed");
    let prefix = server.prefix().to_owned();
    // Where there is any rule, what is not allowed is denied.
    for (resource, name, operations) in [
        ("--topic", format!("{prefix}unwritable"), &["Describe", "Read"][..]),
        ("--topic", format!("{prefix}unreadable"), &["Describe", "Write"]),
        ("--topic", format!("{prefix}uncreatable"), &["Describe"]),
        ("--group", format!("{prefix}forbidden"), &["Describe"]),
        (
            "--cluster",
            String::new(),
            &["ClusterAction", "Alter", "Describe", "IdempotentWrite"],
        ),
    ] {
        allow_only(&broker, (resource, &name), operations).await;
    }
    denied(
        server.try_publish(to("unwritable", [order("1", "a")])).await,
        "topic unwritable",
    );
    let read = ReadRequest {
        topics: vec!["unreadable".to_owned()],
        ..Default::default()
    };
    let read = async { server.read(read).await?.rest().await };
    denied(read.await, "read unreadable");
    denied(create(&server, "uncreatable").await, "create topic uncreatable");
    let mut forbidden = open("forbidden");
    forbidden.topics = vec!["unwritable".to_owned()];
    denied(server.open_refused(forbidden).await, "group forbidden");
}

fn denied<T>(result: Result<T, Status>, named: &str) {
    let failed = refused(result, Code::PermissionDenied, "PERMISSION_DENIED");
    assert!(
        failed.message().contains(named),
        "{named} is not in: {}",
        failed.message()
    );
}

async fn create(server: &Server, name: &str) -> Result<(), Status> {
    let create = CreateTopicRequest {
        name: name.to_owned(),
        settings: Some(TopicSettings {
            partitions: Some(1),
            ..Default::default()
        }),
    };
    server.topics().create_topic(create).await.map(|_| ())
}

fn to<const N: usize>(topic: &str, events: [CloudEvent; N]) -> PublishRequest {
    PublishRequest {
        topic: topic.to_owned(),
        ..request(events)
    }
}

async fn publish_within(server: &Server, timeout: Duration) -> Result<(), Status> {
    let mut call = Request::new(request([order("1", "a")]));
    call.set_timeout(timeout);
    server.publisher().publish(call).await.map(|_| ())
}

/// One event of nearly a MiB.
async fn publish_mib(server: &Server, number: usize) -> Result<(), Status> {
    let mut event = order(&number.to_string(), "a");
    event.data = Some(Data::BinaryData(vec![7; 1_000_000].into()));
    let mut call = Request::new(request([event]));
    call.set_timeout(Duration::from_secs(5));
    server.publisher().publish(call).await.map(|_| ())
}

pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The rules of a topic, a group or the cluster.
pub(super) async fn allow_only(broker: &Broker, (resource, name): (&str, &str), operations: &[&str]) {
    let mut arguments = vec!["--add", "--allow-principal", "User:ANONYMOUS", "--force", resource];
    arguments.extend((!name.is_empty()).then_some(name));
    arguments.extend(operations.iter().flat_map(|operation| ["--operation", operation]));
    kafka_tool("org.apache.kafka.tools.AclCommand", broker, &arguments).await;
}

/// One of the programs that come with Kafka.
async fn kafka_tool(class: &str, broker: &Broker, arguments: &[&str]) {
    let mut tool = Command::new("java");
    tool.args([
        "-cp",
        concat!(env!("CARGO_MANIFEST_DIR"), "/target/kafka/4.1.0/*"),
        class,
    ])
    .args(["--bootstrap-server", broker.address()])
    .args(arguments)
    .stdin(Stdio::null());
    let output = spawn_blocking(move || tool.output())
        .await
        .expect("joined")
        .expect("run java");
    assert!(
        output.status.success(),
        "{class}: {}",
        String::from_utf8_lossy(&output.stdout)
    );
}
