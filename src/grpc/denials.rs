//! Attempts that were denied go to the audit log: not more than it can bear, and the calls do not wait for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::Ration,
    bus::{Bus, Denial},
    error::Error,
};

/// How many wait to be written.
const WAITING: usize = 100;
const LONGEST: usize = 500;

/// Where attempts are told that were denied. Cloning it is cheap.
#[derive(Clone)]
pub struct Denials {
    sender: mpsc::Sender<Denial>,
    lost: Arc<AtomicU64>,
}

impl Denials {
    /// Writes down what is told, until `stop`.
    pub fn begin(bus: &Bus, tasks: &TaskTracker, stop: &CancellationToken) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let write = write(bus.clone(), receiver, Arc::clone(&lost));
        let stop = stop.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = write => {}
            }
        });
        Self { sender, lost }
    }

    pub(super) fn tell(&self, (principal, peer): (&str, &str), method: &str, error: &Error) {
        let denial = Denial {
            principal: principal.to_owned(),
            peer: peer.to_owned(),
            method: cut(method),
            text: cut(error.text()),
            untold: 0,
        };
        if self.sender.try_send(denial).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whoever calls says what the method is.
fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

async fn write(bus: Bus, mut denials: mpsc::Receiver<Denial>, lost: Arc<AtomicU64>) {
    // Strangers take nothing from those who are known.
    let (mut strangers, mut known) = (Ration::new(Instant::now()), Ration::new(Instant::now()));
    while let Some(mut denial) = denials.recv().await {
        let (ration, who) = match denial.principal.as_str() {
            "" => (&mut strangers, denial.peer.as_str()),
            name => (&mut known, name),
        };
        let Some(untold) = ration.take(who, Instant::now()) else {
            continue;
        };
        denial.untold = untold + lost.swap(0, Ordering::Relaxed);
        if let Err(error) = bus.audit_denial(&denial).await {
            tracing::warn!(%error, "cannot write a denied attempt to the audit log");
        }
    }
}
