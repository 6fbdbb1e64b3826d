//! What patterns match as topics come: one task asks the log for its topics, whoever has patterns compares.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    log::Log,
    name::{Selectors, Topic, template::TopicTemplate},
};

/// The names of all topics, in order; `None` until they are known.
pub(super) type Names = Option<Arc<[Topic]>>;

/// Topics that come one after the other are told of together.
const PAUSE: Duration = Duration::from_millis(100);
/// After a failure of the log.
const RETRY: Duration = Duration::from_secs(1);

/// Begins to follow the names of the log's topics, until `stop`.
pub(super) fn follow(
    log: &Arc<dyn Log>,
    dead_letters: &TopicTemplate,
    (tasks, stop): (&TaskTracker, &CancellationToken),
) -> watch::Receiver<Names> {
    let (told, names) = watch::channel(None);
    tasks.spawn(tell(Arc::clone(log), dead_letters.clone(), told, stop.clone()));
    names
}

async fn tell(log: Arc<dyn Log>, dead_letters: TopicTemplate, told: watch::Sender<Names>, stop: CancellationToken) {
    let mut metadata = log.metadata();
    loop {
        metadata.mark_unchanged();
        let asked_at = Instant::now();
        let asked = tokio::select! {
            () = stop.cancelled() => return,
            names = log.names() => names,
        };
        let asked = asked.map(|names| without(&dead_letters, names));
        let is_known = asked.is_ok();
        match asked {
            Ok(names) => {
                let is_news = |known: &Names| known.as_deref() != Some(names.as_slice());
                told.send_if_modified(|known| {
                    let is_news = is_news(known);
                    if is_news {
                        *known = Some(names.as_slice().into());
                    }
                    is_news
                });
            }
            Err(error) => tracing::debug!(%error, "cannot ask which topics there are, trying again"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = metadata.changed() => if changed.is_err() { return },
            () = sleep_until(asked_at + RETRY), if !is_known => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep_until(asked_at + PAUSE) => {}
        }
    }
}

/// Dead letters are matched by no pattern: a group would get its own again and again.
pub(super) fn without(dead_letters: &TopicTemplate, mut names: Vec<Topic>) -> Vec<Topic> {
    names.retain(|name| !dead_letters.covers(name));
    names
}

/// The topics that are meant, and those to come.
pub(super) struct Matching {
    selectors: Selectors,
    names: watch::Receiver<Names>,
    /// In order.
    topics: Vec<Topic>,
}

impl Matching {
    /// Waits until the log has told which topics there are, if there are patterns.
    pub(super) async fn begin(selectors: Selectors, names: watch::Receiver<Names>) -> Self {
        let mut matching = Self {
            topics: selectors.matching(&[]),
            selectors,
            names,
        };
        if matching.selectors.has_patterns() {
            matching.names.mark_changed();
            matching.look().await;
        }
        matching
    }

    pub(super) fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// Ready when there are topics that were not meant before. Those that went meanwhile are left out then: the log says by
    /// itself that they are gone.
    pub(super) async fn more(mut self) -> Self {
        if !self.selectors.has_patterns() {
            return std::future::pending().await;
        }
        loop {
            let before = self.topics.clone();
            self.look().await;
            if self.topics.iter().any(|topic| before.binary_search(topic).is_err()) {
                return self;
            }
        }
    }

    /// Waits until topics came or went, and compares.
    async fn look(&mut self) {
        let names = loop {
            if self.names.changed().await.is_err() {
                // The bus drains: there is nothing new any more.
                return std::future::pending().await;
            }
            let known = self.names.borrow_and_update().clone();
            if let Some(names) = known {
                break names;
            }
        };
        let selectors = self.selectors.clone();
        // Many names and many patterns take a while.
        let compared = tokio::task::spawn_blocking(move || selectors.matching(&names)).await;
        if let Ok(topics) = compared {
            self.topics = topics;
        }
    }
}
