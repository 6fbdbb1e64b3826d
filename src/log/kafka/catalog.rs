//! The catalog: which topics there are and how many partitions each has, asked of the cluster again and again.
//!
//! A publish asks the catalog, not the cluster. What another replica or program creates is seen within about a second, what
//! this process creates or deletes at once. Asking is also how the log knows whether the cluster can be reached.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rdkafka::{
    consumer::{BaseConsumer, Consumer as _},
    metadata::Metadata,
    types::RDKafkaErrorCode,
};
use rustc_hash::FxHashMap;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    client::{Clients, Context},
    fault::{blocking, failed_with, unavailable},
    health::Health,
    names::Names,
};
use crate::{error::Result, name::Topic};

/// How long the cluster may take to answer before it counts as away.
const TIMEOUT: Duration = Duration::from_secs(3);
const PERIOD: Duration = Duration::from_secs(1);
/// For the client's own events, before it is asked.
const SERVE: Duration = Duration::from_millis(1);
/// While the cluster is away.
const RETRY: Duration = Duration::from_millis(250);
/// Asking takes at most this part of the time, however many topics there are.
const SHARE: u32 = 20;

pub(super) struct Catalog {
    clients: Clients,
    /// Belongs to no group.
    probe: Mutex<Arc<BaseConsumer<Context>>>,
    names: Arc<Names>,
    health: Health,
    topics: Mutex<FxHashMap<Topic, Known>>,
    /// Rises when topics or partitions came or went.
    changes: watch::Sender<u64>,
    rounds: watch::Sender<Rounds>,
    wanted: Notify,
}

/// A topic of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) partitions: i32,
    /// Differs from that of an earlier topic of the same name.
    pub(super) birth: u64,
    /// Each partition has a leader.
    pub(super) has_leaders: bool,
}

#[derive(Clone, Copy, Default)]
struct Rounds {
    begun: u64,
    done: u64,
    /// One of them at least.
    has_answered: bool,
}

impl Catalog {
    pub(super) fn new(clients: Clients, names: Arc<Names>, health: Health) -> Result<Self> {
        Ok(Self {
            probe: Mutex::new(Arc::new(probe(&clients)?)),
            clients,
            names,
            health,
            topics: Mutex::default(),
            changes: watch::Sender::new(0),
            rounds: watch::Sender::default(),
            wanted: Notify::new(),
        })
    }

    /// A client that is connected already; it belongs to no group.
    pub(super) fn probe(&self) -> Arc<BaseConsumer<Context>> {
        Arc::clone(&self.lock_probe())
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What is known, without asking.
    pub(super) fn known(&self, topic: &Topic) -> Option<Known> {
        self.lock().get(topic).copied()
    }

    pub(super) fn all(&self) -> Vec<(Topic, Known)> {
        let mut all: Vec<(Topic, Known)> = self
            .lock()
            .iter()
            .map(|(topic, known)| (topic.clone(), *known))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// The names of all topics, in order, as known; asked for now only if the cluster has not answered yet.
    pub(super) async fn names(&self) -> Result<Vec<Topic>> {
        let has_answered = || self.rounds.borrow().has_answered;
        if !has_answered() {
            self.refresh().await;
        }
        if !has_answered() {
            return Err(unavailable("list topics: Kafka cannot be reached".to_owned()));
        }
        let mut names: Vec<Topic> = self.lock().keys().cloned().collect();
        names.sort();
        Ok(names)
    }

    /// A topic that may have been created a moment ago: the cluster is asked about one that is not known.
    pub(super) async fn find(&self, topic: &Topic) -> Result<Option<Known>> {
        if let Some(known) = self.known(topic) {
            return Ok(Some(known));
        }
        let (probe, name) = (self.probe(), self.names.on_cluster(topic));
        let asked = blocking(move || probe.fetch_metadata(Some(&name), TIMEOUT)).await?;
        let metadata = asked.map_err(|error| super::fault::failed(&format!("look up topic {topic}"), &error))?;
        let error = metadata
            .topics()
            .first()
            .and_then(rdkafka::metadata::MetadataTopic::error);
        match error.map(RDKafkaErrorCode::from) {
            None | Some(RDKafkaErrorCode::LeaderNotAvailable) => {
                self.refresh().await;
                Ok(self.known(topic))
            }
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
            Some(code) => Err(failed_with(&format!("look up topic {topic}"), code)),
        }
    }

    /// Asks the cluster now, and waits for its answer.
    pub(super) async fn refresh(&self) {
        let next = self.rounds.borrow().begun + 1;
        let mut rounds = self.rounds.subscribe();
        self.wanted.notify_one();
        // The sender lives as long as `self`.
        let _ = rounds.wait_for(|rounds| rounds.done >= next).await;
    }

    /// The topic was deleted by this process.
    pub(super) fn forget(&self, topic: &Topic) {
        if self.lock().remove(topic).is_some() {
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// Asks again and again until `stop`.
    pub(super) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let started = Instant::now();
            let answered = self.ask().await;
            let pause = match answered {
                true => PERIOD.max(started.elapsed() * SHARE),
                false => RETRY,
            };
            tokio::select! {
                () = stop.cancelled() => {
                    // Nobody is answered any more; whoever waits goes on with what is known.
                    self.rounds.send_modify(|rounds| rounds.done = u64::MAX);
                    return;
                }
                () = self.wanted.notified() => {}
                () = self.health.doubt() => {}
                () = sleep(pause) => {}
            }
        }
    }

    async fn ask(&self) -> bool {
        let mut round = 0;
        self.rounds.send_modify(|rounds| {
            rounds.begun += 1;
            round = rounds.begun;
        });
        self.replace_stranded().await;
        let probe = self.probe();
        let asked = blocking(move || {
            // Nothing is consumed: this only serves the client's events, all that came since; without a time it would be one.
            while probe.poll(SERVE).is_some() {}
            probe.fetch_metadata(None, TIMEOUT)
        });
        let answered = match asked.await {
            Ok(Ok(metadata)) => {
                self.learn(&metadata, round);
                self.health.answered();
                true
            }
            Ok(Err(error)) => {
                self.health.failed(
                    &error
                        .rdkafka_error_code()
                        .map_or_else(|| error.to_string(), |code| code.to_string()),
                );
                false
            }
            Err(error) => {
                self.health.failed(error.text());
                false
            }
        };
        self.rounds.send_modify(|rounds| {
            rounds.done = round;
            rounds.has_answered |= answered;
        });
        answered
    }

    async fn replace_stranded(&self) {
        let before = self.probe();
        if !before.context().stranded.is() {
            return;
        }
        let clients = self.clients.clone();
        match blocking(move || probe(&clients)).await.flatten() {
            Ok(made) => *self.lock_probe() = Arc::new(made),
            Err(error) => tracing::warn!(%error, "cannot make another client of Kafka, trying again"),
        }
        let _ = blocking(move || drop(before)).await;
    }

    fn learn(&self, metadata: &Metadata, round: u64) {
        let mut topics = self.lock();
        let mut now = FxHashMap::default();
        for topic in metadata.topics().iter().filter(|topic| topic.error().is_none()) {
            let Some(name) = self.names.topic(topic.name()) else {
                continue;
            };
            let birth = topics.get(&name).map_or(round, |known| known.birth);
            let known = Known {
                partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
                birth,
                has_leaders: topic.partitions().iter().all(|partition| partition.leader() >= 0),
            };
            now.insert(name, known);
        }
        if *topics != now {
            *topics = now;
            drop(topics);
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, FxHashMap<Topic, Known>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_probe(&self) -> MutexGuard<'_, Arc<BaseConsumer<Context>>> {
        self.probe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn probe(clients: &Clients) -> Result<BaseConsumer<Context>> {
    clients.create(&[], clients.context())
}
