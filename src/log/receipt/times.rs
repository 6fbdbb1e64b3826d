//! How long appends take, for whoever measures.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// Tells how long each write took, until it was durable. Cloning it is cheap; it costs next to nothing until somebody listens.
#[derive(Clone, Default)]
pub struct AppendTimes(Arc<OnceLock<Listener>>);

type Listener = Box<dyn Fn(Duration) + Send + Sync>;

impl AppendTimes {
    /// Is called with each from now on, on the thread that wrote: it must not wait. The first that listens is the only one.
    pub fn listen(&self, listener: impl Fn(Duration) + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(listener));
    }

    pub(in crate::log) fn tell(&self, took: Duration) {
        if let Some(listener) = self.0.get() {
            listener(took);
        }
    }
}

impl fmt::Debug for AppendTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AppendTimes").finish_non_exhaustive()
    }
}
