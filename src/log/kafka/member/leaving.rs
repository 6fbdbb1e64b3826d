//! Groups that this process is about to leave: whoever comes after waits until it has left.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The cluster may be away: then others wait no longer than for its own timeout.
const PATIENCE: Duration = Duration::from_secs(6);

/// By the group's id on the cluster; each token is set when a membership has left.
#[derive(Default)]
pub(in crate::log::kafka) struct Leaving(Mutex<HashMap<String, Vec<CancellationToken>>>);

impl Leaving {
    /// A membership is given up.
    pub(super) fn begin(&self, group_id: &str, left: CancellationToken) {
        let mut leaving = self.lock();
        leaving.retain(|_, tokens| {
            tokens.retain(|token| !token.is_cancelled());
            !tokens.is_empty()
        });
        leaving.entry(group_id.to_owned()).or_default().push(left);
    }

    /// Ready when no membership of this process is about to leave the group.
    pub(in crate::log::kafka) async fn done(&self, group_id: &str) {
        let tokens = self.lock().get(group_id).cloned().unwrap_or_default();
        let all_left = async {
            for token in &tokens {
                token.cancelled().await;
            }
        };
        // Not left in time: the cluster refuses what may not be.
        let _ = timeout(PATIENCE, all_left).await;
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<CancellationToken>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
