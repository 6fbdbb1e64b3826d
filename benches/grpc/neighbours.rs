//! What a group's streams feel of others that come and go: its latency while nobody does, and while streams open and close.

use std::time::Duration;

use tokio::{task::JoinHandle, time::interval};

use crate::{
    RUNS, Result,
    event::TOPIC,
    ground::Ground,
    idle::open_on,
    latency::of_deliveries,
    report::{Spread, quantiles},
};

/// Openings and closings while the neighbour is measured.
const TIMES: u32 = 100;
/// From one opening to the next: all in the 6 s of the neighbour.
const EACH: Duration = Duration::from_millis(50);
/// Events until the neighbour's own start is over.
const START: usize = 500;

#[derive(Clone, Copy)]
enum Others {
    None,
    /// One group on another topic.
    Topic,
    /// One other group on the neighbour's topic.
    Group,
    /// A hundred groups there, each for the first time: their records are made durable beside the neighbour's events.
    Groups,
}

impl Others {
    const ALL: [Self; 4] = [Self::None, Self::Topic, Self::Group, Self::Groups];

    fn name(self) -> &'static str {
        match self {
            Self::None => "quiet",
            Self::Topic => "other topic",
            Self::Group => "other group",
            Self::Groups => "100 new ones",
        }
    }
}

pub(crate) async fn measure(ground: &Ground) -> Result<()> {
    let mut delays = Others::ALL.map(|_| Vec::new());
    for run in 1..=RUNS {
        for (others, runs) in Others::ALL.into_iter().zip(&mut delays) {
            eprintln!("neighbours, {}, run {run} of {RUNS}", others.name());
            runs.push(beside(ground, others, run).await?);
        }
    }
    let spreads: Vec<(Spread, Spread)> = (delays.iter_mut())
        .map(|runs| (quantiles(runs, 0.5), quantiles(runs, 0.99)))
        .collect();
    let quiet = spreads[0].1.median();
    for (others, (median, slow)) in Others::ALL.into_iter().zip(&spreads) {
        let ratio = slow.median() / quiet;
        println!(
            "neighbours       {:<12} p50 ms {median:.2}   p99 ms {slow:.2}   {ratio:.2} x quiet, target 1.5",
            others.name()
        );
    }
    Ok(())
}

async fn beside(ground: &Ground, others: Others, run: usize) -> Result<Vec<Duration>> {
    let server = ground.server(&format!("neighbours-{run}-{}", others as usize)).await?;
    let channel = server.new_channel().await?;
    let coming_and_going: JoinHandle<Result<()>> = tokio::spawn(async move {
        let mut ticks = interval(EACH);
        for number in 0..TIMES {
            ticks.tick().await;
            let held = match others {
                Others::None => continue,
                Others::Topic => open_on("idle", channel.clone(), "other".to_owned()).await?,
                Others::Group => open_on(TOPIC, channel.clone(), "other".to_owned()).await?,
                Others::Groups => open_on(TOPIC, channel.clone(), format!("other-{number}")).await?,
            };
            drop(held);
        }
        Ok(())
    });
    let mut delays = of_deliveries(&server).await?.delivered;
    coming_and_going.await??;
    Ok(delays.split_off(START))
}
