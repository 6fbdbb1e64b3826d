//! Whether the cluster can be reached: said by whoever asked it last, watched by all.

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, watch};

/// The text is for people.
pub(super) type Reachable = Result<(), Arc<str>>;

#[derive(Clone)]
pub(super) struct Health {
    reachable: Arc<watch::Sender<Reachable>>,
    /// Something looks wrong: ask the cluster now.
    doubt: Arc<Notify>,
    complaints: Arc<Mutex<Complaints>>,
}

/// Why connections cannot be made, and what of it was told since the cluster was reached last.
#[derive(Default)]
struct Complaints {
    /// What a client said last; empty = nothing.
    last: String,
    is_told: bool,
    is_told_with_complaint: bool,
}

impl Health {
    /// Not reachable until the cluster has answered once.
    pub(super) fn new(bootstrap_servers: &str) -> Self {
        let connecting = format!("connecting to Kafka at {bootstrap_servers}");
        Self {
            reachable: Arc::new(watch::Sender::new(Err(connecting.into()))),
            doubt: Arc::default(),
            complaints: Arc::default(),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Reachable> {
        self.reachable.subscribe()
    }

    /// Ready when the cluster can be reached.
    pub(super) fn reachable(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut reachable = self.reachable.subscribe();
        async move {
            // The sender lives as long as the log.
            let _ = reachable.wait_for(Result::is_ok).await;
        }
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.reachable.borrow().is_ok()
    }

    pub(super) fn answered(&self) {
        let is_news = |known: &mut Reachable| std::mem::replace(known, Ok(())).is_err();
        if self.reachable.send_if_modified(is_news) {
            *self.complaints() = Complaints::default();
            tracing::info!("Kafka can be reached");
        }
    }

    pub(super) fn failed(&self, cause: &str) {
        let mut complaints = self.complaints();
        let has_complaint = !complaints.last.is_empty();
        let cause = match has_complaint {
            true => format!("{cause}: {}", complaints.last),
            false => cause.to_owned(),
        };
        let cause = cause.as_str();
        // Also where it was never reached, and once more when it is known why.
        if !complaints.is_told || (has_complaint && !complaints.is_told_with_complaint) {
            tracing::warn!(cause, "Kafka cannot be reached");
        }
        (complaints.is_told, complaints.is_told_with_complaint) = (true, has_complaint);
        drop(complaints);
        let is_news = |known: &mut Reachable| std::mem::replace(known, Err(cause.into())).is_ok();
        self.reachable.send_if_modified(is_news);
    }

    /// A client cannot connect, and says why.
    pub(super) fn complained(&self, complaint: &str) {
        complaint.clone_into(&mut self.complaints().last);
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn complaints(&self) -> MutexGuard<'_, Complaints> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client saw its connections break.
    pub(super) fn doubted(&self) {
        self.doubt.notify_one();
    }

    pub(super) async fn doubt(&self) {
        self.doubt.notified().await;
    }
}
