//! One of the log's producers, the only one until it fails for good.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Message as _},
    producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext, PurgeConfig},
};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::{
    calls::{Calls, Ticket},
    reporting::Reporting,
};
use crate::{
    error::Result,
    log::{
        NewRecord, Placed, Receipt, Unwritten,
        kafka::{
            Cluster,
            client::Context,
            fault::{blocking, failed, unwritten},
            headers::to_kafka,
            names::Names,
            stranded::Stranded,
        },
        receipt::Answer,
    },
    name::Topic,
};

/// What the log's promises stand on.
const SETTINGS: [(&str, &str); 8] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("partitioner", "murmur2_random"),
    // Batches form while requests are under way; nobody waits for one to fill.
    ("linger.ms", "0"),
    // A broker works on one request of a connection at a time; the second is there when it is done with the first, and more
    // gain nothing. Below this limit librdkafka polls without a pause while what it has to send waits for an answer.
    ("max.in.flight", "2"),
    // The queue is bounded by its bytes, in `Producer`.
    ("queue.buffering.max.messages", "0"),
    ("queue.buffering.max.kbytes", "2147483647"),
    // The topic's own limit is for its brokers to say.
    ("message.max.bytes", "104857600"),
];
/// For what is under way when the log closes.
const FLUSH: Duration = Duration::from_secs(10);
/// For a look at a topic.
const LOOK: Duration = Duration::from_secs(5);

pub(super) struct Generation {
    producer: Reporting<Reports>,
    calls: Arc<Calls>,
    failure: Arc<Failure>,
    stranded: Stranded,
    /// How many partitions librdkafka knows of.
    partitions: Mutex<HashMap<Topic, (u64, i32)>>,
}

#[derive(Default)]
struct Failure {
    is_fatal: AtomicBool,
    news: Notify,
}

impl Generation {
    pub(super) fn new(cluster: &Cluster) -> Result<Self> {
        let calls = Arc::new(Calls::timed(cluster.options.append_times.clone()));
        let failure = Arc::<Failure>::default();
        let reports = Reports {
            context: cluster.clients.context(),
            names: Arc::clone(&cluster.names),
            calls: Arc::clone(&calls),
            failure: Arc::clone(&failure),
        };
        let stranded = reports.context.stranded.clone();
        let producer: BaseProducer<Reports> = cluster.clients.create(&SETTINGS, reports)?;
        Ok(Self {
            producer: Reporting::start(producer)?,
            calls,
            failure,
            stranded,
            partitions: Mutex::default(),
        })
    }

    /// Has librdkafka look at topics whose partitions came or went. By itself it does so within minutes: until then it would
    /// refuse records for new partitions, and put keys where they no longer belong.
    pub(super) async fn learn(self: &Arc<Self>, cluster: &Cluster, records: &[NewRecord]) -> Result<()> {
        let mut topics: Vec<&Topic> = records.iter().map(|record| &record.topic).collect();
        topics.dedup();
        for topic in topics {
            let Some(known) = cluster.catalog.known(topic) else {
                continue;
            };
            let now = (known.birth, known.partitions);
            let before = self.lock().get(topic).copied();
            if before.is_some_and(|before| before != now) {
                let (generation, name) = (Arc::clone(self), cluster.names.on_cluster(topic));
                let asked = blocking(move || generation.producer.client().fetch_metadata(Some(&name), LOOK).map(drop));
                if let Err(error) = asked.await? {
                    return Err(failed(&format!("look at topic {topic}"), &error));
                }
            }
            if before != Some(now) {
                self.lock().insert(topic.clone(), now);
            }
        }
        Ok(())
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, (u64, i32)>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failure.is_fatal.load(Ordering::Acquire) || self.stranded.is()
    }

    /// Ready once the producer has failed for good.
    pub(super) async fn failure(&self) {
        tokio::select! {
            () = self.failure.news.notified() => {}
            () = self.stranded.comes() => {}
        }
    }

    /// Hands all records over. `Err`: this producer has failed for good, and none was taken.
    pub(super) fn send(
        &self,
        cluster: &Cluster,
        records: &[NewRecord],
        room: OwnedSemaphorePermit,
    ) -> Result<Receipt, OwnedSemaphorePermit> {
        if records.is_empty() {
            return Ok(Box::new(Answer::nothing()));
        }
        let (call, receipt) = self.calls.begin(records.len(), room);
        let mut topic = OnCluster::default();
        for (index, record) in records.iter().enumerate() {
            topic.go_to(cluster, &record.topic);
            let ticket = Ticket {
                call,
                record: u32::try_from(index).unwrap_or(u32::MAX),
            };
            let Err(error) = self.send_one(&topic, record, ticket) else {
                continue;
            };
            if is_fatal(&error) {
                self.failure.note();
                if index == 0
                    && let Some(room) = self.calls.cancel(call)
                {
                    return Err(room);
                }
            }
            let error = Arc::new(failed(&format!("append to topic {}", record.topic), &error));
            let unwritten = Unwritten {
                may_be_written: false,
                error,
            };
            self.calls.note(ticket, Err(unwritten));
        }
        Ok(Box::new(receipt))
    }

    fn send_one(&self, topic: &OnCluster, record: &NewRecord, ticket: Ticket) -> Result<(), KafkaError> {
        let mut new = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&topic.name, ticket.to_word());
        new.key = record.key.as_deref();
        new.payload = record.value.as_deref();
        new.headers = to_kafka(&record.headers);
        // Without a key, records of one call stay together.
        let stay = || record.key.is_none().then_some(topic.partition);
        new.partition = record.partition.or_else(stay);
        self.producer.send(new).map_err(|(error, _)| error)
    }

    /// Waits until all is answered, or for ten seconds.
    pub(super) fn flush(&self) {
        if self.producer.flush(FLUSH).is_err() {
            tracing::warn!("the log is closed before Kafka has answered everything");
        }
    }

    /// Has all that is left answered.
    pub(super) fn give_up(&self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
        self.flush();
    }
}

impl Failure {
    fn note(&self) {
        self.is_fatal.store(true, Ordering::Release);
        self.news.notify_one();
    }
}

/// The topic of the records being sent.
#[derive(Default)]
struct OnCluster {
    topic: Option<Topic>,
    name: String,
    /// For records without a key.
    partition: i32,
}

impl OnCluster {
    fn go_to(&mut self, cluster: &Cluster, topic: &Topic) {
        if self.topic.as_ref() == Some(topic) {
            return;
        }
        let partitions = cluster.catalog.known(topic).map_or(1, |known| known.partitions.max(1));
        self.partition = fastrand::i32(0..partitions);
        self.name = cluster.names.on_cluster(topic);
        self.topic = Some(topic.clone());
    }
}

/// Hears what became of each record, and of the producer.
struct Reports {
    context: Context,
    names: Arc<Names>,
    calls: Arc<Calls>,
    failure: Arc<Failure>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if is_fatal(&error) {
            tracing::error!(reason, "the producer failed for good");
            self.failure.note();
        }
        self.context.error(error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.context.stats_raw(statistics);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, word: usize) {
        let outcome = match result {
            Ok(message) => Ok(Placed {
                partition: message.partition(),
                offset: message.offset(),
            }),
            Err((error, message)) => {
                let topic = self.names.topic(message.topic());
                Err(unwritten(error, topic.as_ref().map_or(message.topic(), Topic::as_str)))
            }
        };
        self.calls.note(Ticket::from_word(word), outcome);
    }
}

fn is_fatal(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
}
