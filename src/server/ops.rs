//! The ops listener: /livez and /readyz for whoever keeps the process running, /metrics for whoever watches it.

use std::{future::IntoFuture as _, sync::Arc};

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::{
    error::{Error, Reason},
    telemetry::{self, Telemetry},
};

type LogHealth = watch::Receiver<Result<(), Arc<str>>>;

/// Serves until `stop`, which comes after the drain: who asks while the server drains is told so.
pub(super) async fn serve(
    listener: TcpListener,
    telemetry: Telemetry,
    (log, serving): (LogHealth, watch::Receiver<bool>),
    stop: CancellationToken,
) {
    let readyz = move || {
        let answer = ready(&log, &serving);
        async { answer }
    };
    let router = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(move || told(telemetry.clone())));
    let served = axum::serve(listener, router).into_future();
    tokio::select! {
        served = served => {
            if let Err(error) = served {
                tracing::error!(%error, "the ops listener failed");
            }
        }
        () = stop.cancelled() => {}
    }
}

/// With thousands of groups that takes a while, in which no worker of the runtime is held up.
async fn told(telemetry: Telemetry) -> Response {
    let broken = |error| Err(Error::new(Reason::Internal, format!("tell the metrics: {error}")));
    match spawn_blocking(move || telemetry.text()).await.unwrap_or_else(broken) {
        Ok(text) => ([(CONTENT_TYPE, telemetry::TEXT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "cannot tell the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn ready(log: &LogHealth, serving: &watch::Receiver<bool>) -> (StatusCode, String) {
    if let Err(cause) = &*log.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("log: {cause}\n"));
    }
    match *serving.borrow() {
        true => (StatusCode::OK, "ok\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned()),
    }
}

/// Serving = the log can be reached, and the server does not stop.
pub(super) async fn follow_log(mut log: LogHealth, serving: watch::Sender<bool>, stop: CancellationToken) {
    loop {
        let reachable = log.borrow_and_update().is_ok();
        serving.send_if_modified(|serving| std::mem::replace(serving, reachable) != reachable);
        tokio::select! {
            () = stop.cancelled() => break,
            changed = log.changed() => if changed.is_err() { break },
        }
    }
    serving.send_replace(false);
    stop.cancelled().await;
}
