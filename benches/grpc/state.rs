//! How long a restore takes from a snapshot that is 1,000 events old, how fast a snapshot reads the log, and how much memory many keys
//! take.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{RUNS, Result, ground::Ground, process::Server, report::quantiles};
use tidings::proto::{
    io::cloudevents::v1::{
        CloudEvent,
        cloud_event::{CloudEventAttributeValue, Data, cloud_event_attribute_value::Attr},
    },
    tidings::v1::{
        CreateSnapshotRequest, CreateTopicRequest, PublishRequest, RestoreRequest, Snapshot, TopicSettings,
        publisher_service_client::PublisherServiceClient, restore_response::Frame,
        state_service_client::StateServiceClient, topic_service_client::TopicServiceClient,
    },
};

const TOPIC: &str = "state";
const MANY: &str = "many-keys";
const PARTITIONS: i32 = 4;
/// Events of the topic that is restored.
const EVENTS: u64 = 10_000_000;
const KEYS: u64 = 10_000;
/// Events behind the snapshot.
const BEHIND: u64 = 1_000;
/// Keys of the topic where each event has another.
const DISTINCT: u64 = 10_000_000;
/// Events in a request, and requests at once.
const BATCH: u64 = 5_000;
const AT_ONCE: u64 = 4;

const RESTORE_TARGET: f64 = 1.0;
const READ_TARGET: f64 = 500_000.0;
const MEMORY_TARGET: u64 = 256;

pub(crate) async fn measure(ground: &Ground) -> Result<()> {
    let store = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    restores(ground, store.path()).await?;
    many_keys(ground, store.path()).await
}

async fn restores(ground: &Ground, store: &Path) -> Result<()> {
    let server = ground.server_with_store("state", store).await?;
    fill(&server, TOPIC, 0..EVENTS, KEYS).await?;
    let (snapshot, took) = snapshot(&server, TOPIC).await?;
    print_snapshot("10 k keys", &snapshot, took);
    fill(&server, TOPIC, EVENTS..EVENTS + BEHIND, KEYS).await?;
    let mut runs = Vec::new();
    for run in 1..=RUNS {
        eprintln!("state, run {run} of {RUNS}");
        let started = Instant::now();
        let keys = restore(&server, TOPIC).await?;
        runs.push(vec![started.elapsed()]);
        if keys != KEYS {
            return Err(format!("{keys} keys were restored").into());
        }
    }
    let spread = quantiles(&mut runs, 0.5);
    println!(
        "state            restore      ms {spread:.2}   target {:.0}",
        RESTORE_TARGET * 1e3
    );
    Ok(())
}

async fn many_keys(ground: &Ground, store: &Path) -> Result<()> {
    let filled = ground.server_with_store("state-keys", store).await?;
    fill(&filled, MANY, 0..DISTINCT, DISTINCT).await?;
    drop(filled);
    // A process of its own, whose peak is that of the snapshot.
    let server = ground.server_with_store("state-keys", store).await?;
    let (snapshot, took) = snapshot(&server, MANY).await?;
    print_snapshot("distinct", &snapshot, took);
    println!(
        "state            peak memory  MiB {}   target {MEMORY_TARGET}",
        server.peak_rss()? >> 20
    );
    Ok(())
}

fn print_snapshot(what: &str, snapshot: &Snapshot, took: Duration) {
    let rate = snapshot.read_events as f64 / took.as_secs_f64();
    println!(
        "state            snapshot     {what}: {} keys, {rate:.0} events/s read   target {READ_TARGET:.0} on the embedded log",
        snapshot.keys
    );
}

async fn snapshot(server: &Server, topic: &str) -> Result<(Snapshot, Duration)> {
    let request = CreateSnapshotRequest {
        topic: topic.to_owned(),
        ..Default::default()
    };
    let started = Instant::now();
    let answer = StateServiceClient::new(server.channel())
        .create_snapshot(request)
        .await?;
    let snapshot = answer.into_inner().snapshot.ok_or("a snapshot")?;
    Ok((snapshot, started.elapsed()))
}

/// How many keys came.
async fn restore(server: &Server, topic: &str) -> Result<u64> {
    let request = RestoreRequest {
        topics: vec![topic.to_owned()],
        ..Default::default()
    };
    let mut client = StateServiceClient::new(server.channel());
    let mut frames = client.restore(request).await?.into_inner();
    let mut keys = 0;
    while let Some(response) = frames.message().await? {
        if let Some(Frame::RestoreState(states)) = response.frame {
            keys += states.states.len() as u64;
        }
    }
    Ok(keys)
}

/// Publishes events of these numbers, the key of each being its number modulo `keys`.
async fn fill(server: &Server, topic: &str, numbers: std::ops::Range<u64>, keys: u64) -> Result<()> {
    let settings = TopicSettings {
        partitions: Some(PARTITIONS),
        ..Default::default()
    };
    let create = CreateTopicRequest {
        name: topic.to_owned(),
        settings: Some(settings),
    };
    // It may be there.
    let _ = TopicServiceClient::new(server.channel()).create_topic(create).await;
    let mut tasks = JoinSet::new();
    for task in 0..AT_ONCE {
        let (channel, topic, numbers) = (server.new_channel().await?, topic.to_owned(), numbers.clone());
        tasks.spawn(async move {
            let mut publisher = PublisherServiceClient::new(channel);
            let firsts = numbers
                .clone()
                .step_by(usize::try_from(BATCH)?)
                .skip(usize::try_from(task)?);
            for first in firsts.step_by(usize::try_from(AT_ONCE)?) {
                let request = PublishRequest {
                    events: (first..(first + BATCH).min(numbers.end))
                        .map(|number| event(number, keys))
                        .collect(),
                    topic: topic.clone(),
                    ..Default::default()
                };
                publisher.publish(request).await?;
            }
            Result::<_>::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

fn event(number: u64, keys: u64) -> CloudEvent {
    let subject = Attr::CeString(format!("order-{:012}", number % keys));
    CloudEvent {
        id: number.to_string(),
        source: "/orders".into(),
        spec_version: "1.0".into(),
        r#type: "io.shop.orders.patched".into(),
        attributes: [("subject".to_owned(), CloudEventAttributeValue { attr: Some(subject) })].into(),
        data: Some(Data::TextData(format!("{{\"total\":{number}}}"))),
    }
}
