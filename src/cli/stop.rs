//! Signals: the first asks to stop, the second aborts.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{
    failure::{Failure, Result},
    output::tell,
};

/// Cancelled at the first SIGINT or SIGTERM; the second ends the process with exit status 1.
pub fn on_signal() -> Result<CancellationToken> {
    let listen = |kind| signal(kind).map_err(|error| Failure::local("listen for signals", error));
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        stopped.cancel();
        either(&mut interrupt, &mut terminate).await;
        tell("tidings: aborted by a second signal");
        #[expect(
            clippy::disallowed_methods,
            reason = "whoever signals twice asks for just that: no more waiting"
        )]
        std::process::exit(1);
    });
    Ok(stop)
}

async fn either(one: &mut Signal, other: &mut Signal) {
    // Both arms are cancel-safe: a signal that is not received here is received by the next call.
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
