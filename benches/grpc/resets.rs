//! How long a reset takes: of a group with 100 partitions and streams that have acked everything, on two replicas where there is
//! Kafka; from the call until its answer, and until the first event that is sent again.

use std::time::{Duration, Instant};

use tokio::{sync::mpsc, task::JoinSet};
use tonic::transport::Channel;

use crate::{
    RUNS, Result,
    ground::Ground,
    load::ranges,
    process::Server,
    report::quantiles,
    stream::{Stream, fill},
};
use tidings::proto::tidings::v1::{
    ApplyResetRequest, PlanResetRequest, Target, offset_service_client::OffsetServiceClient, target::To,
};

const TOPIC: &str = "resets";
const GROUP: &str = "resets";
const PARTITIONS: i32 = 100;
const EVENTS: u64 = 10_000;
const STREAMS: usize = 4;
const TARGET: f64 = 2.0;

pub(crate) async fn measure(ground: &Ground) -> Result<()> {
    let first = ground.server("resets").await?;
    fill(&first, TOPIC, PARTITIONS, EVENTS, EVENTS).await?;
    let second = match ground {
        Ground::Kafka(_) => Some(ground.server("resets").await?),
        Ground::Directory(_) => None,
    };
    let (events, mut came) = mpsc::channel(1_024);
    let mut consumers = JoinSet::new();
    for index in 0..STREAMS {
        let server = second.as_ref().filter(|_| index % 2 == 1).unwrap_or(&first);
        let stream = Stream::open(server, GROUP, TOPIC, 1_000).await?;
        consumers.spawn(consume(stream, events.clone()));
    }
    let (mut applied, mut sent) = (Vec::new(), Vec::new());
    settle(&mut came).await?;
    for run in 1..=RUNS {
        eprintln!("resets, run {run} of {RUNS}");
        let (answered, first) = reset(&first, &mut came).await?;
        applied.push(vec![answered]);
        sent.push(vec![first]);
        settle(&mut came).await?;
    }
    for (what, runs) in [("answered", &mut applied), ("first event", &mut sent)] {
        let spread = quantiles(runs, 0.5);
        println!(
            "resets           {what:<12} ms {spread:.2}   target {:.0}",
            TARGET * 1e3
        );
    }
    Ok(())
}

/// Acks everything, and tells how many events came.
async fn consume(mut stream: Stream, events: mpsc::Sender<u64>) -> Result<()> {
    loop {
        let got = stream.next().await?;
        stream.ack(ranges(&got)).await?;
        events.send(got.len() as u64).await?;
    }
}

/// Waits until all events have come, and nothing more does.
async fn settle(came: &mut mpsc::Receiver<u64>) -> Result<()> {
    const QUIET: Duration = Duration::from_secs(3);
    let mut count = 0;
    while let Ok(more) = tokio::time::timeout(QUIET, came.recv()).await {
        count += more.ok_or("the streams have ended")?;
    }
    match count >= EVENTS / 2 {
        true => Ok(()),
        false => Err(format!("only {count} events came").into()),
    }
}

async fn reset(server: &Server, came: &mut mpsc::Receiver<u64>) -> Result<(Duration, Duration)> {
    let mut client = OffsetServiceClient::new(server.channel());
    let planned = plan(&mut client, GROUP, (&[], To::Earliest(()))).await?;
    let started = Instant::now();
    let answer = async {
        client.apply_reset(planned).await?;
        Result::<_>::Ok(started.elapsed())
    };
    let event = async {
        came.recv().await.ok_or("the streams have ended")?;
        Result::<_>::Ok(started.elapsed())
    };
    let (answered, first) = tokio::join!(answer, event);
    Ok((answered?, first?))
}

/// What applies a reset of a group, of all its topics if none is named.
pub(crate) async fn plan(
    client: &mut OffsetServiceClient<Channel>,
    group: &str,
    (topics, to): (&[&str], To),
) -> Result<ApplyResetRequest> {
    let request = PlanResetRequest {
        group: group.to_owned(),
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        target: Some(Target { to: Some(to) }),
        ..PlanResetRequest::default()
    };
    let plan = client.plan_reset(request).await?.into_inner().plan.ok_or("a plan")?;
    Ok(ApplyResetRequest {
        plan_id: plan.id,
        hash: plan.hash,
        reason: "measured".to_owned(),
        request_id: String::new(),
    })
}
