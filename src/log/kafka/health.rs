//! Whether the cluster can be reached: said by whoever asked it last, watched by all.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{Notify, watch};

/// The text is for people.
pub(super) type Reachable = Result<(), Arc<str>>;

#[derive(Clone)]
pub(super) struct Health {
    reachable: Arc<watch::Sender<Reachable>>,
    /// Something looks wrong: ask the cluster now.
    doubt: Arc<Notify>,
    /// What a client said last about a connection that could not be made.
    complaint: Arc<Mutex<String>>,
}

impl Health {
    /// Not reachable until the cluster has answered once.
    pub(super) fn new(bootstrap_servers: &str) -> Self {
        let connecting = format!("connecting to Kafka at {bootstrap_servers}");
        Self {
            reachable: Arc::new(watch::Sender::new(Err(connecting.into()))),
            doubt: Arc::default(),
            complaint: Arc::default(),
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
            tracing::info!("Kafka can be reached");
        }
    }

    pub(super) fn failed(&self, cause: &str) {
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cause = match complaint.is_empty() {
            true => cause.to_owned(),
            false => format!("{cause}: {complaint}"),
        };
        let cause = cause.as_str();
        let is_news = |known: &mut Reachable| std::mem::replace(known, Err(cause.into())).is_ok();
        if self.reachable.send_if_modified(is_news) {
            tracing::warn!(cause, "Kafka cannot be reached");
        }
    }

    /// A client cannot connect, and says why.
    pub(super) fn complained(&self, complaint: &str) {
        complaint.clone_into(&mut self.complaint.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A client saw its connections break.
    pub(super) fn doubted(&self) {
        self.doubt.notify_one();
    }

    pub(super) async fn doubt(&self) {
        self.doubt.notified().await;
    }
}
