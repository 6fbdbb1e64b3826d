//! `tidings bench publish`: callers of Publish, or streams of requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use clap::Args;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
    time::sleep_until,
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};

use super::{Report, Tally, clock};
use crate::{
    cli::{
        client::Client,
        failure::{Failure, Result},
        progress::{Progress, Unit},
        words,
    },
    config::units::ByteSize,
    proto::{
        io::cloudevents::v1::{
            CloudEvent,
            cloud_event::{CloudEventAttributeValue, Data, cloud_event_attribute_value::Attr},
        },
        tidings::v1::{PublishRequest, PublishStreamRequest, publish_stream_response::Result as Answer},
    },
};

#[derive(Clone, Debug, Args)]
pub struct BenchPublish {
    /// The topic
    #[arg(long, default_value = "bench")]
    topic: String,
    /// How many events
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// The size of an event's data
    #[arg(long, value_name = "BYTES", default_value = "1KiB", value_parser = words::parse_size)]
    size: ByteSize,
    /// Events in a request; default: 100, with --unary 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    batch: Option<u64>,
    /// Streams at once
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "unary")]
    streams: u32,
    /// Requests of a stream that are not answered yet
    #[arg(long, value_name = "N", default_value_t = 16, conflicts_with = "unary", value_parser = clap::value_parser!(u32).range(1..=1024))]
    in_flight: u32,
    /// One call for each request, in place of streams
    #[arg(long)]
    unary: bool,
    /// With --unary: calls at once
    #[arg(long, value_name = "N", default_value_t = 64, requires = "unary")]
    callers: u32,
    /// Events a second, over all; default: as many as it can
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// How many keys the events have
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    keys: u64,
}

impl BenchPublish {
    pub(super) async fn run(self, client: &Client) -> Result<Report> {
        let workers = if self.unary { self.callers } else { self.streams };
        let load = Arc::new(Load::new(&self));
        let started = load.started;
        let mut tasks = JoinSet::new();
        for _ in 0..workers {
            let (load, client) = (load.clone(), client.clone());
            let in_flight = self.in_flight as usize;
            match self.unary {
                true => tasks.spawn(call(load, client)),
                false => tasks.spawn(stream(load, client, in_flight)),
            };
        }
        let mut total = Tally::default();
        while let Some(tally) = watch(&mut tasks, &load).await {
            total.add(&tally?);
        }
        Ok(total.report(started))
    }
}

/// The next worker's end; meanwhile, progress.
async fn watch(tasks: &mut JoinSet<Result<Tally>>, load: &Load) -> Option<Result<Tally>> {
    let mut progress = Progress::new(Some(load.events), Unit::Events);
    let mut shown = 0;
    loop {
        tokio::select! {
            joined = tasks.join_next() => return joined.map(|joined| joined.unwrap_or_else(|error| Err(Failure::local("bench", error)))),
            () = tokio::time::sleep(Duration::from_millis(200)) => {
                let done = load.claimed.load(Ordering::Relaxed).min(load.events);
                progress.add(done.saturating_sub(shown));
                shown = done;
            }
        }
    }
}

/// What all workers share: which events are left, and how each looks.
struct Load {
    topic: String,
    events: u64,
    batch: u64,
    keys: u64,
    filler: Bytes,
    rate: Option<u32>,
    run: String,
    started: Instant,
    claimed: AtomicU64,
}

impl Load {
    fn new(bench: &BenchPublish) -> Self {
        Self {
            topic: bench.topic.clone(),
            events: bench.events,
            batch: bench.batch.unwrap_or(if bench.unary { 1 } else { 100 }),
            keys: bench.keys,
            filler: vec![b'x'; bench.size.as_usize().saturating_sub(size_of::<u64>())].into(),
            rate: bench.rate,
            run: uuid::Uuid::new_v4().simple().to_string(),
            started: Instant::now(),
            claimed: AtomicU64::new(0),
        }
    }

    /// The next request, when it is due, and since when its latency counts: where a server that stalls makes us late, since
    /// it was due, so that the server is not flattered by what was sent late; what our own timer oversleeps does not count.
    async fn next(&self) -> Option<(PublishRequest, Instant)> {
        let first = self.claimed.fetch_add(self.batch, Ordering::Relaxed);
        if first >= self.events {
            return None;
        }
        let mut since = Instant::now();
        if let Some(rate) = self.rate {
            let due = self.started + Duration::from_secs_f64(first as f64 / f64::from(rate));
            if due > since {
                sleep_until(due.into()).await;
                since = Instant::now();
            } else {
                since = due;
            }
        }
        let count = self.batch.min(self.events - first);
        let request = PublishRequest {
            events: (first..first + count).map(|number| self.event(number)).collect(),
            topic: self.topic.clone(),
            ..PublishRequest::default()
        };
        Some((request, since))
    }

    fn event(&self, number: u64) -> CloudEvent {
        let mut data = BytesMut::with_capacity(size_of::<u64>() + self.filler.len());
        data.put_u64(clock());
        data.put_slice(&self.filler);
        let key = CloudEventAttributeValue {
            attr: Some(Attr::CeString((number % self.keys).to_string())),
        };
        CloudEvent {
            id: format!("{}-{number}", self.run),
            source: "/tidings/bench".to_owned(),
            spec_version: "1.0".to_owned(),
            r#type: "io.tidings.bench.published".to_owned(),
            attributes: [("subject".to_owned(), key)].into(),
            data: Some(Data::BinaryData(data.freeze())),
        }
    }

    fn tally(&self, tally: &mut Tally, events: u64, since: Instant) {
        tally.events += events;
        tally.bytes += events * (size_of::<u64>() + self.filler.len()) as u64;
        let nanos = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        tally.latencies.note(nanos, events);
    }
}

/// One caller: the next call after the answer to the one before.
async fn call(load: Arc<Load>, client: Client) -> Result<Tally> {
    let mut publisher = client.publisher();
    let mut tally = Tally::default();
    while let Some((request, since)) = load.next().await {
        let response = publisher
            .publish(request)
            .await
            .map_err(Failure::call("bench publish"))?;
        load.tally(&mut tally, response.get_ref().results.len() as u64, since);
    }
    Ok(tally)
}

/// One stream: a task sends, this one takes the answers.
async fn stream(load: Arc<Load>, client: Client, in_flight: usize) -> Result<Tally> {
    let (requests, receiver) = mpsc::channel(in_flight);
    // As many as there are permits: sending to it never waits.
    let (sent, mut since) = mpsc::channel(in_flight);
    tokio::spawn(send(load.clone(), Semaphore::new(in_flight), requests, sent));
    let failed = Failure::call("bench publish");
    let call = client.publisher().publish_stream(ReceiverStream::new(receiver)).await;
    let mut answers = call.map_err(&failed)?.into_inner();
    let mut tally = Tally::default();
    while let Some(answer) = answers.next().await {
        let sent = since.recv().await;
        match answer.map_err(&failed)?.result {
            Some(Answer::Error(status)) => return Err(Failure::in_band("bench publish", &status)),
            Some(Answer::Response(response)) => {
                if let Some((at, _permit)) = sent {
                    load.tally(&mut tally, response.results.len() as u64, at);
                }
            }
            None => {}
        }
    }
    Ok(tally)
}

async fn send(
    load: Arc<Load>,
    in_flight: Semaphore,
    requests: mpsc::Sender<PublishStreamRequest>,
    sent: mpsc::Sender<(Instant, OwnedSemaphorePermit)>,
) {
    let in_flight = Arc::new(in_flight);
    let mut sequence = 0;
    while let Ok(permit) = in_flight.clone().acquire_owned().await
        && let Some((publish, since)) = load.next().await
    {
        sequence += 1;
        let request = PublishStreamRequest {
            sequence,
            publish: Some(publish),
            timeout: None,
        };
        if sent.send((since, permit)).await.is_err() || requests.send(request).await.is_err() {
            return;
        }
    }
}
