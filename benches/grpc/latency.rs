//! From before a publish until its delivery on a group's stream, at 500 events a second, beside the time of an fsync.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    Result,
    event::{self, TOPIC},
    process::Server,
};
use tidings::proto::{
    io::cloudevents::v1::cloud_event::Data,
    tidings::v1::{
        Credit, CreditMode, Open, PublishRequest, Start, SubscribeRequest, SubscribeResponse,
        publisher_service_client::PublisherServiceClient, start::At, subscribe_request::Frame, subscribe_response,
        subscriber_service_client::SubscriberServiceClient,
    },
};

/// Events a second.
pub(crate) const RATE: f64 = 500.0;
pub(crate) const EVENTS: u64 = 3_000;

/// Times of one run.
#[derive(Default)]
pub(crate) struct Delays {
    /// From before a publish until its answer.
    pub(crate) answered: Vec<Duration>,
    /// Until its delivery.
    pub(crate) delivered: Vec<Duration>,
}

pub(crate) async fn measure(directory: &Path) -> Result<()> {
    eprintln!("latency");
    let server = Server::tidings(&directory.join("latency")).await?;
    let mut delays = of_deliveries(&server).await?;
    print("fsync of a file", &mut fsyncs(&directory.join("fsync")).await?);
    print("publish to answer", &mut delays.answered);
    print("publish to delivery", &mut delays.delivered);
    Ok(())
}

/// Publishes alone, to any server.
pub(crate) async fn of_answers(server: &Server) -> Result<Vec<Duration>> {
    publish(PublisherServiceClient::new(server.channel()), Instant::now()).await
}

/// With a group that gets what is published.
pub(crate) async fn of_deliveries(server: &Server) -> Result<Delays> {
    let started = Instant::now();
    let (frames, mut messages) = subscribe(server).await?;
    let publishing = tokio::spawn(publish(PublisherServiceClient::new(server.channel()), started));
    let mut delivered = Vec::new();
    while delivered.len() < usize::try_from(EVENTS)? {
        let message = messages.next().await.ok_or("the stream ended")??;
        if let Some(subscribe_response::Frame::Deliveries(deliveries)) = message.frame {
            let now = started.elapsed();
            delivered.extend(deliveries.deliveries.iter().filter_map(|delivery| {
                let event = delivery.event.as_ref()?;
                Some(now.saturating_sub(sent_at(&event.id)?))
            }));
        }
    }
    drop(frames);
    let answered = publishing.await??;
    Ok(Delays { answered, delivered })
}

/// Returns when the event of this number is due.
pub(crate) async fn due(started: Instant, number: u64) {
    const BEGIN: Duration = Duration::from_millis(200);
    let due = BEGIN + Duration::from_secs_f64(number as f64 / RATE);
    tokio::time::sleep_until((started + due).into()).await;
}

async fn subscribe(server: &Server) -> Result<(mpsc::Sender<SubscribeRequest>, tonic::Streaming<SubscribeResponse>)> {
    let (frames, receiver) = mpsc::channel(1);
    let open = Open {
        group: "latency".to_owned(),
        topics: vec![TOPIC.to_owned()],
        start: Some(Start {
            at: Some(At::Earliest(())),
        }),
        credit: Some(Credit {
            events: 2 * EVENTS.cast_signed(),
            bytes: 0,
        }),
        credit_mode: CreditMode::OnSettle.into(),
        ..Open::default()
    };
    frames
        .send(SubscribeRequest {
            frame: Some(Frame::Open(open)),
        })
        .await?;
    let mut client = SubscriberServiceClient::new(server.new_channel().await?);
    let mut messages = client.subscribe(ReceiverStream::new(receiver)).await?.into_inner();
    messages.next().await.ok_or("the stream ended")??;
    Ok((frames, messages))
}

/// Each call in a task of its own: a slow answer does not hold the next call up.
async fn publish(client: PublisherServiceClient<tonic::transport::Channel>, started: Instant) -> Result<Vec<Duration>> {
    let mut calls = tokio::task::JoinSet::new();
    let begin = Instant::now();
    for number in 0..EVENTS {
        due(begin, number).await;
        let mut client = client.clone();
        calls.spawn(async move {
            let sent = started.elapsed();
            let mut event = event::event(number);
            event.id = format!("{}-{number}", sent.as_nanos());
            event.data = Some(Data::TextData("x".repeat(1024)));
            let request = PublishRequest {
                events: vec![event],
                topic: TOPIC.to_owned(),
                ..PublishRequest::default()
            };
            let answered = client.publish(request).await;
            answered.map(|_| started.elapsed() - sent)
        });
    }
    let mut delays = Vec::new();
    while let Some(call) = calls.join_next().await {
        delays.push(call??);
    }
    Ok(delays)
}

/// The id begins with the nanoseconds at which the event was sent.
fn sent_at(id: &str) -> Option<Duration> {
    let (nanos, _) = id.split_once('-')?;
    Some(Duration::from_nanos(nanos.parse().ok()?))
}

/// As the log does it: append, then `fdatasync`.
async fn fsyncs(path: &Path) -> Result<Vec<Duration>> {
    let mut file = File::create(path)?;
    let bytes = [0; 1_400];
    let mut times = Vec::new();
    for _ in 0..500 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let started = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    Ok(times)
}

fn print(what: &str, delays: &mut [Duration]) {
    delays.sort_unstable();
    let at = |part: f64| delays[((delays.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!(
        "latency          {what:<20} p50 {:.2} ms, p99 {:.2} ms",
        at(0.5),
        at(0.99)
    );
}
