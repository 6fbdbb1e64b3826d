//! SIGHUP: how severe log lines must be is read again. Who may call is read again too, by `auth`.

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::parts;
use crate::{
    config::{Config, LogLevel},
    error::{Error, Reason, Result},
    telemetry::LogLevels,
};

/// From when it returns on, SIGHUP ends the process no more.
pub(super) fn follow(config: &Config, levels: LogLevels, tasks: &TaskTracker, stop: &CancellationToken) -> Result<()> {
    let hangup = hangup()?;
    let (config, stop) = (config.clone(), stop.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = reload(config, levels, hangup) => {}
        }
    });
    Ok(())
}

/// Listens for SIGHUP.
pub(super) fn hangup() -> Result<Signal> {
    signal(SignalKind::hangup()).map_err(|error| Error::new(Reason::Internal, "listen for SIGHUP").caused_by(error))
}

async fn reload(config: Config, levels: LogLevels, mut hangup: Signal) {
    let mut current = config.telemetry.log_level;
    while hangup.recv().await.is_some() {
        let sources = config.clone();
        let read = spawn_blocking(move || read(&sources)).await;
        match read.unwrap_or_else(|error| Err(Error::new(Reason::Internal, error.to_string()))) {
            Ok(wanted) if wanted == current => tracing::info!("SIGHUP: telemetry.log_level is as it was"),
            Ok(wanted) => {
                if let Err(error) = levels.set(parts::level(wanted)) {
                    tracing::error!(%error, "telemetry.log_level stays as it was");
                    continue;
                }
                tracing::info!(from = ?current, to = ?wanted, "SIGHUP: telemetry.log_level has changed");
                current = wanted;
            }
            Err(error) => tracing::error!(%error, "the configuration is no good; telemetry.log_level stays as it was"),
        }
    }
}

fn read(config: &Config) -> Result<LogLevel> {
    let config = config.again().map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Error::new(Reason::RequestInvalid, faults.join("; "))
    })?;
    Ok(config.telemetry.log_level)
}
