//! The gRPC listener: HTTP/2 on each connection that comes, until the server stops and the last call has ended.
//!
//! tonic's own server would do, if it let us say how much of an answer may wait for a slow client: hyper keeps 400 KB for
//! each stream, and a connection has a thousand.

use std::{convert::Infallible, future::Future, io, net::SocketAddr, pin::pin, time::Duration};

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
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tower::Service;
use tower_http::add_extension::AddExtension;

use super::{peer, tls::Acceptor};
use crate::grpc::Peer;

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
/// After the process was refused a socket: others must end first.
const RETRY: Duration = Duration::from_millis(100);

/// Serves until `stop`, then takes no more connections and calls, and returns when the last call has ended. Dropped, it ends
/// them all.
pub(super) async fn serve<S, F>(
    (listener, tls): (TcpListener, Option<Acceptor>),
    service: S,
    max_streams: u32,
    stop: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = F> + Clone + Send + 'static,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let (http, mut connections) = (http(max_streams), JoinSet::new());
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            (stream, address) = accept(&listener) => {
                let (http, service) = (http.clone(), service.clone());
                let (tls, stop) = (tls.as_ref().map(|tls| tls.borrow().clone()), stop.clone());
                connections.spawn(async move {
                    match tls {
                        None => {
                            let service = with_peer(service, peer::unnamed(address));
                            until_ended(http.serve_connection(TokioIo::new(stream), service), stop).await;
                        }
                        Some(tls) => {
                            if let Some(stream) = encrypted(&tls, stream).await {
                                let service = with_peer(service, peer::named(address, stream.get_ref().1));
                                until_ended(http.serve_connection(TokioIo::new(stream), service), stop).await;
                            }
                        }
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
    // Whoever connects now is refused, and goes elsewhere.
    drop(listener);
    while connections.join_next().await.is_some() {}
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
fn prompt((stream, address): (TcpStream, SocketAddr)) -> io::Result<(TcpStream, SocketAddr)> {
    stream.set_nodelay(true)?;
    Ok((stream, address))
}

/// The service for the requests of one connection: each knows who is at its other end.
fn with_peer<S>(service: S, peer: Peer) -> TowerToHyperService<AddExtension<S, Peer>> {
    TowerToHyperService::new(AddExtension::new(service, peer))
}

/// `None` if the client does not come to terms in time.
async fn encrypted(tls: &TlsAcceptor, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
    match timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
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

/// Drives a connection; after `stop` its client is told to begin no more calls, and those that are open go on.
async fn until_ended<I, S, F>(connection: http2::Connection<I, S, TokioExecutor>, stop: CancellationToken)
where
    I: Read + Write + Unpin,
    S: hyper::service::Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = F>,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection failed");
    }
}
