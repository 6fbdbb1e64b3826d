//! 200 groups on one server, a stream each, that get nothing.

use std::time::Duration;

use super::broker::Broker;
use crate::{Result, idle::open, process::Server};

const GROUPS: usize = 200;
/// Until joins and first assignments are over.
const SETTLED: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(20);

pub(crate) async fn measure(broker: &Broker) -> Result<()> {
    let server = Server::tidings_on_kafka(broker.address(), "idle.").await?;
    let describe = |what: String| -> Result<()> {
        println!(
            "idle             {what:<12} RSS {:.1} MB, {} threads",
            server.rss()? as f64 / 1e6,
            server.threads()?
        );
        Ok(())
    };
    describe("no groups".to_owned())?;
    let mut held = Vec::with_capacity(GROUPS);
    for number in 0..GROUPS {
        eprintln!("groups: {number}");
        held.push(open(server.channel(), format!("idle-{number}")).await?);
    }
    tokio::time::sleep(SETTLED).await;
    let meter = server.meter()?;
    tokio::time::sleep(IDLE).await;
    let sample = meter.read(0)?;
    describe(format!("{GROUPS} groups"))?;
    let core = sample.cpu.as_secs_f64() / sample.elapsed.as_secs_f64() * 100.0;
    println!("idle             {GROUPS} groups take {core:.1} % of a core, target 5; 400 MB are the target of RSS");
    Ok(())
}
