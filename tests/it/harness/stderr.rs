//! What a server logs: read line by line as it comes, and shown when the test fails.

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStderr},
    sync::watch,
};

pub(super) struct Stderr(watch::Receiver<Lines>);

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Stderr {
    pub(super) fn of(process: &mut Child) -> Self {
        let pipe = process.stderr.take().expect("stderr is piped");
        let (sender, receiver) = watch::channel(Lines::default());
        tokio::spawn(collect(pipe, sender));
        Self(receiver)
    }

    /// The fields of the first line with this message; `None` if the log ends without one.
    pub(super) async fn line(&self, message: &str) -> Option<Value> {
        let mut receiver = self.0.clone();
        let known = receiver
            .wait_for(|log| log.ended || find(log, message).is_some())
            .await
            .ok()?;
        find(&known, message)
    }

    pub(super) fn text(&self) -> String {
        self.0.borrow().lines.join("\n")
    }
}

impl Drop for Stderr {
    #[expect(clippy::print_stderr, reason = "the test runner shows it beside the failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server logged:\n{}", self.text());
        }
    }
}

async fn collect(pipe: ChildStderr, sender: watch::Sender<Lines>) {
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        sender.send_modify(|log| log.lines.push(line));
    }
    sender.send_modify(|log| log.ended = true);
}

fn find(log: &Lines, message: &str) -> Option<Value> {
    log.lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|line| line["message"] == message)
}
