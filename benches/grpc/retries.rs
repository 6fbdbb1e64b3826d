//! What retries of 1,000 keys cost the others: a group at full speed while each of these keys fails again and again.

use std::time::Duration;

use crate::{
    RUNS, Result,
    ground::Ground,
    load::ranges,
    process::Server,
    report::{Sample, Samples, row},
    stream::{Stream, fill},
    wire::Delivery,
};

const TOPIC: &str = "retries";
/// The window is one of offsets: partitions enough that what fails, at their start, does not fill it.
const PARTITIONS: i32 = 16;
const FAILING: u64 = 1_000;
const EVENTS: u64 = 180_000;
const KEYS: u64 = 30_000;
/// The first delay of the default policy.
const DELAY: Duration = Duration::from_secs(1);
const CREDIT: i64 = 8_192;

pub(crate) async fn measure(ground: &Ground) -> Result<()> {
    let server = ground.server("retries").await?;
    fill(&server, TOPIC, PARTITIONS, EVENTS, KEYS).await?;
    let (mut quiet, mut retrying) = (Samples::default(), Samples::default());
    for run in 1..=RUNS + 2 {
        eprintln!("retries, run {run} of {}", RUNS + 2);
        quiet.push(consume(&server, &format!("quiet-{run}"), 0).await?);
        retrying.push(consume(&server, &format!("retrying-{run}"), FAILING).await?);
    }
    row("retries", "none", &quiet);
    println!();
    row("retries", "1,000 keys", &retrying);
    let cost = (1.0 - retrying.rate().median() / quiet.rate().median()) * 100.0;
    println!("   {cost:.1} % of the rate, target 5");
    Ok(())
}

/// One stream that nacks the first so many events each time it gets them and acks the others, until it has acked those.
async fn consume(server: &Server, group: &str, failing: u64) -> Result<Sample> {
    let mut stream = Stream::open(server, group, TOPIC, CREDIT).await?;
    let (mut count, mut failed, mut meter) = (0, 0, None);
    // Of a failing key all events wait.
    let others = EVENTS - failing * (EVENTS / KEYS);
    while count < others {
        let got = stream.next().await?;
        if meter.is_none() {
            meter = Some(server.meter()?);
        }
        let (bad, good): (Vec<Delivery>, Vec<Delivery>) =
            got.into_iter().partition(|delivery| is_of_first(failing, delivery));
        failed += bad.len() as u64;
        if !bad.is_empty() {
            stream.nack(ranges(&bad), DELAY).await?;
        }
        if !good.is_empty() {
            count += good.len() as u64;
            stream.ack(ranges(&good)).await?;
        }
    }
    if failed < failing {
        return Err(format!("only {failed} events failed").into());
    }
    meter.ok_or("nothing came")?.read(count)
}

/// Keys have a number at their end.
fn is_of_first(count: u64, delivery: &Delivery) -> bool {
    let text = delivery.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
    let number = text.and_then(|text| text.rsplit_once('-')?.1.parse::<u64>().ok());
    number.is_some_and(|number| number < count)
}
