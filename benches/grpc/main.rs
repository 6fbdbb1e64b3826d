//! What the bus costs through gRPC, beside a bare tonic server of the same proto and the log alone.
//!
//! `cargo bench --bench grpc` runs everything on the embedded log; `-- read group` only what is named; `-- kafka`, with names
//! or without, the same on a Kafka that it starts. docs/performance.md reads the figures.
//!
//! ```text
//! this process (client) ──▶ `tidings serve` on a directory of its own, or on Kafka
//!                       ──▶ this program again, as a bare tonic server
//!                       ──▶ the log, in this process; on Kafka: this program again, as librdkafka's clients
//! ```

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "figures on stdout and progress on stderr are this program's output"
)]

mod bare;
mod event;
mod ground;
mod idle;
mod kafka;
mod latency;
mod lists;
mod load;
mod log_alone;
mod neighbours;
mod process;
mod report;
mod resets;
mod retries;
mod state;
mod stream;
mod telemetry;
mod wire;
mod workers;

use std::error::Error;

use ground::Ground;
use load::Load;
use process::Server;
use report::{Sample, Samples, SideBySide};

pub(crate) type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const RUNS: usize = 3;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [bare::ARGUMENT] => return bare::serve().await,
        [kafka::raw::ARGUMENT, brokers, topic] => return kafka::raw::serve(brokers, topic).await,
        _ => {}
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let ground = match arguments.first().is_some_and(|first| first == "kafka") {
        true => Ground::Kafka(kafka::broker::Broker::start().await?),
        false => Ground::Directory(directory.path().to_owned()),
    };
    arguments.retain(|argument| argument != "kafka");
    let is_wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    println!("machine: {}", report::machine());
    println!("{}", report::HEADER);
    for load in Load::ALL.into_iter().filter(|load| is_wanted(load.name())) {
        side_by_side(load, &ground).await?;
    }
    if is_wanted("neighbours") {
        neighbours::measure(&ground).await?;
    }
    if is_wanted("workers") {
        workers::measure(&ground).await?;
    }
    if is_wanted("retries") {
        retries::measure(&ground).await?;
    }
    if is_wanted("resets") {
        resets::measure(&ground).await?;
    }
    if is_wanted("lists") {
        lists::measure(&ground).await?;
    }
    if is_wanted("state") {
        state::measure(&ground).await?;
    }
    if is_wanted("telemetry") {
        telemetry::measure(&ground).await?;
    }
    if let Ground::Kafka(broker) = &ground {
        return kafka::measure(broker, is_wanted).await;
    }
    if is_wanted("latency") {
        latency::measure(directory.path()).await?;
    }
    if is_wanted("idle") {
        idle::measure(directory.path()).await?;
    }
    Ok(())
}

/// The three in turn, so that a machine whose speed drifts slows each of them.
async fn side_by_side(load: Load, ground: &Ground) -> Result<()> {
    let tidings = ground.server(load.name()).await?;
    let bare = Server::bare().await?;
    load.prepare(&tidings).await?;
    let (mut bus, mut floor, mut log) = (Samples::default(), Samples::default(), Samples::default());
    for run in 1..=RUNS {
        eprintln!("{}, run {run} of {RUNS}", load.name());
        bare.make_stock(load).await?;
        floor.push(through(load, &bare).await?);
        bus.push(through(load, &tidings).await?);
        log.push(ground.run_alone(load, run).await?);
    }
    let figures = SideBySide {
        bus: &bus,
        bare: &floor,
        alone: Some((ground.alone(), &log)),
    };
    figures.print(load.name(), ground.target(load), tidings.peak_rss()?);
    Ok(())
}

async fn through(load: Load, server: &Server) -> Result<Sample> {
    let meter = server.meter()?;
    let events = load.run(server).await?;
    meter.read(events)
}
