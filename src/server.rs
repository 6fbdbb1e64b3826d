//! The server: build the parts, serve, drain. The only layer that names a backend.
//!
//! Stopping, in this order: health says not serving → no new calls, no new deliveries → acks stay possible until nothing is
//! outstanding or `server.drain_timeout` is over → commit → end the streams → close the log.

mod auth;
mod keys;
mod connections;
mod peer;
mod ops;
mod parts;
mod tls;

use std::{future::Future, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use tower::{ServiceBuilder, util::MapResponseLayer};

use crate::{
    auth::Auth,
    bus::Bus,
    config::Config,
    error::{Error, Reason, Result},
    grpc::{AuthenticateLayer, DeadlineLayer, Denials, Health, PanicLayer, Services, in_our_words},
    log::embedded,
    telemetry::Metrics,
};

/// After the streams had their time to settle: for what is still on its way.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Runs the bus until `stop` is ready, then drains. `Err` if it could not start or serve.
pub async fn run(config: Config, stop: impl Future<Output = ()> + Send) -> Result<()> {
    let (tasks, stopping, stopped) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
    let listener = listen(&config, &tasks, &stopped).await?;
    let ops = bind(config.server.ops, "server.ops").await?;
    warn_if_open(&config);
    let (log, log_name) = parts::open_log(&config).await?;
    let (routes, stores) = (parts::routes(&config)?, parts::stores(&config)?);
    let bus = Bus::start(log.clone(), routes, parts::bus_settings(&config), stores);
    let ops_address = address(&ops)?;
    let auth = auth::open(&config, &tasks, &stopped)?;
    let auth = auth.map(|auth| (auth, Denials::begin(&bus, &tasks, &stopped)));
    let (serving, is_serving) = watch::channel(true);
    let metrics = Arc::new(Metrics::of(&bus, log_name)?);
    let health = (bus.health(), is_serving.clone());
    tasks.spawn(ops::serve(ops, metrics, health, stopped.clone()));
    tasks.spawn(ops::follow_log(bus.health(), serving, stopping.clone()));
    let services = Services::new(bus.clone(), parts::request_limits(&config), log_name, tasks.clone());
    let routes = services.routes(Health::new(is_serving))?;
    tracing::info!(address = %address(&listener.0)?, ops = %ops_address, "listening");
    let serve = serve(listener, (routes, auth), &config, stopping.clone());
    tokio::pin!(serve);
    tokio::select! {
        () = &mut serve => {}
        () = stop => {
            tracing::info!("draining");
            stopping.cancel();
            let drained = async { tokio::join!(&mut serve, bus.drain()) };
            if timeout(config.server.drain_timeout + LAST_WORDS, drained).await.is_err() {
                tracing::warn!("streams were still open when the time to drain was over");
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

/// Whoever allowed it once is told each time.
fn warn_if_open(config: &Config) {
    let server = &config.server;
    let ops_counts = !server.ops_open;
    for (key, address, counts) in [
        ("server.listen", server.listen, true),
        ("server.ops", server.ops, ops_counts),
    ] {
        if server.insecure && counts && !address.ip().is_loopback() {
            tracing::warn!(
                key,
                %address,
                "server.insecure is set: other machines reach this listener whatever protects it"
            );
        }
    }
}

type Door = (TcpListener, Option<tls::Acceptor>);

/// The listener for clients, and how connections to it begin where they are encrypted.
async fn listen(config: &Config, tasks: &TaskTracker, stop: &CancellationToken) -> Result<Door> {
    let acceptor = match config.tls.clone() {
        None => None,
        Some(tls) => {
            let (acceptor, follow) = tls::open(tls, stop.clone())?;
            tasks.spawn(follow);
            Some(acceptor)
        }
    };
    Ok((bind(config.server.listen, "server.listen").await?, acceptor))
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

async fn serve(
    listener: Door,
    (routes, auth): (Routes, Option<(Auth, Denials)>),
    config: &Config,
    stop: CancellationToken,
) {
    let service = ServiceBuilder::new()
        // Outermost: every answer, errors too, carries the caller's request id.
        .layer(tower_http::request_id::PropagateRequestIdLayer::x_request_id())
        // Around the services: a call whose request does not come whole ends too.
        .layer(DeadlineLayer)
        // Nothing of a call is read before it is known who calls.
        .layer(AuthenticateLayer(auth))
        // What tonic refuses before them gets a reason too.
        .layer(MapResponseLayer::new(in_our_words))
        // Innermost: a fault of ours ends one call, not the connection with all that is on it.
        .layer(PanicLayer)
        .service(routes.prepare());
    connections::serve(listener, service, config.limits.streams_per_connection, stop).await;
}
