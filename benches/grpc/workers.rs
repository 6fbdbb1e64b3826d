//! Handlers that take 10 ms for an event: 16 streams beside one on one partition, and one stream with 256 events at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use crate::{
    RUNS, Result,
    ground::Ground,
    load::ranges,
    process::Server,
    report::{Sample, Samples, row},
    stream::{Stream, acked, fill},
};
use tidings::proto::tidings::v1::DeliveryRange;

const TOPIC: &str = "workers";
const KEYS: u64 = 10_000;
const WORK: Duration = Duration::from_millis(10);
const STREAMS: u64 = 16;
/// Of each stream in a run.
const EVENTS: u64 = 300;
const CREDIT: u64 = 256;
/// Of the stream that has many at once, in a run.
const MANY: u64 = 60_000;

pub(crate) async fn measure(ground: &Ground) -> Result<()> {
    let server = ground.server("workers").await?;
    fill(&server, TOPIC, 1, MANY, KEYS).await?;
    let (mut one, mut all, mut many) = (Samples::default(), Samples::default(), Samples::default());
    for run in 1..=RUNS {
        eprintln!("workers, run {run} of {RUNS}");
        one.push(one_at_a_time(&server, &format!("one-{run}"), 1).await?);
        all.push(one_at_a_time(&server, &format!("all-{run}"), STREAMS).await?);
        many.push(many_at_once(&server, &format!("many-{run}")).await?);
    }
    row("workers", "1 stream", &one);
    println!();
    row("workers", "16 streams", &all);
    let ratio = all.rate().median() / one.rate().median();
    println!("   {ratio:.1} x the rate of one, target 15");
    row("workers", "256 credits", &many);
    let most = CREDIT as f64 / WORK.as_secs_f64() / 1e3;
    let share = many.rate().median() / most * 100.0;
    println!("   {share:.0} % of {most:.1}, target 90");
    Ok(())
}

/// Streams of one group, each with one event at a time.
async fn one_at_a_time(server: &Server, group: &str, streams: u64) -> Result<Sample> {
    let mut workers: JoinSet<Result<Stream>> = JoinSet::new();
    let mut opened = Vec::new();
    for _ in 0..streams {
        opened.push(Stream::open(server, group, TOPIC, 1).await?);
    }
    // The group is formed once the first has come.
    let first = opened[0].next().await?;
    let meter = server.meter()?;
    let left = Arc::new(AtomicU64::new(EVENTS * streams));
    for (index, mut stream) in opened.into_iter().enumerate() {
        let left = Arc::clone(&left);
        let mut got = if index == 0 { first.clone() } else { Vec::new() };
        workers.spawn(async move {
            loop {
                if got.is_empty() {
                    got = stream.next().await?;
                }
                tokio::time::sleep(WORK).await;
                stream.ack(ranges(&got)).await?;
                got.clear();
                if left.fetch_sub(1, Ordering::Relaxed) <= streams {
                    return Ok(stream);
                }
            }
        });
    }
    // None leaves before all are done: what it had would go to others.
    let mut done = Vec::new();
    while let Some(worker) = workers.join_next().await {
        done.push(worker??);
    }
    meter.read(EVENTS * streams)
}

/// One stream with many events at once, each acked 10 ms after it came.
async fn many_at_once(server: &Server, group: &str) -> Result<Sample> {
    let mut stream = Stream::open(server, group, TOPIC, CREDIT.cast_signed()).await?;
    let (work, handled) = mpsc::sync_channel::<(Instant, Vec<DeliveryRange>)>(1_024);
    let frames = stream.frames();
    // A thread: the runtime's timers have a granularity of a tenth of the work.
    let worker = std::thread::spawn(move || {
        while let Ok((due, done)) = handled.recv() {
            #[expect(
                clippy::disallowed_methods,
                reason = "a thread of its own, whose work is to take that long"
            )]
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if frames.blocking_send(acked(done)).is_err() {
                return;
            }
        }
    });
    let mut count = 0;
    let mut meter = None;
    while count < MANY {
        let got = stream.next().await?;
        if meter.is_none() {
            meter = Some(server.meter()?);
        }
        count += got.len() as u64;
        work.send((Instant::now() + WORK, ranges(&got)))?;
    }
    let sample = meter.ok_or("nothing came")?.read(count);
    drop((work, stream));
    worker.join().map_err(|_| "the worker failed")?;
    sample
}
