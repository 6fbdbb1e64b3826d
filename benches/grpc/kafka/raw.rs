//! The floor: librdkafka's own producer and consumer, in a process of its own, so that its CPU time is told apart.
//!
//! They have the settings that a careful user would choose, and the bytes that the bus writes. An order is a line on
//! standard input; a line on standard output says that it is done.

mod clients;
mod delays;

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use self::clients::Clients;
use super::broker::Broker;
use crate::{
    Result,
    event::TOPIC,
    latency::Delays,
    load::{CALLERS, Load},
    process::Meter,
    report::Sample,
};

/// This program's argument to be these clients; brokers and topic follow.
pub(crate) const ARGUMENT: &str = "raw-clients";

/// The child process.
pub(crate) struct RawClients {
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl RawClients {
    /// On the topic of the server with this prefix.
    pub(crate) async fn start(broker: &Broker, prefix: &str) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([ARGUMENT, broker.address(), &format!("{prefix}{TOPIC}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let orders = process.stdin.take().ok_or("stdin is piped")?;
        let output = process.stdout.take().ok_or("stdout is piped")?;
        let mut raw = Self {
            process,
            orders,
            answers: BufReader::new(output).lines(),
        };
        raw.answer().await?;
        Ok(raw)
    }

    pub(crate) async fn run(mut self, load: Load) -> Result<Sample> {
        let (events, order) = (load.events(), order(load));
        let meter = Meter::start(self.process.id().ok_or("the clients have ended")?.to_string())?;
        self.order(&format!("{order} {events}")).await?;
        meter.read(events)
    }

    pub(crate) async fn delays(mut self) -> Result<Delays> {
        let answer = self.order("delays 0").await?;
        let times = |list: &serde_json::Value| {
            let nanos = list
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(serde_json::Value::as_u64);
            nanos.map(Duration::from_nanos).collect()
        };
        let lists: serde_json::Value = serde_json::from_str(&answer)?;
        Ok(Delays {
            answered: times(&lists[0]),
            delivered: times(&lists[1]),
        })
    }

    async fn order(&mut self, order: &str) -> Result<String> {
        self.orders.write_all(format!("{order}\n").as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<String> {
        let line = self.answers.next_line().await?;
        Ok(line.ok_or("the raw clients have ended")?)
    }
}

fn order(load: Load) -> &'static str {
    match load {
        Load::PublishStream => "stream",
        Load::Unary => "unary",
        Load::Read | Load::Group => "consume",
    }
}

/// The child's side.
pub(crate) async fn serve(brokers: &str, topic: &str) -> Result<()> {
    let clients = Clients::new(brokers, topic)?;
    println!("ready");
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = orders.next_line().await? {
        let (order, events) = line.split_once(' ').ok_or("an order and its events")?;
        let events = events.parse()?;
        match order {
            // As a user who has much to send: librdkafka's defaults for batches, half of its queue.
            "stream" => clients.produce(events, &[("linger.ms", "5")], 50_000).await?,
            // As 64 callers who wait for their answers.
            "unary" => clients.produce(events, &[("linger.ms", "0")], CALLERS).await?,
            "delays" => {
                println!("{}", delays::measure(brokers, topic).await?);
                continue;
            }
            _ => clients.consume(events)?,
        }
        println!("done");
    }
    Ok(())
}
