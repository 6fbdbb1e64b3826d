//! What a collector is sent, and how: by gRPC and by HTTP, spans and metrics, with who sends it.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;

use super::{PUBLISH, publish_in, traceparent};
use crate::harness::{
    SOON, Server,
    clients::order,
    collector::{Collector, attributes},
    eventually, tidings, within,
};

async fn sends(collector: &Collector, server: &Server) {
    publish_in(server, Some(&traceparent("00000000000000aa", "01")), order("1", "a")).await;
    collector.span(PUBLISH).await;
    let calls = eventually(SOON, "calls that are measured", async || {
        match collector.metric("rpc.server.call.duration").await.data {
            Some(Data::Histogram(calls)) => Some(calls),
            _ => None,
        }
    })
    .await;
    let first = attributes(&calls.data_points[0].attributes);
    assert_eq!(first["rpc.system.name"], "grpc");
    let resource = collector.resource();
    assert_eq!(resource["service.name"], "tidings-test");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(resource["service.instance.id"].len(), 8);
    assert_eq!(collector.authorization(), "Bearer secret");
}

fn config(protocol: &str, address: std::net::SocketAddr) -> String {
    format!(
        "[telemetry.otlp]\nendpoint = \"http://{address}\"\nprotocol = \"{protocol}\"\nmetrics_interval = \"100ms\"\n\
         service_name = \"tidings-test\"\n[telemetry.otlp.headers]\nauthorization = \"Bearer secret\"\n"
    )
}

#[tokio::test]
async fn a_collector_is_sent_spans_and_metrics_by_grpc() {
    let collector = Collector::start().await;
    let server = Server::start_with(&config("grpc", collector.grpc)).await;
    sends(&collector, &server).await;
}

#[tokio::test]
async fn a_collector_is_sent_spans_and_metrics_by_http() {
    let collector = Collector::start().await;
    let server = Server::start_with(&config("http", collector.http)).await;
    sends(&collector, &server).await;
}

#[tokio::test]
async fn what_was_not_sent_yet_is_sent_when_the_server_stops() {
    let collector = Collector::start().await;
    let config = config("grpc", collector.grpc).replace("100ms", "1h");
    let mut server = Server::start_with(&config).await;
    publish_in(&server, Some(&traceparent("00000000000000aa", "01")), order("1", "a")).await;
    assert!(server.stop().await.success());
    collector.metric("messaging.client.sent.messages").await;
}

#[tokio::test]
async fn a_server_without_its_collector_works_and_stops() {
    let gone = Collector::start().await;
    let config = config("grpc", gone.grpc);
    drop(gone);
    let mut server = Server::start_with(&config).await;
    publish_in(&server, Some(&traceparent("00000000000000aa", "01")), order("1", "a")).await;
    let told = ["metrics", "spans"].map(|what| format!("cannot send {what} to the collector"));
    for told in &told {
        server.logged(&format!("{told}, and go on trying")).await;
    }
    publish_in(&server, Some(&traceparent("00000000000000bb", "01")), order("2", "a")).await;
    assert!(server.stop().await.success());
    // The last try failed too, and was not told again.
    for told in &told {
        assert_eq!(server.log().matches(told).count(), 1, "{}", server.log());
    }
    assert!(!server.log().contains("BatchSpanProcessor"), "{}", server.log());
}

#[tokio::test]
async fn headers_are_not_shown() {
    let shown = tidings()
        .args(["config", "show"])
        .env("TIDINGS_TELEMETRY__OTLP__ENDPOINT", "http://localhost:4317")
        .env("TIDINGS_TELEMETRY__OTLP__HEADERS__X_API_KEY", "hush")
        .output();
    let shown = within("the configuration", shown).await.expect("run it");
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        shown.status.success() && text.contains("x-api-key = \"(secret)\""),
        "{text}"
    );
    assert!(!text.contains("hush"), "{text}");
}
