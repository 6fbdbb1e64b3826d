//! The log on Apache Kafka.
//!
//! ```text
//! append ▶ producer (idempotent, acks=all) ─────────────────▶ ┌───────┐
//! read ◀── lanes (shared consumers, a queue per partition) ◀── │ Kafka │
//! join ◀▶ one membership per group, which fetches nothing ◀──▶ │       │
//! topic ◀─ catalog (topics and partitions, asked again) ◀───── └───────┘
//! ```
//!
//! docs/kafka.md says what is asked of the cluster, and what the bus adds to Kafka's own promises.

mod options;
mod names;
mod client;
mod fault;
mod health;
mod stranded;
mod pulse;
mod catalog;
mod admin;
mod producer;
mod headers;
mod lanes;
mod reader;
mod lists;
mod offsets;
mod member;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::options::Options;
use self::{
    admin::Admin, catalog::Catalog, client::Clients, health::Health, lanes::Lanes, member::Leaving, names::Names,
    offsets::Offsets, producer::Producer, pulse::Pulse,
};
use crate::{
    error::{Error, Result},
    log::{
        Bounds, Commit, Committed, Log, LogTime, Membership, NewRecord, Reader, Receipt, TopicInfo, TopicPartition,
        TopicSettings,
    },
    name::{Group, Topic},
};

/// A log on a cluster. Close it, so that what was handed over is written.
pub struct KafkaLog {
    cluster: Arc<Cluster>,
    admin: Admin,
    producer: Producer,
    offsets: Arc<Offsets>,
    lanes: Arc<Lanes>,
}

/// What all parts of the log share.
struct Cluster {
    options: Options,
    names: Arc<Names>,
    clients: Clients,
    health: Health,
    catalog: Arc<Catalog>,
    pulse: Arc<Pulse>,
    leaving: Leaving,
    tasks: TaskTracker,
    /// Set when the log closes.
    stop: CancellationToken,
}

impl KafkaLog {
    /// Makes the clients. The cluster need not be reachable: that is told by `health`. `REQUEST_INVALID` names a property
    /// that librdkafka does not take.
    pub async fn open(options: Options) -> Result<Arc<Self>> {
        fault::blocking(move || Self::start(options)).await?
    }

    fn start(options: Options) -> Result<Arc<Self>> {
        let health = Health::new(&options.bootstrap_servers);
        let clients = Clients::new(&options, health.clone());
        let names = Arc::new(Names::new(&options));
        let catalog = Arc::new(Catalog::new(clients.clone(), Arc::clone(&names), health.clone())?);
        let cluster = Arc::new(Cluster {
            pulse: Arc::new(Pulse::new(&options)),
            options,
            names,
            clients,
            health,
            catalog,
            leaving: Leaving::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let catalog = Arc::clone(&cluster.catalog);
        cluster.tasks.spawn(catalog.run(cluster.stop.clone()));
        let (pulse, stop) = (Arc::clone(&cluster.pulse), cluster.stop.clone());
        cluster.tasks.spawn(async move { pulse.run(stop).await });
        let offsets = Arc::new(Offsets::new(&cluster));
        Ok(Arc::new(Self {
            admin: Admin::new(&cluster)?,
            producer: Producer::start(&cluster)?,
            lanes: Arc::new(Lanes::new(Arc::clone(&cluster), Arc::clone(&offsets))),
            offsets,
            cluster,
        }))
    }
}

impl Cluster {
    fn check_open(&self) -> Result<()> {
        match self.stop.is_cancelled() {
            true => Err(fault::closed()),
            false => Ok(()),
        }
    }

    /// The topic's partitions, from what is known.
    async fn must_exist(&self, topic: &Topic) -> Result<catalog::Known> {
        self.check_open()?;
        self.catalog
            .find(topic)
            .await?
            .ok_or_else(|| Error::no_such_topic(topic))
    }
}

#[async_trait]
impl Log for KafkaLog {
    async fn create_topic(&self, topic: &Topic, settings: TopicSettings) -> Result<()> {
        self.admin.create(topic, &settings).await
    }

    async fn alter_topic(&self, topic: &Topic, settings: TopicSettings) -> Result<()> {
        self.admin.alter(topic, &settings).await
    }

    async fn delete_topic(&self, topic: &Topic) -> Result<()> {
        self.admin.delete(topic).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.admin.describe_all().await
    }

    async fn names(&self) -> Result<Vec<Topic>> {
        self.cluster.check_open()?;
        self.cluster.catalog.names().await
    }

    async fn partitions(&self, topic: &Topic) -> Result<Option<i32>> {
        self.cluster.check_open()?;
        Ok(self.cluster.catalog.find(topic).await?.map(|known| known.partitions))
    }

    async fn topic(&self, topic: &Topic) -> Result<Option<TopicInfo>> {
        self.admin.describe(topic).await
    }

    fn metadata(&self) -> watch::Receiver<u64> {
        self.cluster.catalog.changes()
    }

    fn health(&self) -> watch::Receiver<Result<(), Arc<str>>> {
        self.cluster.health.watch()
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Receipt> {
        self.producer.append(records).await
    }

    fn read(&self, partition: &TopicPartition, from: i64, until: Option<i64>) -> Reader {
        reader::read(Arc::clone(&self.lanes), partition, from, until)
    }

    async fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>> {
        self.offsets.bounds(partitions).await
    }

    async fn offsets_at(&self, partitions: &[TopicPartition], time: LogTime) -> Result<Vec<i64>> {
        self.offsets.at(partitions, time).await
    }

    async fn join(&self, group: &Group, topics: &[Topic]) -> Result<Membership> {
        member::join(&self.cluster, group, topics).await
    }

    async fn committed(&self, group: &Group, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>> {
        self.offsets.committed(group, partitions).await
    }

    async fn has_members(&self, group: &Group) -> Result<bool> {
        self.offsets.has_members(group).await
    }

    async fn commit(&self, group: &Group, commits: Vec<Commit>) -> Result<()> {
        self.offsets.commit(group, commits).await
    }

    async fn forget(&self, group: &Group) -> Result<()> {
        self.cluster.leaving.done(&self.cluster.names.group_id(group)).await;
        self.admin.forget(group).await
    }

    async fn foreign_groups(&self) -> Result<Vec<(Group, usize)>> {
        self.offsets.groups().await
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn close(&self) {
        self.producer.close().await;
        self.cluster.stop.cancel();
        self.cluster.tasks.close();
        self.cluster.tasks.wait().await;
    }
}
