//! A real Kafka, by the script `tests/kafka/broker`, which ends it when our end of a pipe closes.

use std::process::Stdio;

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{ChildStdin, Command},
};

use crate::Result;

pub(crate) struct Broker {
    address: String,
    _input: ChildStdin,
}

/// Kafka's own defaults in place of those that make tests fast: segments that are not rolled all the time.
const PROPERTIES: [&str; 2] = ["log.segment.bytes=1073741824", "log.index.size.max.bytes=10485760"];

impl Broker {
    pub(crate) async fn start() -> Result<Self> {
        eprintln!("starting Kafka");
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/broker"));
        for property in PROPERTIES {
            command.args(["--property", property]);
        }
        let mut script = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = script.stdout.take().ok_or("stdout is piped")?;
        let line = BufReader::new(output).lines().next_line().await?;
        let line = line.ok_or("Kafka did not start")?;
        let ["ready", address, _] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(format!("tests/kafka/broker says {line:?}").into());
        };
        Ok(Self {
            address: address.to_owned(),
            _input: script.stdin.take().ok_or("stdin is piped")?,
        })
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn port(&self) -> &str {
        self.address.rsplit_once(':').map_or("", |(_, port)| port)
    }
}
