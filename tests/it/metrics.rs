//! Metrics: what an operator sees of groups and limits at /metrics, and that all of it is documented.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use tidings::proto::{
    io::cloudevents::v1::{CloudEvent, cloud_event::Data},
    tidings::v1::{Credit, Open},
};

use tonic::{Request, codegen::http::uri::PathAndQuery};

use crate::{
    LOG,
    harness::{
        Backend, SOON, Server,
        clients::{ORDERS, ids, open, order, request},
        eventually,
    },
    retries::{broken::break_over, commit, every, nack, seconds, to_dead_letters, with_one_partition},
    server::get,
};

/// Series as they stand in the text, such as `tidings_group_streams{group="billing"}`, and their values.
pub(crate) type Series = BTreeMap<String, f64>;

async fn text(server: &Server) -> String {
    let (code, text) = get(server, "/metrics").await;
    assert_eq!(code, 200, "{text}");
    text
}

async fn scrape(server: &Server) -> Series {
    let row = |line: &str| {
        let (series, value) = line.rsplit_once(' ').expect("a series and its value");
        (series.to_owned(), value.parse().expect("a number"))
    };
    let text = text(server).await;
    text.lines().filter(|line| !line.starts_with('#')).map(row).collect()
}

/// Waits until all these have these values.
pub(crate) async fn shows<const N: usize>(server: &Server, wanted: [(&str, f64); N]) -> Series {
    eventually(SOON, &format!("{wanted:?}"), async || {
        let all = scrape(server).await;
        let is_so = wanted.iter().all(|(series, value)| all.get(*series) == Some(value));
        is_so.then_some(all)
    })
    .await
}

fn of_group(metric: &str) -> String {
    format!("{metric}{{group=\"billing\"}}")
}

fn large(id: &str) -> CloudEvent {
    CloudEvent {
        data: Some(Data::BinaryData(vec![7; 60 * 1024].into())),
        ..order(id, id)
    }
}

#[tokio::test]
async fn a_stuck_key_shows_as_the_oldest_event_and_as_a_full_window() {
    let server = with_one_partition("[delivery]\nwindow = 5\n").await;
    let events = (0..20).map(|n| order(&n.to_string(), &n.to_string()));
    server.publish(events.collect()).await;
    let mut stream = server.subscribe(open("billing")).await;
    let got = stream.deliveries(5).await;
    stream.send(nack(&got[0], seconds(600.0)));
    stream.ack(&got[1..]);
    let held_up = [
        ("tidings_group_waiting{group=\"billing\",reason=\"window_full\"}", 1.0),
        ("tidings_group_waiting{group=\"billing\",reason=\"no_credit\"}", 0.0),
        ("tidings_group_waiting{group=\"billing\",reason=\"buffer_limit\"}", 0.0),
        (
            "tidings_group_waiting{group=\"billing\",reason=\"log_unavailable\"}",
            0.0,
        ),
        ("tidings_group_streams{group=\"billing\"}", 1.0),
        ("tidings_group_outstanding_events{group=\"billing\"}", 0.0),
        ("tidings_group_lag_events{group=\"billing\"}", 20.0),
        ("tidings_group_oldest_unacked_attempts{group=\"billing\"}", 1.0),
        ("tidings_group_deliveries_total{group=\"billing\"}", 5.0),
        ("tidings_group_redeliveries_total{group=\"billing\"}", 0.0),
        ("tidings_group_acks_total{group=\"billing\"}", 4.0),
        ("tidings_group_failures_total{group=\"billing\"}", 1.0),
        ("tidings_streams_open", 1.0),
        ("tidings_streams_limit", 20_000.0),
        ("tidings_groups_running", 1.0),
        ("tidings_groups_limit", 10_000.0),
        ("tidings_publish_in_flight_bytes", 0.0),
        ("tidings_log_reachable", 1.0),
    ];
    let seen = shows(&server, held_up).await;
    let age = of_group("tidings_group_oldest_unacked_age_seconds");
    assert!(seen[&age] > 0.0, "{seen:?}");
    eventually(SOON, "the event to get older", async || {
        (scrape(&server).await[&age] > seen[&age]).then_some(())
    })
    .await;
    let buffered = seen[&of_group("tidings_group_buffered_bytes")];
    assert!(
        (1.0..seen["tidings_group_buffer_limit_bytes"]).contains(&buffered),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_group_without_credit_and_one_with_a_full_buffer_show_it() {
    let limits = "[limits]\nmax_event_bytes = '96KiB'\ngroup_buffer_bytes = '96KiB'\n";
    let server = with_one_partition(limits).await;
    for round in 0..10 {
        let events = (0..10).map(|n| large(&format!("{round}-{n}")));
        server.try_publish(request(events)).await.expect("publish");
    }
    let one = Credit { events: 1, bytes: 0 };
    let mut poor = server
        .subscribe(Open {
            credit: Some(one),
            ..open("poor")
        })
        .await;
    let _full = server.subscribe(open("full")).await;
    let got = poor.deliveries(1).await;
    let held_up = [
        ("tidings_group_waiting{group=\"poor\",reason=\"no_credit\"}", 1.0),
        ("tidings_group_waiting{group=\"full\",reason=\"no_credit\"}", 0.0),
        ("tidings_group_waiting{group=\"full\",reason=\"buffer_limit\"}", 1.0),
        ("tidings_group_waiting{group=\"full\",reason=\"window_full\"}", 0.0),
    ];
    shows(&server, held_up).await;
    poor.ack(&got);
    poor.grant(1_000, 0);
    shows(
        &server,
        [("tidings_group_waiting{group=\"poor\",reason=\"no_credit\"}", 0.0)],
    )
    .await;
}

/// 24 MB wait on the log, and the group may hold 16.
#[tokio::test]
async fn a_group_reads_little_beyond_what_its_streams_take() {
    let server = with_one_partition("").await;
    for round in 0..100 {
        let events = (0..250).map(|n| CloudEvent {
            data: Some(Data::BinaryData(vec![7; 1_024].into())),
            ..order(&format!("{round}-{n}"), &format!("{round}-{n}"))
        });
        server.try_publish(request(events)).await.expect("publish");
    }
    let mut poor = server
        .subscribe(Open {
            credit: Some(Credit { events: 10, bytes: 0 }),
            heartbeat_interval: seconds(1.0),
            ..open("billing")
        })
        .await;
    poor.deliveries(10).await;
    for _ in 0..2 {
        poor.heartbeat().await;
    }
    let buffered = scrape(&server).await[&of_group("tidings_group_buffered_bytes")];
    assert!((1e6..12e6).contains(&buffered), "{buffered}");
}

#[tokio::test]
async fn what_became_of_events_is_counted_also_when_the_group_ends_and_begins_again() {
    let server = with_one_partition("").await;
    let retrying = Open {
        retry: Some(every(0.05)),
        ..open("group")
    };
    let mut stream = server.subscribe(retrying).await;
    server.publish(vec![order("a1", "a"), order("b1", "b")]).await;
    let got = stream.deliveries(2).await;
    stream.send(nack(&got[0], None));
    stream.send(to_dead_letters(&got[1], ""));
    let again = stream.deliveries(1).await;
    assert_eq!(ids(&again), ["a1"]);
    commit(&mut stream, &again).await;
    stream.close().await;
    server.publish(vec![order("c1", "c")]).await;
    break_over(&server, 1).await;
    let ended = [
        ("tidings_groups_running", 0.0),
        ("tidings_group_streams{group=\"group\"}", 0.0),
        ("tidings_group_deliveries_total{group=\"group\"}", 4.0),
        ("tidings_group_redeliveries_total{group=\"group\"}", 1.0),
        ("tidings_group_acks_total{group=\"group\"}", 1.0),
        ("tidings_group_failures_total{group=\"group\"}", 1.0),
        ("tidings_group_abandons_total{group=\"group\"}", 1.0),
        (
            "tidings_group_dead_letters_total{group=\"group\",reason=\"nacked\"}",
            1.0,
        ),
        (
            "tidings_group_dead_letters_total{group=\"group\",reason=\"attempts\"}",
            0.0,
        ),
    ];
    let seen = shows(&server, ended).await;
    // Nobody here knows how far behind it is now.
    let lag = "tidings_group_lag_events{group=\"group\"}";
    assert!(!seen.contains_key(lag), "{seen:?}");
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(1).await;
    assert_eq!((ids(&got), got[0].attempt), (vec!["c1".to_owned()], 2));
    commit(&mut stream, &got).await;
    let goes_on = [
        ("tidings_group_deliveries_total{group=\"group\"}", 5.0),
        ("tidings_group_redeliveries_total{group=\"group\"}", 2.0),
        ("tidings_group_acks_total{group=\"group\"}", 2.0),
        ("tidings_group_abandons_total{group=\"group\"}", 1.0),
        (lag, 0.0),
        ("tidings_group_oldest_unacked_age_seconds{group=\"group\"}", 0.0),
    ];
    shows(&server, goes_on).await;
}

#[tokio::test]
async fn groups_beyond_the_limit_are_told_together() {
    let server = Server::start_with("[telemetry]\nmax_metric_groups = 1\n").await;
    let mut first = server.subscribe(open("first")).await;
    let mut second = server.subscribe(open("second")).await;
    let mut third = server.subscribe(open("third")).await;
    server.publish(vec![order("1", "a")]).await;
    for stream in [&mut first, &mut second, &mut third] {
        stream.deliveries(1).await;
    }
    let seen = shows(
        &server,
        [
            ("tidings_group_deliveries_total{group=\"first\"}", 1.0),
            ("tidings_group_deliveries_total{group=\"other\"}", 2.0),
            ("tidings_group_streams{group=\"other\"}", 2.0),
            ("tidings_group_outstanding_events{group=\"other\"}", 2.0),
            ("tidings_groups_running", 3.0),
        ],
    )
    .await;
    let is_told = |series: &String| series.contains("group=\"second\"") || series.contains("group=\"third\"");
    assert!(!seen.keys().any(is_told), "{seen:?}");
}

#[tokio::test]
async fn calls_are_measured_by_method_and_status_and_events_by_topic() {
    let server = Server::start_with("[telemetry]\nmax_metric_topics = 1\n").await;
    server.publish(vec![order("1", "a"), order("2", "b")]).await;
    let cart = CloudEvent {
        r#type: "io.shop.carts.created".to_owned(),
        ..order("3", "c")
    };
    server.publish(vec![cart]).await;
    let mut stream = server.subscribe(open("billing")).await;
    stream.deliveries(2).await;
    server.try_publish(request([])).await.expect_err("no events");
    let mut unknown = tonic::client::Grpc::new(server.channel());
    unknown.ready().await.expect("a connection");
    let codec = tonic_prost::ProstCodec::<(), ()>::default();
    let path = PathAndQuery::from_static("/no.such.Service/Method");
    unknown.unary(Request::new(()), path, codec).await.expect_err("unknown");
    let system = if LOG == Backend::Kafka { "kafka" } else { "tidings" };
    let publishes = "rpc_method=\"tidings.v1.PublisherService/Publish\"";
    let sent = |topic: &str| {
        format!(
            "messaging_destination_name=\"{topic}\",messaging_operation_name=\"send\",messaging_system=\"{system}\""
        )
    };
    let consumed = sent(ORDERS).replace("\"send\"", "\"deliver\"");
    let calls = "rpc_server_call_duration_seconds_count";
    let wanted = [
        (
            format!("{calls}{{{publishes},rpc_response_status_code=\"OK\",rpc_system_name=\"grpc\"}}"),
            2.0,
        ),
        (
            format!("{calls}{{{publishes},rpc_response_status_code=\"INVALID_ARGUMENT\",rpc_system_name=\"grpc\"}}"),
            1.0,
        ),
        (
            format!(
                "{calls}{{error_type=\"UNIMPLEMENTED\",rpc_method=\"_OTHER\",rpc_response_status_code=\"UNIMPLEMENTED\",rpc_system_name=\"grpc\"}}"
            ),
            1.0,
        ),
        (format!("messaging_client_sent_messages_total{{{}}}", sent(ORDERS)), 2.0),
        (
            format!("messaging_client_sent_messages_total{{{}}}", sent("other")),
            1.0,
        ),
        (
            format!("messaging_client_operation_duration_seconds_count{{{}}}", sent(ORDERS)),
            1.0,
        ),
        (format!("messaging_client_consumed_messages_total{{{consumed}}}"), 2.0),
    ];
    let seen = shows(
        &server,
        wanted.each_ref().map(|(series, value)| (series.as_str(), *value)),
    )
    .await;
    assert!(seen["tidings_log_append_duration_seconds_count"] >= 2.0, "{seen:?}");
    assert!(seen[&of_group("tidings_group_lag_seconds")] >= 0.0, "{seen:?}");
}

#[tokio::test]
async fn the_documentation_lists_what_is_served_and_nothing_else() {
    let server = Server::start().await;
    let mut stream = server.subscribe(open("billing")).await;
    server.publish(vec![order("1", "a")]).await;
    stream.deliveries(1).await;
    shows(&server, [("tidings_group_deliveries_total{group=\"billing\"}", 1.0)]).await;
    let served = text(&server).await;
    let served: BTreeSet<(&str, &str)> = served
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = fs::read_to_string(page).expect("docs/metrics.md");
    let listed: BTreeSet<(&str, &str)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, rest)| (name, rest.split(' ').next().unwrap_or_default()))
        .filter(|(_, kind)| ["gauge", "counter", "histogram"].contains(kind))
        .collect();
    assert_eq!(listed, served, "docs/metrics.md (left) and /metrics (right) differ");
}
