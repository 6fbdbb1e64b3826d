//! `tidings subscribe`: receives a group's events; prints and acks them, or hands each to a command.

mod credit;
mod exec;
mod commands;
mod retry;
mod session;

use clap::Args;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::{retry::Backoff, session::Session};
use super::{
    client::Client,
    failure::Result,
    output::{Output, tell},
    stop,
    words::{self, From},
};

#[derive(Clone, Debug, Args)]
pub struct Subscribe {
    /// The group; created if it does not exist
    #[arg(long)]
    group: String,
    /// Topics: names, or patterns in quotes ('*' is one segment, '**' any number, 're:' begins a regular expression)
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max: Option<u64>,
    /// Where a new group starts: earliest, latest, or a time (RFC 3339); default: earliest
    #[arg(long, value_name = "earliest|latest|TIME|checkpoint:NAME", value_parser = words::parse_from)]
    from: Option<From>,
    /// Run this shell command for each event, with the event as JSON on its stdin: exit status 0 acks, another fails, and the group retries
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,
    /// Take commands too, and run this shell command for each, with the command as JSON on its stdin: what it prints is the answer, exit status 0 is OK
    #[arg(long, value_name = "COMMAND")]
    exec_command: Option<String>,
    /// A label for this stream in listings and logs
    #[arg(long, value_name = "LABEL", default_value = "")]
    client_id: String,
}

/// What is left to do, over all streams that are opened one after the other.
struct Work<'a> {
    subscribe: &'a Subscribe,
    output: &'a mut Output,
    stop: CancellationToken,
    /// Events until the end; `None` = there is none.
    remaining: Option<u64>,
}

impl Work<'_> {
    fn is_done(&self) -> bool {
        self.remaining == Some(0) || self.stop.is_cancelled()
    }
}

/// Opens streams until the work is done; a stream that breaks is opened again where that can help.
pub(super) async fn run(subscribe: Subscribe, client: &Client, output: &mut Output) -> Result<()> {
    let mut backoff = Backoff::default();
    let mut work = Work {
        subscribe: &subscribe,
        output,
        stop: stop::on_signal()?,
        remaining: subscribe.max,
    };
    loop {
        let failure = match Session::run(client, &mut work, &mut backoff).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let Some(delay) = backoff.after(&failure) else {
            return Err(failure);
        };
        tell(format!("tidings: {failure}; opening again in {delay:.1?}"));
        tokio::select! {
            () = sleep(delay) => {}
            () = work.stop.cancelled() => return Ok(()),
        }
    }
}
