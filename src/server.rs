//! The server: build the parts, serve, drain. The only file that names a backend.
//!
//! Stopping, in this order: health says not serving → no new calls, no new deliveries → acks stay possible until nothing is
//! outstanding or `server.drain_timeout` is over → commit → end the streams → close the log.

mod ops;
mod parts;

use std::{future::Future, net::SocketAddr, path::Path, time::Duration};

use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tower::util::MapResponseLayer;

use crate::{
    bus::Bus,
    config::Config,
    error::{Error, Reason, Result},
    grpc::{Health, Services, in_our_words},
    log::embedded,
};

/// After the streams had their time to settle: for what is still on its way.
const LAST_WORDS: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a client may send on one stream, and on one connection, before the server has read it.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
const MAX_HEADER_BYTES: u32 = 16 * 1024;

/// Runs the bus until `stop` is ready, then drains. `Err` if it could not start or serve.
pub async fn run(config: Config, stop: impl Future<Output = ()> + Send) -> Result<()> {
    let listener = bind(config.server.listen, "server.listen").await?;
    let ops = bind(config.server.ops, "server.ops").await?;
    let (log, log_name) = parts::open_log(&config).await?;
    let bus = Bus::start(log.clone(), parts::routes(&config)?, parts::bus_settings(&config));
    let (tasks, ops_address) = (TaskTracker::new(), address(&ops)?);
    let (serving, is_serving) = watch::channel(true);
    let stopping = CancellationToken::new();
    let stopped = CancellationToken::new();
    tasks.spawn(ops::serve(ops, bus.health(), is_serving.clone(), stopped.clone()));
    tasks.spawn(ops::follow_log(bus.health(), serving, stopping.clone()));
    let services = Services::new(bus.clone(), parts::request_limits(&config), log_name, tasks.clone());
    let routes = services.routes(Health::new(is_serving))?;
    tracing::info!(address = %address(&listener)?, ops = %ops_address, "listening");
    let no_new_calls = stopping.clone();
    let serve = serve(listener, routes, &config, no_new_calls.cancelled_owned());
    tokio::pin!(serve);
    tokio::select! {
        served = &mut serve => served?,
        () = stop => {
            tracing::info!("draining");
            stopping.cancel();
            let drained = async { tokio::join!(&mut serve, bus.drain()).0 };
            match timeout(config.server.drain_timeout + LAST_WORDS, drained).await {
                Ok(served) => served?,
                Err(_) => tracing::warn!("streams were still open when the time to drain was over"),
            }
        }
    }
    stopping.cancel();
    log.close().await;
    stopped.cancel();
    tasks.close();
    let _ = timeout(LAST_WORDS, tasks.wait()).await;
    tracing::info!("stopped");
    Ok(())
}

/// What lies in an embedded log's directory, and what is damaged there. The directory must not be in use.
pub fn verify_log(directory: &Path) -> Result<embedded::Report> {
    embedded::verify(directory)
}

async fn bind(address: SocketAddr, key: &str) -> Result<TcpListener> {
    let failed = |error| Error::new(Reason::Internal, format!("listen on {key} = {address}: {error}"));
    TcpListener::bind(address).await.map_err(failed)
}

fn address(listener: &TcpListener) -> Result<SocketAddr> {
    listener
        .local_addr()
        .map_err(|error| Error::new(Reason::Internal, format!("tell the listener's address: {error}")))
}

async fn serve(listener: TcpListener, routes: Routes, config: &Config, stop: impl Future<Output = ()>) -> Result<()> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(config.limits.streams_per_connection)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        // Outermost: every answer, errors too, carries the caller's request id.
        .layer(tower_http::request_id::PropagateRequestIdLayer::x_request_id())
        // Around the services: what tonic refuses before them gets a reason too.
        .layer(MapResponseLayer::new(in_our_words))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop)
        .await
        .map_err(|error| Error::new(Reason::Internal, "serve").caused_by(error))
}
