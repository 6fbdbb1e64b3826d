//! The gRPC listener: HTTP/2 on each connection that comes, until the server stops and the last call has ended.
//!
//! tonic's own server would do, if it let us say how much of an answer may wait for a slow client: hyper keeps 400 KB for
//! each stream, and a connection has a thousand.

use std::{
    convert::Infallible,
    future::{Future, pending},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::{
    Request, Response,
    body::Incoming,
    rt::{Read, Write},
    server::conn::http2,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::{Service, ServiceExt as _, util::MapRequest};

use super::{
    lent::{Lent, lend},
    peer,
    tls::Acceptor,
};
use crate::{grpc::Peer, telemetry::Telemetry};

const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// What a client may send on one stream, and on one connection, before the server has read it.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
const MAX_HEADER_BYTES: u32 = 16 * 1024;
/// With so much of a stream waiting to be sent, no more of it is taken. What is taken is a whole message, and the next one
/// lies ready: how large those get is for the services to bound.
const SEND_BUFFER: usize = 32 * 1024;
/// For a client to agree on TLS with us.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// For a client to begin its first call; it may connect again when it has one to make.
const FIRST_CALL: Duration = Duration::from_secs(20);
/// For a client that has no call to hear that it should go.
const GOODBYE: Duration = Duration::from_secs(1);
/// After the process was refused a socket: others must end first.
const RETRY: Duration = Duration::from_millis(100);
/// How often it is told that connections are refused.
const TELL: Duration = Duration::from_secs(60);

/// What clients may have open at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) connections: u32,
    pub(super) streams_per_connection: u32,
}

/// Serves until `stop`, then takes no more connections and calls, and returns when the last call has ended. Dropped, it ends
/// them all.
pub(super) async fn serve<S, F>(
    (listener, tls): (TcpListener, Option<Acceptor>),
    service: S,
    room: Room,
    telemetry: Telemetry,
    stop: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = F> + Clone + Send + 'static,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let (http, mut connections) = (http(room.streams_per_connection), JoinSet::new());
    let mut refusals = Refusals::default();
    telemetry.connections_limit(room.connections);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            (socket, address) = accept(&listener) => {
                while connections.try_join_next().is_some() {}
                if connections.len() >= room.connections as usize {
                    refusals.one_more(&telemetry, room.connections);
                    continue;
                }
                let (http, service) = (http.clone(), service.clone());
                let (tls, stop) = (tls.as_ref().map(|tls| tls.borrow().clone()), stop.clone());
                connections.spawn(async move {
                    let (socket, owner) = lend(socket);
                    connected((socket, address), tls, (http, service), stop).await;
                    owner.close().await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
        telemetry.connections(connections.len());
    }
    // Whoever connects now is refused, and goes elsewhere.
    drop(listener);
    while connections.join_next().await.is_some() {
        telemetry.connections(connections.len());
    }
}

fn http(max_streams: u32) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(max_streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_send_buf_size(SEND_BUFFER);
    http
}

/// The next connection. Cancelled, none is lost.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await.and_then(prompt) {
            Ok(accepted) => return accepted,
            // The client has gone again.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection, trying again");
                sleep(RETRY).await;
            }
        }
    }
}

/// Small frames are not held back for larger ones.
fn prompt((socket, address): (TcpStream, SocketAddr)) -> io::Result<(TcpStream, SocketAddr)> {
    socket.set_nodelay(true)?;
    Ok((socket, address))
}

/// Connections beyond the limit, which are closed at once.
#[derive(Default)]
struct Refusals {
    told: Option<Instant>,
}

impl Refusals {
    fn one_more(&mut self, telemetry: &Telemetry, limit: u32) {
        telemetry.connection_refused();
        if self.told.is_none_or(|told| told.elapsed() >= TELL) {
            self.told = Some(Instant::now());
            tracing::warn!(
                limit,
                "as many connections are open as limits.connections allows: more are refused"
            );
        }
    }
}

async fn connected<S, F>(
    (socket, address): (Lent, SocketAddr),
    tls: Option<TlsAcceptor>,
    (http, service): (http2::Builder<TokioExecutor>, S),
    stop: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = F> + Clone + Send + 'static,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let has_called = Arc::new(AtomicBool::new(false));
    match tls {
        None => {
            let service = with_peer(service, peer::unnamed(address), &has_called);
            until_ended(http.serve_connection(TokioIo::new(socket), service), &has_called, stop).await;
        }
        Some(tls) => {
            if let Some(socket) = encrypted(&tls, socket).await {
                let service = with_peer(service, peer::named(address, socket.get_ref().1), &has_called);
                until_ended(http.serve_connection(TokioIo::new(socket), service), &has_called, stop).await;
            }
        }
    }
}

/// The service for the requests of one connection: each knows who is at its other end, and the connection that it came.
fn with_peer<S>(
    service: S,
    peer: Peer,
    has_called: &Arc<AtomicBool>,
) -> TowerToHyperService<MapRequest<S, impl FnMut(Request<Incoming>) -> Request<Incoming> + Clone + use<S>>>
where
    S: Service<Request<Incoming>>,
{
    let has_called = Arc::clone(has_called);
    TowerToHyperService::new(service.map_request(move |mut request: Request<Incoming>| {
        has_called.store(true, Relaxed);
        request.extensions_mut().insert(peer.clone());
        request
    }))
}

/// `None` if the client does not come to terms in time.
async fn encrypted(tls: &TlsAcceptor, socket: Lent) -> Option<TlsStream<Lent>> {
    match timeout(HANDSHAKE, tls.accept(socket)).await {
        Ok(Ok(socket)) => Some(socket),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a client did not agree on TLS");
            None
        }
        Err(_) => {
            tracing::debug!("a client took too long to agree on TLS");
            None
        }
    }
}

/// Drives a connection. After `stop`, or where no call comes in time, its client is told to begin no more calls; those that
/// are open go on.
async fn until_ended<I, S, F>(
    connection: http2::Connection<I, S, TokioExecutor>,
    has_called: &AtomicBool,
    stop: CancellationToken,
) where
    I: Read + Write + Unpin,
    S: hyper::service::Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = F>,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return told(ended),
        () = stop.cancelled() => {}
        () = without_a_call(has_called) => {}
    }
    connection.as_mut().graceful_shutdown();
    match timeout(GOODBYE, connection.as_mut()).await {
        Ok(ended) => told(ended),
        Err(_) if has_called.load(Relaxed) => told(connection.await),
        Err(_) => tracing::debug!("a client made no call and did not go"),
    }
}

/// Ready once the time for the first call is over, and none has begun.
async fn without_a_call(has_called: &AtomicBool) {
    sleep(FIRST_CALL).await;
    if has_called.load(Relaxed) {
        pending::<()>().await;
    }
}

fn told(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection failed");
    }
}
