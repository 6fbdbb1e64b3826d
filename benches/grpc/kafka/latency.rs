//! Latency at 500 events a second, beside the bare server and the raw clients.

use std::time::Duration;

use super::{broker::Broker, raw::RawClients};
use crate::{
    RUNS, Result,
    event::BATCH,
    latency::{of_answers, of_deliveries},
    load::publish_stream,
    process::Server,
    report::quantiles,
};

/// What was measured side by side, and the delays of each run.
type Row = (&'static str, Vec<Vec<Duration>>);

/// From before the call until its answer.
pub(crate) async fn publish(broker: &Broker) -> Result<()> {
    const PREFIX: &str = "latency.";
    let tidings = Server::tidings_on_kafka(broker.address(), PREFIX).await?;
    let bare = Server::bare().await?;
    publish_stream(&tidings, BATCH).await?;
    let mut rows: [Row; 3] = [
        ("tidings", Vec::new()),
        ("raw clients", Vec::new()),
        ("bare tonic", Vec::new()),
    ];
    for run in 1..=RUNS {
        eprintln!("latency, run {run} of {RUNS}");
        rows[2].1.push(of_answers(&bare).await?);
        rows[0].1.push(of_answers(&tidings).await?);
        rows[1]
            .1
            .push(RawClients::start(broker, PREFIX).await?.delays().await?.answered);
    }
    print("publish to answer", &mut rows, 1.3);
    Ok(())
}

/// From before the call until the delivery on a group's stream; each run has a topic of its own.
pub(crate) async fn end_to_end(broker: &Broker) -> Result<()> {
    let mut rows: [Row; 2] = [("tidings", Vec::new()), ("raw clients", Vec::new())];
    for run in 1..=RUNS {
        eprintln!("end-to-end, run {run} of {RUNS}");
        let prefix = format!("end-to-end-{run}.");
        let tidings = Server::tidings_on_kafka(broker.address(), &prefix).await?;
        // Nothing was published before: the group acks nothing, and an event of the same key would wait for it.
        rows[0].1.push(of_deliveries(&tidings).await?.delivered);
        rows[1]
            .1
            .push(RawClients::start(broker, &prefix).await?.delays().await?.delivered);
    }
    print("publish to delivery", &mut rows, 1.5);
    Ok(())
}

/// The first row's figures stand to the sum of the others'.
fn print(what: &str, rows: &mut [Row], target: f64) {
    for part in [0.5, 0.99] {
        let spreads: Vec<_> = (rows.iter_mut())
            .map(|(name, runs)| (*name, quantiles(runs, part)))
            .collect();
        let floor: f64 = spreads[1..].iter().map(|(_, spread)| spread.median()).sum();
        let ratio = spreads[0].1.median() / floor;
        for (index, (name, spread)) in spreads.iter().enumerate() {
            let against = match index {
                0 => format!("   {ratio:.2} x the sum of the others, target {target}"),
                _ => String::new(),
            };
            println!("{what:<20} {name:<12} p{:<3} ms {spread:.2}{against}", part * 100.0);
        }
    }
}
