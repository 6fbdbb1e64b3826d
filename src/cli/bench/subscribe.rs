//! `tidings bench subscribe`: streams of one group that ack at once.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use clap::Args;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::{Report, Tally, clock};
use crate::{
    cli::{
        client::Client,
        failure::{Failure, Result},
        stop,
    },
    proto::{
        io::cloudevents::v1::cloud_event::Data,
        tidings::v1::{
            Ack, Close, Credit, CreditMode, Delivery, Open, SubscribeRequest, subscribe_request::Frame,
            subscribe_response::Frame as Told,
        },
    },
};

/// Events that each stream may have unacked.
const CREDIT: i64 = 4096;

#[derive(Clone, Debug, Args)]
pub struct BenchSubscribe {
    /// The topic
    #[arg(long, default_value = "bench")]
    topic: String,
    /// The group; created if it does not exist
    #[arg(long, default_value = "bench")]
    group: String,
    /// Streams at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    streams: u32,
    /// End after so many events; a signal ends it too
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
}

/// What all streams share.
struct Load {
    bench: BenchSubscribe,
    received: AtomicU64,
    /// When the first event came: waiting for it is not measured.
    first: OnceLock<Instant>,
    done: CancellationToken,
}

impl BenchSubscribe {
    pub(super) async fn run(self, client: &Client) -> Result<Report> {
        let streams = self.streams;
        let load = Arc::new(Load {
            bench: self,
            received: AtomicU64::new(0),
            first: OnceLock::new(),
            done: stop::on_signal()?,
        });
        let mut tasks = JoinSet::new();
        for _ in 0..streams {
            tasks.spawn(stream(load.clone(), client.clone()));
        }
        let mut total = Tally::default();
        while let Some(joined) = tasks.join_next().await {
            total.add(&joined.map_err(|error| Failure::local("bench", error))??);
        }
        Ok(total.report(load.first.get().copied().unwrap_or_else(Instant::now)))
    }
}

impl Load {
    fn open(&self) -> Frame {
        Frame::Open(Open {
            group: self.bench.group.clone(),
            topics: vec![self.bench.topic.clone()],
            credit: Some(Credit {
                events: CREDIT,
                bytes: 0,
            }),
            credit_mode: CreditMode::OnSettle.into(),
            client_id: "tidings-bench".to_owned(),
            ..Open::default()
        })
    }

    fn count(&self, tally: &mut Tally, deliveries: &[Delivery]) {
        self.first.get_or_init(Instant::now);
        let now = clock();
        for delivery in deliveries {
            tally.events += 1;
            if let Some(Data::BinaryData(data)) = delivery.event.as_ref().and_then(|event| event.data.as_ref()) {
                tally.bytes += data.len() as u64;
                let stamp = data.first_chunk().map(|stamp| u64::from_be_bytes(*stamp));
                tally
                    .latencies
                    .note(stamp.map_or(0, |stamp| now.saturating_sub(stamp)), 1);
            }
        }
        let count = deliveries.len() as u64;
        if self.received.fetch_add(count, Ordering::Relaxed) + count >= self.bench.events {
            self.done.cancel();
        }
    }
}

async fn stream(load: Arc<Load>, client: Client) -> Result<Tally> {
    let failed = Failure::call("bench subscribe");
    let (frames, receiver) = mpsc::channel(64);
    let frame = |frame| SubscribeRequest { frame: Some(frame) };
    let _ = frames.send(frame(load.open())).await;
    let call = client.subscriber().subscribe(ReceiverStream::new(receiver)).await;
    let mut incoming = call.map_err(&failed)?.into_inner();
    let mut tally = Tally::default();
    loop {
        let response = tokio::select! {
            // Cancel-safe: a stream keeps what it has not handed out.
            response = incoming.message() => response.map_err(&failed)?,
            () = load.done.cancelled() => break,
        };
        match response.map(|response| response.frame) {
            None => return Ok(tally),
            Some(Some(Told::Deliveries(deliveries))) => {
                let deliveries = deliveries.deliveries;
                load.count(&mut tally, &deliveries);
                let delivery_ids = deliveries.iter().map(|delivery| delivery.id).collect();
                let ack = Ack {
                    delivery_ids,
                    ..Ack::default()
                };
                let _ = frames.send(frame(Frame::Ack(ack))).await;
            }
            Some(_) => {}
        }
    }
    let _ = frames.send(frame(Frame::Close(Close {}))).await;
    drop(frames);
    while incoming.message().await.map_err(&failed)?.is_some() {}
    Ok(tally)
}
