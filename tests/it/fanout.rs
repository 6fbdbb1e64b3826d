//! Many readers of one topic cost one fetch: the log is read once, whoever and however many they are.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use tidings::{
    bus::{
        AfterDeadLetter, Bus, CheckpointRules, CommandSettings, DeliveryRule, DeliveryRules, NewEvents, OnGap,
        ReadFrame, ReadOptions, ReadSession, Settings, SnapshotSettings, Start, Stores,
        delivery::{Credit, RetryPolicy},
    },
    convention::routes::Routes,
    error::Result,
    event::{Draft, Event},
    log::{
        Bounds, Commit, Committed, Log, LogTime, Membership, NewRecord, Reader, Receipt, TopicInfo, TopicPartition,
        TopicSettings,
        embedded::{EmbeddedLog, Options},
    },
    name::{Group, Selector, Selectors, Topic, template::TopicTemplate},
    scratch::Scratch,
};
use tokio::{
    sync::watch,
    time::{Duration, Instant},
};

use crate::harness::within;

const READERS: usize = 1_000;
const TOPIC: &str = "io.shop.orders.resource";

/// Counts how often the log is read.
struct Counting {
    log: Arc<EmbeddedLog>,
    reads: Arc<AtomicUsize>,
}

#[async_trait]
impl Log for Counting {
    async fn create_topic(&self, topic: &Topic, settings: TopicSettings) -> Result<()> {
        self.log.create_topic(topic, settings).await
    }
    async fn alter_topic(&self, topic: &Topic, settings: TopicSettings) -> Result<()> {
        self.log.alter_topic(topic, settings).await
    }
    async fn delete_topic(&self, topic: &Topic) -> Result<()> {
        self.log.delete_topic(topic).await
    }
    async fn topics(&self) -> Result<Vec<TopicInfo>> {
        self.log.topics().await
    }
    async fn names(&self) -> Result<Vec<Topic>> {
        self.log.names().await
    }
    async fn partitions(&self, topic: &Topic) -> Result<Option<i32>> {
        self.log.partitions(topic).await
    }

    async fn topic(&self, topic: &Topic) -> Result<Option<TopicInfo>> {
        self.log.topic(topic).await
    }
    fn metadata(&self) -> watch::Receiver<u64> {
        self.log.metadata()
    }
    fn health(&self) -> watch::Receiver<Result<(), Arc<str>>> {
        self.log.health()
    }
    async fn append(&self, records: Vec<NewRecord>) -> Result<Receipt> {
        self.log.append(records).await
    }
    fn read(&self, partition: &TopicPartition, from: i64, until: Option<i64>) -> Reader {
        if partition.topic.as_str() == TOPIC {
            self.reads.fetch_add(1, Ordering::SeqCst);
        }
        self.log.read(partition, from, until)
    }
    async fn bounds(&self, partitions: &[TopicPartition]) -> Result<Vec<Bounds>> {
        self.log.bounds(partitions).await
    }
    async fn offsets_at(&self, partitions: &[TopicPartition], time: LogTime) -> Result<Vec<i64>> {
        self.log.offsets_at(partitions, time).await
    }
    async fn join(&self, group: &Group, topics: &[Topic]) -> Result<Membership> {
        self.log.join(group, topics).await
    }
    async fn committed(&self, group: &Group, partitions: &[TopicPartition]) -> Result<Vec<Option<Committed>>> {
        self.log.committed(group, partitions).await
    }
    async fn has_members(&self, group: &Group) -> Result<bool> {
        self.log.has_members(group).await
    }
    async fn commit(&self, group: &Group, commits: Vec<Commit>) -> Result<()> {
        self.log.commit(group, commits).await
    }
    async fn forget(&self, group: &Group) -> Result<()> {
        self.log.forget(group).await
    }
    async fn foreign_groups(&self) -> Result<Vec<(Group, usize)>> {
        self.log.foreign_groups().await
    }
    fn is_shared(&self) -> bool {
        self.log.is_shared()
    }
    async fn close(&self) {
        self.log.close().await;
    }
}

fn settings() -> Settings {
    let megabytes = |count: usize| count << 20;
    Settings {
        checkpoints: CheckpointRules {
            keep: 1,
            max_bytes: 1,
            transfers: 1,
        },
        max_event_bytes: megabytes(1),
        publish_bytes: megabytes(8),
        streams: 2 * READERS,
        groups: 10,
        group_buffer_bytes: megabytes(8),
        feed_bytes: megabytes(8),
        max_credit: Credit {
            events: 1_000,
            bytes: Some(1_000_000),
        },
        window: 1_000,
        commit_interval: Duration::from_secs(1),
        commit_count: 1_000,
        plan_lifetime: Duration::from_secs(3_600),
        tenancy: Arc::default(),
        delivery: DeliveryRules {
            groups: Vec::new(),
            others: DeliveryRule {
                lease: None,
                retry: RetryPolicy {
                    initial: Duration::from_secs(1),
                    factor: 2.0,
                    maximum: Duration::from_secs(60),
                    jitter: 0.0,
                    max_attempts: 0,
                    max_abandons: 0,
                },
            },
            max_lease: Duration::from_secs(60),
        },
        dead_letter_topic: TopicTemplate::new("tidings.dead-letters.{group}").expect("valid"),
        after_dead_letter: AfterDeadLetter::Continue,
        snapshots: SnapshotSettings {
            memory: megabytes(4),
            restores: 1,
            keep: 1,
            max_age: Duration::ZERO,
            schedule: Vec::new(),
        },
        auto_create: true,
        default_partitions: 1,
        metric_groups: 1,
        commands: CommandSettings {
            topic: Topic::new("tidings.commands").expect("valid"),
            retention: Duration::from_secs(3_600),
            max_timeout: Duration::from_secs(3_600),
            outstanding: 10,
        },
        drain_timeout: Duration::from_secs(1),
    }
}

fn event(id: usize) -> Event {
    Draft {
        id: id.to_string().into(),
        source: "/test".into(),
        spec_version: "1.0".into(),
        ty: "io.shop.orders.created".into(),
        ..Draft::default()
    }
    .check()
    .expect("valid")
}

async fn publish(bus: &Bus, ids: std::ops::Range<usize>) {
    let new = NewEvents {
        scope: tidings::name::Scope::all(),
        events: ids.map(event).collect(),
        topic: None,
        key: None,
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    bus.publish(new, deadline).await.expect("publish");
}

async fn receive(reader: &mut ReadSession, count: usize) {
    let mut got = 0;
    while got < count {
        match within("events", reader.next())
            .await
            .expect("a frame")
            .expect("no error")
        {
            ReadFrame::Events(events) => got += events.items().count(),
            _ => continue,
        }
    }
    assert_eq!(got, count);
}

#[tokio::test]
async fn a_thousand_readers_at_the_end_cost_one_fetch() {
    let directory = tempfile::tempdir().expect("a directory");
    let reads = Arc::new(AtomicUsize::new(0));
    let log = EmbeddedLog::open(Options::new(directory.path())).await.expect("open");
    let counting = Counting {
        log,
        reads: Arc::clone(&reads),
    };
    let stores = Stores::new(None, Scratch::new(directory.path().join("spill")));
    let bus = Bus::start(Arc::new(counting), Routes::default(), settings(), stores);
    publish(&bus, 0..10).await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let options = ReadOptions {
            topics: Selectors::new(vec![Selector::new(TOPIC).expect("valid")]),
            start: Start::Latest,
            end: None,
            filter: None,
            tenant: None,
            follow: true,
            max_events: None,
            on_gap: OnGap::Continue,
        };
        let mut reader = bus.read(options).await.expect("read");
        let caught_up = within("caught up", reader.next())
            .await
            .expect("a frame")
            .expect("no error");
        assert!(matches!(caught_up, ReadFrame::CaughtUp(_)));
        readers.push(reader);
    }
    for round in 1..=5 {
        publish(&bus, round * 10..round * 10 + 10).await;
        for reader in &mut readers {
            receive(reader, 10).await;
        }
    }
    assert_eq!(reads.load(Ordering::SeqCst), 1);
}
