//! Server processes: started, measured from outside, killed.

use std::{fs, path::Path, process::Stdio, time::Duration, time::Instant};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};
use tonic::transport::{Channel, Endpoint};

use crate::{
    Result, bare,
    load::{self, Load},
    report::Sample,
};

/// Linux tells CPU times in these, whatever the kernel's own clock.
const TICKS_PER_SECOND: u64 = 100;

pub(crate) struct Server {
    process: Child,
    address: String,
    channel: Channel,
    is_bare: bool,
}

/// CPU time and clock of a process at the start of a run.
pub(crate) struct Meter {
    process: String,
    cpu: Duration,
    started: Instant,
}

/// A variable of the environment, and its value.
pub(crate) type Setting = (&'static str, String);

impl Server {
    /// The real server, on an empty directory.
    pub(crate) async fn tidings(directory: &Path) -> Result<Self> {
        Self::tidings_with(directory, &[]).await
    }

    pub(crate) async fn tidings_with(directory: &Path, settings: &[Setting]) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(directory)
            .envs(settings.iter().cloned());
        Self::start(command, false).await
    }

    /// The real server on Kafka, where its topics and groups have this prefix.
    pub(crate) async fn tidings_on_kafka(brokers: &str, prefix: &str) -> Result<Self> {
        Self::tidings_on_kafka_with(brokers, prefix, &[]).await
    }

    pub(crate) async fn tidings_on_kafka_with(brokers: &str, prefix: &str, settings: &[Setting]) -> Result<Self> {
        let mut command = on_kafka(brokers, prefix);
        command.envs(settings.iter().cloned());
        Self::start(command, false).await
    }

    /// The same with a store for snapshots.
    pub(crate) async fn tidings_on_kafka_with_store(brokers: &str, prefix: &str, store: &Path) -> Result<Self> {
        let mut command = on_kafka(brokers, prefix);
        command.env("TIDINGS_SNAPSHOTS__STORE", format!("file://{}", store.display()));
        Self::start(command, false).await
    }

    /// This program again, as the floor.
    pub(crate) async fn bare() -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(bare::ARGUMENT);
        Self::start(command, true).await
    }

    async fn start(mut command: Command, is_bare: bool) -> Result<Self> {
        command
            .env("TIDINGS_SERVER__OPS", "127.0.0.1:0")
            .env("TIDINGS_TELEMETRY__LOG_FORMAT", "json");
        let mut process = command.stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let pipe = process.stderr.take().ok_or("stderr is piped")?;
        let mut lines = BufReader::new(pipe).lines();
        let address = loop {
            let line = lines.next_line().await?.ok_or("the server did not start")?;
            let fields: serde_json::Value = serde_json::from_str(&line)?;
            if fields["message"] == "listening" {
                break fields["address"].as_str().unwrap_or_default().to_owned();
            }
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let channel = connect(&address).await?;
        Ok(Self {
            process,
            address,
            channel,
            is_bare,
        })
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A connection of its own.
    pub(crate) async fn new_channel(&self) -> Result<Channel> {
        connect(&self.address).await
    }

    /// Lets the bare server build what it will send, before it is measured.
    pub(crate) async fn make_stock(&self, load: Load) -> Result<()> {
        match self.is_bare {
            true => load::ask_for_stock(self, load).await,
            false => Ok(()),
        }
    }

    pub(crate) fn id(&self) -> Result<u32> {
        Ok(self.process.id().ok_or("the server has ended")?)
    }

    pub(crate) fn meter(&self) -> Result<Meter> {
        Meter::start(self.id()?.to_string())
    }

    /// Resident bytes now.
    pub(crate) fn rss(&self) -> Result<u64> {
        Ok(self.status("VmRSS:")? << 10)
    }

    pub(crate) fn peak_rss(&self) -> Result<u64> {
        Ok(self.status("VmHWM:")? << 10)
    }

    pub(crate) fn threads(&self) -> Result<u64> {
        self.status("Threads:")
    }

    fn status(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let value = status.lines().find_map(|line| line.strip_prefix(field));
        Ok(value.ok_or(field)?.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Meter {
    pub(crate) fn start(process: String) -> Result<Self> {
        Ok(Self {
            cpu: cpu_time(&process)?,
            process,
            started: Instant::now(),
        })
    }

    pub(crate) fn read(self, events: u64) -> Result<Sample> {
        Ok(Sample {
            events,
            elapsed: self.started.elapsed(),
            cpu: cpu_time(&self.process)? - self.cpu,
        })
    }
}

fn on_kafka(brokers: &str, prefix: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--kafka", brokers])
        .env("TIDINGS_LOG__KAFKA__TOPIC_PREFIX", prefix)
        .env("TIDINGS_LOG__KAFKA__GROUP_ID", format!("{prefix}{{group}}"))
        .env("TIDINGS_TOPICS__AUTO_CREATE", "true");
    command
}

async fn connect(address: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20);
    Ok(endpoint.connect().await?)
}

/// User and system time of all threads.
fn cpu_time(process: &str) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')').ok_or("a process has a name")?;
    // After the name stands field 3; user time is field 14, system time 15.
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND))
}
