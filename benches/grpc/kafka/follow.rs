//! 1,000 readers that follow one topic: what a delivered event costs, and what is fetched for all of them.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::StreamExt as _;
use tokio::sync::Notify;
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;

use super::broker::Broker;
use crate::{
    RUNS, Result, bare,
    event::{BATCH, TOPIC},
    load::{self, Load, path, publish_stream, ready},
    process::Server,
    report::{Samples, SideBySide},
    wire::ReadMessage,
};
use tidings::proto::tidings::v1::{ReadRequest, Start, start::At};

const READERS: u64 = 1_000;
const CONNECTIONS: u64 = 10;
/// Published in a run, for each reader.
const EVENTS: u64 = 1_000;
const TARGET: f64 = 1.2;

/// What all readers have got.
#[derive(Default)]
struct Delivered {
    events: AtomicU64,
    news: Notify,
}

pub(crate) async fn measure(broker: &Broker) -> Result<()> {
    let tidings = Server::tidings_on_kafka(broker.address(), "follow.").await?;
    let bare = Server::bare().await?;
    publish_stream(&tidings, BATCH).await?;
    let (on_tidings, on_bare) = (open(&tidings).await?, open(&bare).await?);
    let fetched_before = received(&tidings, broker)?;
    let (mut bus, mut floor) = (Samples::default(), Samples::default());
    for run in 1..=RUNS {
        eprintln!("follow, run {run} of {RUNS}");
        bare.make_stock(Load::Read).await?;
        let meter = bare.meter()?;
        load::read(&bare, bare::GO).await?;
        floor.push(meter.read(on_bare.wait_for(Load::Read.events()).await)?);
        let meter = tidings.meter()?;
        publish_stream(&tidings, EVENTS).await?;
        bus.push(meter.read(on_tidings.wait_for(EVENTS * READERS).await)?);
    }
    let figures = SideBySide {
        bus: &bus,
        bare: &floor,
        alone: None,
    };
    figures.print("follow", TARGET, tidings.peak_rss()?);
    println!(
        "follow           from Kafka came {:.2} MB for {} events of about 1.2 KiB, each delivered {READERS} times",
        (received(&tidings, broker)? - fetched_before) as f64 / 1e6,
        EVENTS * RUNS as u64,
    );
    Ok(())
}

async fn open(server: &Server) -> Result<Arc<Delivered>> {
    let delivered = Arc::<Delivered>::default();
    for number in 0..CONNECTIONS {
        eprintln!("readers: {}", number * READERS / CONNECTIONS);
        let channel = server.new_channel().await?;
        for _ in 0..READERS / CONNECTIONS {
            let request = ReadRequest {
                topics: vec![TOPIC.to_owned()],
                start: Some(Start {
                    at: Some(At::Latest(())),
                }),
                follow: true,
                ..ReadRequest::default()
            };
            let codec = ProstCodec::<_, ReadMessage>::default();
            let call = path("/tidings.v1.SubscriberService/Read");
            let mut client = ready(channel.clone()).await?;
            let messages = client.server_streaming(Request::new(request), call, codec).await?;
            tokio::spawn(Arc::clone(&delivered).count(messages.into_inner()));
        }
    }
    Ok(delivered)
}

impl Delivered {
    async fn count(self: Arc<Self>, mut messages: Streaming<ReadMessage>) {
        while let Some(Ok(message)) = messages.next().await {
            let events = message.events.map_or(0, |events| events.events.len() as u64);
            self.events.fetch_add(events, Ordering::Relaxed);
            self.news.notify_one();
        }
    }

    /// Waits for so many, and begins to count anew.
    async fn wait_for(&self, events: u64) -> u64 {
        while self.events.load(Ordering::Relaxed) < events {
            self.news.notified().await;
        }
        self.events.swap(0, Ordering::Relaxed)
    }
}

/// Bytes that the server has got from Kafka over the connections it has; `ss` (iproute2) tells.
fn received(server: &Server, broker: &Broker) -> Result<u64> {
    let filter = ["dport", "=", &format!(":{}", broker.port())];
    let output = Command::new("ss").args(["-tinpOH"]).args(filter).output()?;
    let (text, process) = (String::from_utf8(output.stdout)?, format!("pid={},", server.id()?));
    let bytes = |line: &str| {
        let (_, after) = line.split_once("bytes_received:")?;
        after.split_whitespace().next()?.parse::<u64>().ok()
    };
    Ok(text
        .lines()
        .filter(|line| line.contains(&process))
        .filter_map(bytes)
        .sum())
}
