//! What telemetry costs: the loads on a server with a collector, as its defaults have it and with all traced, beside one without.
//!
//! The collector takes what it is sent and drops it. Metrics at /metrics are there on both: they have no switch.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::Server as Grpc};

use opentelemetry_proto::tonic::collector::{
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use tokio_stream::wrappers::TcpListenerStream;

use crate::{
    RUNS, Result,
    ground::Ground,
    load::Load,
    process::Setting,
    report::{Samples, row},
    through,
};

/// With the defaults one call in a hundred is traced; at worst each, and each event that it brings.
const KINDS: [(&str, Option<&str>); 3] = [("off", None), ("on", Some("0.01")), ("all traced", Some("1"))];

pub(crate) async fn measure(ground: &Ground) -> Result<()> {
    let collector = collector().await?;
    for load in Load::ALL {
        let mut servers = Vec::new();
        for (what, ratio) in KINDS {
            let settings = settings(collector, ratio);
            let server = ground
                .server_with(
                    &format!("telemetry-{}-{}", load.name(), what.replace(' ', "-")),
                    &settings,
                )
                .await?;
            load.prepare(&server).await?;
            servers.push((what, server, Samples::default()));
        }
        for run in 1..=RUNS {
            eprintln!("telemetry, {}, run {run} of {RUNS}", load.name());
            for (_, server, samples) in &mut servers {
                samples.push(through(load, server).await?);
            }
        }
        let off = servers[0].2.cpu().median();
        for (what, _, samples) in &servers {
            row(load.name(), &format!("telemetry {what}"), samples);
            println!("   {:.2} x off", samples.cpu().median() / off);
        }
    }
    Ok(())
}

fn settings(collector: SocketAddr, ratio: Option<&str>) -> Vec<Setting> {
    let Some(ratio) = ratio else { return Vec::new() };
    vec![
        ("TIDINGS_TELEMETRY__OTLP__ENDPOINT", format!("http://{collector}")),
        ("TIDINGS_TELEMETRY__SAMPLE_RATIO", ratio.to_owned()),
    ]
}

async fn collector() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = Grpc::builder()
        .add_service(TraceServiceServer::new(Sink))
        .add_service(MetricsServiceServer::new(Sink))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(serving);
    Ok(address)
}

struct Sink;

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Sink {
    async fn export(
        &self,
        _: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        Ok(Response::new(Default::default()))
    }
}
