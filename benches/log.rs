//! The embedded log's figures: `cargo bench --bench log`. Prints; never fails for being slow.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use tidings::{
    log::{
        Cleanup, Headers, Log, NewRecord, TopicPartition, TopicSettings,
        embedded::{EmbeddedLog, Options},
    },
    name::Topic,
};

const SIZE: usize = 512;
const PARTITIONS: i32 = 8;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(all());
}

async fn all() {
    let base = std::env::args()
        .skip(1)
        .find(|arg| !arg.starts_with('-'))
        .unwrap_or_else(|| "target".into());
    let dir = tempfile::tempdir_in(base).expect("a directory");
    for (batch, callers, count) in [
        (1000, 4, 4_000_000),
        (100, 4, 1_000_000),
        (1, 64, 200_000),
        (1, 1, 20_000),
    ] {
        let dir = dir.path().join(format!("{batch}-{callers}"));
        let log = open(&dir).await;
        append(&log, batch, callers, count).await;
        log.close().await;
    }
    after_a_crash(dir.path()).await;
    many_partitions(&dir.path().join("many")).await;
    let full = dir.path().join("1000-4");
    let log = open(&full).await;
    append(&log, 1000, 4, 1_000_000).await;
    let start = Measure::start();
    log.close().await;
    println!("close {:.0} ms", start.seconds() * 1e3);
    reopen(&full, "after a clean stop").await;
    scan(&full).await;
    latency(&full).await;
}

async fn open(dir: &Path) -> Arc<EmbeddedLog> {
    let log = EmbeddedLog::open(Options::new(dir)).await.expect("it opens");
    create(&log, "t", PARTITIONS).await;
    log
}

async fn create(log: &EmbeddedLog, name: &str, partitions: i32) {
    let settings = TopicSettings {
        partitions,
        retention: None,
        retention_bytes: None,
        cleanup: Cleanup::Delete,
    };
    let _ = log.create_topic(&topic(name), settings).await;
}

fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a good name")
}

/// Half random, half constant.
fn value() -> Bytes {
    let mut value = vec![b'x'; SIZE];
    value[..SIZE / 2].fill_with(|| fastrand::u8(..));
    value.into()
}

fn batch_of(size: usize, name: &Topic, value: &Bytes, partitions: i32) -> Vec<NewRecord> {
    let record = |n: usize| NewRecord {
        topic: name.clone(),
        partition: Some(if size == 1 {
            fastrand::i32(0..partitions)
        } else {
            n as i32 % partitions
        }),
        key: None,
        value: Some(value.clone()),
        headers: Headers::default(),
    };
    (0..size).map(record).collect()
}

async fn append(log: &Arc<EmbeddedLog>, batch: usize, callers: usize, count: usize) {
    let start = Measure::start();
    let callers_done = (0..callers).map(|_| {
        let log = log.clone();
        tokio::spawn(async move {
            let (name, value) = (topic("t"), value());
            for _ in 0..count / callers / batch {
                let records = batch_of(batch, &name, &value, PARTITIONS);
                let outcomes = log.append(records).await.expect("it takes them").await;
                assert!(outcomes.iter().all(|outcome| outcome.is_ok()));
            }
        })
    });
    join_all(callers_done).await;
    start.tell(&format!("append, batch {batch}, {callers} callers"), count);
}

async fn many_partitions(dir: &Path) {
    let log = open(dir).await;
    create(&log, "many", 1000).await;
    let count = 500_000;
    let start = Measure::start();
    let (name, value) = (topic("many"), value());
    let mut waiting = std::collections::VecDeque::new();
    for _ in 0..count / 1000 {
        waiting.push_back(
            log.append(batch_of(1000, &name, &value, 1000))
                .await
                .expect("it takes them"),
        );
        if waiting.len() > 4 {
            waiting.pop_front().expect("some").await;
        }
    }
    join_all(waiting).await;
    start.tell("append, batch 1000 over 1000 partitions", count);
    log.close().await;
    reopen(dir, "1000 partitions, after a clean stop").await;
}

/// As much in the journals as there ever is.
async fn after_a_crash(dir: &Path) {
    let (running, crashed) = (dir.join("running"), dir.join("crashed"));
    let log = open(&running).await;
    append(&log, 1000, 1, 220_000).await;
    let copied = std::process::Command::new("cp")
        .args(["-r", "--sparse=always"])
        .args([&running, &crashed])
        .status();
    assert!(copied.expect("cp runs").success());
    log.close().await;
    reopen(&crashed, "after a crash, 120 MB in journals at most").await;
}

async fn reopen(dir: &Path, what: &str) {
    let start = Measure::start();
    let log = EmbeddedLog::open(Options::new(dir)).await.expect("it opens");
    println!("open, {what}: {:.0} ms, RSS {} MB", start.seconds() * 1e3, rss());
    log.close().await;
}

async fn scan(dir: &Path) {
    let log = open(dir).await;
    for _ in 0..2 {
        let partition = TopicPartition {
            topic: topic("t"),
            partition: 0,
        };
        let end = log.bounds(std::slice::from_ref(&partition)).await.expect("bounds")[0].end;
        let start = Measure::start();
        let mut reader = log.read(&partition, 0, Some(end));
        let mut count = 0;
        while let Some(batch) = reader.next().await {
            count += batch.expect("sound").records.len();
        }
        start.tell("scan of one partition", count);
    }
    log.close().await;
}

/// From append to what a waiting reader has.
async fn latency(dir: &Path) {
    let log = open(dir).await;
    let partition = TopicPartition {
        topic: topic("t"),
        partition: 0,
    };
    let end = log.bounds(std::slice::from_ref(&partition)).await.expect("bounds")[0].end;
    let mut reader = log.read(&partition, end, None);
    let mut times = Vec::new();
    for _ in 0..2_000 {
        let record = NewRecord {
            partition: Some(0),
            ..batch_of(1, &topic("t"), &value(), 1).remove(0)
        };
        let start = Instant::now();
        let receipt = log.append(vec![record]).await.expect("it takes it");
        reader.next().await.expect("it goes on").expect("sound");
        times.push(start.elapsed());
        receipt.await;
    }
    times.sort();
    println!("append to read: p50 {:?}, p99 {:?}", times[1_000], times[1_980]);
    log.close().await;
}

struct Measure {
    time: Instant,
    cpu: f64,
    written: u64,
}

impl Measure {
    fn start() -> Self {
        Self {
            time: Instant::now(),
            cpu: cpu_seconds(),
            written: written(),
        }
    }

    fn seconds(&self) -> f64 {
        let elapsed: Duration = self.time.elapsed();
        elapsed.as_secs_f64()
    }

    fn tell(&self, what: &str, count: usize) {
        let (seconds, cpu) = (self.seconds(), cpu_seconds() - self.cpu);
        let written = (written() - self.written) as f64 / (count * SIZE) as f64;
        println!(
            "{what}: {:.0} k/s, {:.2} CPU s/M, {written:.2} bytes written per byte, RSS {} MB",
            count as f64 / seconds / 1e3,
            cpu * 1e6 / count as f64,
            rss(),
        );
    }
}

/// User and system time, in hundredths in fields 14 and 15 of /proc/self/stat.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields[11..13]
        .iter()
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

fn written() -> u64 {
    field("/proc/self/io", "write_bytes:")
}

fn rss() -> u64 {
    field("/proc/self/status", "VmRSS:") / 1024
}

fn field(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
