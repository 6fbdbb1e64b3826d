//! The server: build the parts, serve, drain. The only layer that names a backend.
//!
//! Stopping, in this order: health says not serving → no new calls, no new deliveries → acks stay possible until nothing is
//! outstanding or `server.drain_timeout` is over → commit → end the streams → close the log.

mod auth;
mod keys;
mod connections;
mod files;
mod lent;
mod peer;
mod ops;
mod parts;
mod reload;
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
    grpc::{AuthenticateLayer, CallLayer, DeadlineLayer, Denials, Health, PanicLayer, Services, in_our_words},
    log::{AppendTimes, embedded},
    telemetry::{LogLevels, Telemetry},
};

/// After the streams had their time to settle: for what is still on its way.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Log lines go to stderr from now on, as the configuration says.
pub fn log_to_stderr(config: &Config) -> Result<LogLevels> {
    let telemetry = &config.telemetry;
    LogLevels::to_stderr(parts::level(telemetry.log_level), parts::lines(telemetry.log_format))
}

/// Runs the bus until `stop` is ready, then drains. `Err` if it could not start or serve.
pub async fn run(config: Config, levels: LogLevels, stop: impl Future<Output = ()> + Send) -> Result<()> {
    let (tasks, stopping, stopped) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
    reload::follow(&config, levels, &tasks, &stopped)?;
    let listener = listen(&config, &tasks, &stopped).await?;
    let ops = bind(config.server.ops, "server.ops").await?;
    warn_if_open(&config);
    let append_times = AppendTimes::default();
    let (log, log_name) = parts::open_log(&config, &append_times).await?;
    let (routes, stores) = (parts::routes(&config)?, parts::stores(&config)?);
    let bus = Bus::start(log.clone(), routes, parts::bus_settings(&config), stores);
    let ops_address = address(&ops)?;
    let auth = auth::open(&config, &tasks, &stopped)?;
    let auth = auth.map(|auth| (auth, Denials::begin(&bus, &tasks, &stopped)));
    let (serving, is_serving) = watch::channel(true);
    let telemetry = Telemetry::start(&bus, &parts::telemetry_settings(&config, log_name))?;
    let quotas = auth.as_ref().map_or_else(Arc::default, |(auth, _)| auth.meters());
    telemetry.quotas(move || quotas.refused());
    append_times.listen(telemetry.append_listener());
    let health = (bus.health(), is_serving.clone());
    tasks.spawn(ops::serve(ops, telemetry.clone(), health, stopped.clone()));
    tasks.spawn(ops::follow_log(bus.health(), serving, stopping.clone()));
    let services = Services::new(
        (bus.clone(), telemetry.clone()),
        parts::request_limits(&config),
        log_name,
        tasks.clone(),
    );
    let routes = services.routes(Health::new(is_serving))?;
    tracing::info!(address = %address(&listener.0)?, ops = %ops_address, "listening");
    let serve = serve(listener, (routes, auth, telemetry.clone()), &config, stopping.clone());
    until_drained((serve, stop), (&bus, &stopping), config.server.drain_timeout).await;
    stopping.cancel();
    log.close().await;
    stopped.cancel();
    tasks.close();
    let _ = timeout(LAST_WORDS, tasks.wait()).await;
    telemetry.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Serves until `stop`, then drains, for at most so long and a moment.
async fn until_drained(
    (serve, stop): (impl Future<Output = ()> + Send, impl Future<Output = ()> + Send),
    (bus, stopping): (&Bus, &CancellationToken),
    drain_timeout: Duration,
) {
    tokio::pin!(serve);
    tokio::select! {
        () = &mut serve => {}
        () = stop => {
            tracing::info!("draining");
            stopping.cancel();
            let drained = async { tokio::join!(&mut serve, bus.drain()) };
            if timeout(drain_timeout + LAST_WORDS, drained).await.is_err() {
                tracing::warn!("streams were still open when the time to drain was over");
            }
        }
    }
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
    (routes, auth, telemetry): (Routes, Option<(Auth, Denials)>, Telemetry),
    config: &Config,
    stop: CancellationToken,
) {
    let service = ServiceBuilder::new()
        // Outermost: every answer, errors too, carries the caller's request id.
        .layer(tower_http::request_id::PropagateRequestIdLayer::x_request_id())
        // Around all that may answer: each call is measured, and traced.
        .layer(CallLayer(telemetry.clone()))
        // Around the services: a call whose request does not come whole ends too.
        .layer(DeadlineLayer)
        // Nothing of a call is read before it is known who calls.
        .layer(AuthenticateLayer(auth))
        // What tonic refuses before them gets a reason too.
        .layer(MapResponseLayer::new(in_our_words))
        // Innermost: a fault of ours ends one call, not the connection with all that is on it.
        .layer(PanicLayer)
        .service(routes.prepare());
    let room = connections::Room {
        connections: files::room_for(config.limits.connections),
        streams_per_connection: config.limits.streams_per_connection,
    };
    connections::serve(listener, service, room, telemetry, stop).await;
}
