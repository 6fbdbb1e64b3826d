//! A real Kafka, by the script `tests/kafka/broker`: one that all tests of this process share, or one of a test's own to break.
//!
//! The script stops its broker when its standard input ends, and that pipe is ours: whatever way this process ends, no broker
//! outlives it.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

/// The versions under test: the newest, and the last that ran with or without ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Four,
    Three,
}

/// A broker of one node. Dropping it kills it and removes its data.
pub(crate) struct Broker {
    // Before `data`: it ends before its directory goes.
    running: Option<Running>,
    address: String,
    arguments: Vec<String>,
    _data: Option<TempDir>,
}

/// The script and the Kafka that it started.
struct Running {
    script: Child,
    kafka: Pid,
    /// The further ones, `NAME=PORT`.
    listeners: Vec<String>,
}

impl Broker {
    /// The newest Kafka, shared: what a test makes there has names of its own.
    pub(crate) async fn shared() -> &'static Self {
        Self::shared_of(Version::Four).await
    }

    /// The shared broker of a version, started when it is first asked for.
    pub(crate) async fn shared_of(version: Version) -> &'static Self {
        static FOUR: OnceLock<Broker> = OnceLock::new();
        static THREE: OnceLock<Broker> = OnceLock::new();
        let shared = match version {
            Version::Four => &FOUR,
            Version::Three => &THREE,
        };
        let start = move || {
            let arguments = vec!["--version".to_owned(), version.text().to_owned()];
            Self::launch(arguments, None)
        };
        spawn_blocking(move || shared.get_or_init(start))
            .await
            .expect("a broker")
    }

    /// A broker of the test's own, with properties such as `message.max.bytes=1000`.
    pub(crate) async fn start(properties: &[&str]) -> Self {
        Self::start_of(Version::Four, properties).await
    }

    pub(crate) async fn start_of(version: Version, properties: &[&str]) -> Self {
        let data = TempDir::with_prefix("tidings-kafka-").expect("make a directory");
        let path = data.path().to_str().expect("a path of text");
        let mut arguments = vec!["--version", version.text(), "--data", path];
        for property in properties {
            arguments.extend(["--property", property]);
        }
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        spawn_blocking(|| Self::launch(arguments, Some(data)))
            .await
            .expect("a broker")
    }

    /// A broker of the test's own, with these arguments of the script.
    pub(crate) async fn start_with(arguments: Vec<String>) -> Self {
        spawn_blocking(|| Self::launch(arguments, None))
            .await
            .expect("a broker")
    }

    /// The address of a further listener.
    pub(crate) fn listener(&self, name: &str) -> String {
        let listeners = &self.running.as_ref().expect("the broker runs").listeners;
        let port = listeners
            .iter()
            .find_map(|listener| listener.strip_prefix(name)?.strip_prefix('='));
        format!("127.0.0.1:{}", port.expect("a listener"))
    }

    /// A broker of the test's own on this port.
    pub(crate) async fn start_on_port(port: u16) -> Self {
        let arguments = vec!["--port".to_owned(), port.to_string()];
        spawn_blocking(|| Self::launch(arguments, None))
            .await
            .expect("a broker")
    }

    /// From now on it cannot make a file larger than this: to Kafka, as if its disk were full.
    pub(crate) fn limit_files(&self, bytes: u64) {
        let limited = Command::new("prlimit")
            .args(["--pid", &self.kafka_id().to_string(), &format!("--fsize={bytes}")])
            .status();
        assert!(limited.expect("run prlimit").success());
    }

    /// Host and port, for `bootstrap_servers`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Shuts it down in order, and waits for its end.
    pub(crate) async fn stop(&mut self) {
        let running = self.running.take().expect("the broker runs");
        signal(running.script_id(), Signal::SIGTERM);
        let ended = spawn_blocking(move || running.ended()).await;
        assert!(ended.expect("wait for the broker"), "the broker did not end in order");
    }

    /// kill -9, and waits for its end.
    pub(crate) async fn kill(&mut self) {
        let running = self.running.take().expect("the broker runs");
        spawn_blocking(move || drop(running))
            .await
            .expect("wait for the broker");
    }

    /// Starts again on the same data and ports. What still runs is killed first.
    pub(crate) async fn start_again(&mut self) {
        drop(self.running.take());
        let arguments = self.arguments.clone();
        let (running, address) = spawn_blocking(move || Running::start(&arguments))
            .await
            .expect("a broker");
        assert_eq!(address, self.address, "the broker came back elsewhere");
        self.running = Some(running);
    }

    /// Stops it in the middle of whatever it does: connections stay open, and nothing answers.
    pub(crate) fn freeze(&self) {
        signal(self.kafka_id(), Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        signal(self.kafka_id(), Signal::SIGCONT);
    }

    fn kafka_id(&self) -> Pid {
        self.running.as_ref().expect("the broker runs").kafka
    }

    fn launch(arguments: Vec<String>, data: Option<TempDir>) -> Self {
        let (running, address) = Running::start(&arguments);
        Self {
            running: Some(running),
            address,
            arguments,
            _data: data,
        }
    }
}

impl Running {
    /// Blocks until the broker accepts requests; the script itself gives up after a minute.
    fn start(arguments: &[String]) -> (Self, String) {
        let mut script = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/broker"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start tests/kafka/broker");
        let mut ready = String::new();
        BufReader::new(script.stdout.take().expect("stdout is piped"))
            .read_line(&mut ready)
            .expect("text");
        let words: Vec<_> = ready.split_whitespace().collect();
        let ["ready", address, id, ref listeners @ ..] = words[..] else {
            panic!("Kafka did not start:\n{}", said(&mut script));
        };
        let kafka = Pid::from_raw(id.parse().expect("a process id"));
        let listeners = listeners.iter().map(|listener| (*listener).to_owned()).collect();
        let running = Self {
            script,
            kafka,
            listeners,
        };
        (running, address.to_owned())
    }

    fn script_id(&self) -> Pid {
        Pid::from_raw(self.script.id().cast_signed())
    }

    /// Blocks until script and broker have ended, and says whether they did in order.
    fn ended(mut self) -> bool {
        self.script.wait().expect("wait for tests/kafka/broker").success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The script ends after its Kafka; before, the process id is Kafka's for sure.
        if let Ok(None) = self.script.try_wait() {
            signal(self.kafka, Signal::SIGKILL);
            self.script.wait().expect("wait for tests/kafka/broker");
        }
    }
}

impl Version {
    fn text(self) -> &'static str {
        match self {
            Self::Four => "4.1.0",
            Self::Three => "3.9.1",
        }
    }
}

fn signal(process: Pid, signal: Signal) {
    signal::kill(process, signal).expect("signal the broker");
}

fn said(script: &mut Child) -> String {
    let mut text = String::new();
    let mut stderr = script.stderr.take().expect("stderr is piped");
    stderr.read_to_string(&mut text).expect("text");
    text
}
