//! What the bus costs through gRPC, beside a bare tonic server of the same proto and the log alone.
//!
//! `cargo bench --bench grpc` runs everything; `-- read group` only what is named. docs/performance.md reads the figures.
//!
//! ```text
//! this process (client) ──▶ `tidings serve` on a directory of its own
//!                       ──▶ this program again, as a bare tonic server
//!                       ──▶ the log, in this process
//! ```

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "figures on stdout and progress on stderr are this program's output"
)]

mod bare;
mod event;
mod idle;
mod latency;
mod load;
mod log_alone;
mod process;
mod report;
mod wire;

use std::{error::Error, path::Path};

use load::Load;
use process::Server;
use report::{Sample, Samples};

pub(crate) type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

const RUNS: usize = 3;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if arguments.first().is_some_and(|first| first == bare::ARGUMENT) {
        return bare::serve().await;
    }
    let is_wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == name);
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    println!("machine: {}", report::machine());
    println!("{}", report::HEADER);
    for load in Load::ALL.into_iter().filter(|load| is_wanted(load.name())) {
        side_by_side(load, directory.path()).await?;
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
async fn side_by_side(load: Load, directory: &Path) -> Result<()> {
    let directory = directory.join(load.name());
    let tidings = Server::tidings(&directory.join("tidings")).await?;
    let bare = Server::bare().await?;
    load.prepare(&tidings).await?;
    let (mut bus, mut floor, mut log) = (Samples::default(), Samples::default(), Samples::default());
    for run in 1..=RUNS {
        eprintln!("{}, run {run} of {RUNS}", load.name());
        bare.make_stock(load).await?;
        floor.push(through(load, &bare).await?);
        bus.push(through(load, &tidings).await?);
        log.push(log_alone::run(load, &directory.join(format!("log-{run}"))).await?);
    }
    report::print(load.name(), [&bus, &floor, &log], tidings.peak_rss()?);
    Ok(())
}

async fn through(load: Load, server: &Server) -> Result<Sample> {
    let meter = server.meter()?;
    let events = load.run(server).await?;
    meter.read(events)
}
