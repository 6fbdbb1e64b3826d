//! The harness: the real binary on a directory of its own, on free ports, started, stopped and killed as a user would.
//!
//! Every wait has a deadline and says what it waited for. A test that fails prints what its server logged.

#![allow(dead_code, reason = "a harness offers more than the tests of one day use")]

pub(crate) mod authority;
pub(crate) mod backend;
pub(crate) mod cable;
pub(crate) mod clients;
pub(crate) mod collector;
pub(crate) mod frames;
pub(crate) mod issuer;
pub(crate) mod kafka;
pub(crate) mod raw;
pub(crate) mod status;
pub(crate) mod wire;
mod stderr;

use std::{
    fs,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    task::AbortHandle,
};
use tonic::transport::{Channel, Endpoint};

use backend::Ground;
use stderr::Stderr;

pub(crate) use backend::Backend;

/// How long a test waits for what should come at once, on a machine that is busy with other tests.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Longer than any test needs a server. Then it is killed, so that a test that waits for what never comes fails and names itself.
const LONGEST: Duration = Duration::from_secs(6 * 60);

/// A running `tidings serve`. Dropping it kills it and removes its directory.
pub(crate) struct Server {
    process: Child,
    watchdog: Watchdog,
    stderr: Stderr,
    address: SocketAddr,
    ops: SocketAddr,
    channel: Channel,
    home: Home,
}

/// What a server keeps when it is started again: its data and its configuration.
struct Home {
    directory: TempDir,
    ground: Ground,
}

impl Server {
    /// Starts with the default configuration, on an empty directory.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts with this configuration file.
    pub(crate) async fn start_with(config: &str) -> Self {
        let ground = Ground::new().await;
        Self::start_at(Home::new(config, ground)).await
    }

    /// SIGTERM, and waits until it has ended by itself.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    /// kill -9: nothing is flushed, nobody is told.
    pub(crate) async fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.ended().await;
    }

    /// Starts again on the same directory, on new ports. What still runs is killed first.
    pub(crate) async fn restart(mut self) -> Self {
        if self.process.id().is_some() {
            self.kill().await;
        }
        Self::start_at(self.home).await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.process.id().expect("the server has ended already");
        signal::kill(Pid::from_raw(id.cast_signed()), signal).expect("signal the server");
    }

    /// Waits for the end of the process.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let status = within("the end of the server", self.process.wait())
            .await
            .expect("wait for the server");
        self.watchdog.0.abort();
        status
    }

    /// The memory that it has, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.of_memory("VmRSS:")
    }

    /// The most memory that it had.
    pub(crate) fn peak_memory(&self) -> usize {
        self.of_memory("VmHWM:")
    }

    fn of_memory(&self, name: &str) -> usize {
        let id = self.process.id().expect("the server runs");
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("a process");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("its memory");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// A connection that all clients of this server share.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The listener of /livez and /readyz.
    pub(crate) fn ops(&self) -> SocketAddr {
        self.ops
    }

    /// Where the embedded log lies.
    pub(crate) fn data(&self) -> PathBuf {
        self.home.data()
    }

    /// Changes the configuration file of the server that runs.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.home.config(), config).expect("write the configuration");
    }

    /// Waits for a line of the log with this message, and gives its fields.
    pub(crate) async fn logged(&self, message: &str) -> Value {
        within(&format!("a log line {message:?}"), self.stderr.line(message))
            .await
            .unwrap_or_else(|| panic!("the server ended without logging {message:?}"))
    }

    /// All that it has logged.
    pub(crate) fn log(&self) -> String {
        self.stderr.text()
    }

    /// A command line as a client of this server: `server.command(["topics", "list"])`.
    pub(crate) fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = tidings();
        command
            .args(arguments)
            .env("TIDINGS_SERVER", format!("http://{}", self.address));
        command
    }

    /// Runs a command line as a client of this server to its end.
    pub(crate) async fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Output {
        within("the end of a command", self.command(arguments).output())
            .await
            .expect("run the command line")
    }

    /// What a command prints as JSON, one object a line.
    pub(crate) async fn json<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Vec<serde_json::Value> {
        let output = self.run(arguments.into_iter().chain(["--output", "json"])).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).expect("text");
        let read = |line| serde_json::from_str(line).expect("JSON");
        lines.lines().map(read).collect()
    }

    async fn start_at(home: Home) -> Self {
        let mut process = home.serve().spawn().expect("start the server");
        let watchdog = Watchdog::of(&process);
        let stderr = Stderr::of(&mut process);
        let listening = within("the server to listen", stderr.line("listening"))
            .await
            .unwrap_or_else(|| panic!("the server did not start:\n{}", stderr.text()));
        let address = socket_address(&listening, "address");
        let channel = Endpoint::from_shared(format!("http://{address}"))
            .expect("an address makes a URI")
            .connect_lazy();
        Self {
            ops: socket_address(&listening, "ops"),
            process,
            watchdog,
            stderr,
            address,
            channel,
            home,
        }
    }
}

impl Home {
    fn new(config: &str, ground: Ground) -> Self {
        let home = Self {
            directory: TempDir::with_prefix("tidings-test-").expect("make a directory"),
            ground,
        };
        fs::write(home.config(), config).expect("write the configuration");
        home
    }

    fn serve(&self) -> Command {
        let mut command = tidings();
        command
            .arg("serve")
            .args(["--config".as_ref(), self.config().as_path()])
            .args(["--data".as_ref(), self.data().as_path()])
            .args(["--listen", "127.0.0.1:0"])
            .env("TIDINGS_SERVER__OPS", "127.0.0.1:0")
            .env("TIDINGS_TELEMETRY__LOG_FORMAT", "json")
            // Spans are sent at once, where a test has a collector.
            .env("OTEL_BSP_SCHEDULE_DELAY", "50")
            .envs(self.ground.environment(&self.config()))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    fn config(&self) -> PathBuf {
        self.path().join("tidings.toml")
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// The binary, with nothing of the caller's environment that it would act on, and killed if the test ends before it.
pub(crate) fn tidings() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDINGS_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Kills a server after the longest time that a test may have it, unless that has ended or been dropped before.
struct Watchdog(AbortHandle);

impl Watchdog {
    fn of(server: &Child) -> Self {
        let id = server.id().expect("it was just started");
        let killing = tokio::spawn(async move {
            let never = std::future::pending::<()>();
            let _ = tokio::time::timeout(LONGEST, never).await;
            // It may have ended by itself.
            let _ = signal::kill(Pid::from_raw(id.cast_signed()), Signal::SIGKILL);
        });
        Self(killing.abort_handle())
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits for a future, and fails with what was waited for if it takes longer than `SOON`.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(SOON, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {SOON:?} for {what}"),
    }
}

/// Asks again and again until there is an answer, and fails with what was waited for if there is none by the deadline.
pub(crate) async fn eventually<T, F>(deadline: Duration, what: &str, mut check: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let started = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while started.elapsed() < deadline {
        ticks.tick().await;
        if let Some(answer) = check().await {
            return answer;
        }
    }
    panic!("waited {deadline:?} for {what}");
}

fn socket_address(fields: &Value, name: &str) -> SocketAddr {
    fields[name]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("the log line `listening` has no address in its field `{name}`: {fields}"))
}
