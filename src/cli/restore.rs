//! `tidings restore`: prints the state of topics, the newest event of each key, then what comes.

mod bar;

use clap::Args;

use self::bar::Bar;
use super::{
    client::Client,
    event::Received,
    failure::{Failure, Result},
    output::{Output, tell},
    read::tell_gap,
    words::{self, From},
};
use crate::proto::tidings::v1::{
    Change, Filter, KeyState, OnGap, ReadEvents, RestoreProgress, RestoreRequest, RestoreSource, filter::Dialect,
    restore_response::Frame,
};

#[derive(Debug, Args)]
pub struct Restore {
    /// Topics: names, or patterns in quotes ('*' is one segment, '**' any number, 're:' begins a regular expression)
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Only what has changed since: earliest, latest, a time (RFC 3339), or checkpoint:NAME; deletions too
    #[arg(long, value_name = "earliest|latest|TIME|checkpoint:NAME", value_parser = words::parse_from)]
    since: Option<From>,
    /// Go on with new events
    #[arg(long)]
    follow: bool,
    /// Only keys for whose newest event this CESQL expression is true, such as "type LIKE '%.created' AND subject = 'a-1'"
    #[arg(long, value_name = "CESQL")]
    filter: Option<String>,
    /// Fail where events are gone that no snapshot has
    #[arg(long)]
    whole: bool,
}

impl Restore {
    pub(super) fn prepare(self) -> RestoreRequest {
        let on_gap = if self.whole { OnGap::Fail } else { OnGap::Continue };
        RestoreRequest {
            topics: self.topics,
            since: self.since.map(From::start),
            filter: self.filter.map(|cesql| Filter {
                dialect: Some(Dialect::Cesql(cesql)),
            }),
            follow: self.follow,
            on_gap: on_gap.into(),
        }
    }
}

pub(super) async fn run(request: RestoreRequest, client: &Client, output: &mut Output) -> Result<()> {
    let failed = Failure::call(format!("restore {}", request.topics.join(" ")));
    let mut frames = client.state().restore(request).await.map_err(&failed)?.into_inner();
    let (mut bar, mut last) = (Bar::new(), RestoreProgress::default());
    while let Some(response) = frames.message().await.map_err(&failed)? {
        match response.frame {
            Some(Frame::RestoreProgress(progress)) => {
                bar.show(&progress);
                last = progress;
            }
            Some(Frame::RestoreState(states)) => bar.beside(|| print(states.states, output))?,
            Some(Frame::Gap(gap)) => bar.beside(|| tell_gap(&gap)),
            Some(Frame::CaughtUp(_)) => {
                bar.end();
                tell_done(&last);
            }
            Some(Frame::ReadEvents(events)) => print_events(events, output)?,
            // Frames that this version does not know are passed over, as the API asks.
            Some(Frame::Heartbeat(_)) | None => {}
        }
    }
    Ok(())
}

fn print(states: Vec<KeyState>, output: &mut Output) -> Result<()> {
    for state in states {
        match state.change() {
            Change::Unspecified | Change::Set | Change::SetUnlessResource => Received::from(state).print(output)?,
            Change::Deleted => print_deleted("deleted", &state, output)?,
            Change::AllDeleted => print_deleted("all deleted", &state, output)?,
        }
    }
    output.flush()
}

fn print_deleted(what: &str, state: &KeyState, output: &mut Output) -> Result<()> {
    let place = words::position(&state.position.clone().unwrap_or_default());
    let key = state.key.as_ref().map(|key| String::from_utf8_lossy(key));
    if output.is_json() {
        let line = serde_json::json!({ "change": what, "key": key, "position": place });
        return output.bytes(line.to_string().as_bytes());
    }
    let key = key.map_or_else(String::new, |key| format!("  [{}]", key.escape_debug()));
    output.text(format!("{place}{key}  {what}\n"))
}

fn print_events(events: ReadEvents, output: &mut Output) -> Result<()> {
    for event in events.events {
        Received::from(event).print(output)?;
    }
    output.flush()
}

fn tell_done(progress: &RestoreProgress) {
    for source in &progress.sources {
        for unusable in &source.unusable {
            tell(format!(
                "tidings: snapshot {} cannot be used: {}",
                unusable.name, unusable.reason
            ));
        }
        tell(format!("{}: {}", source.topic, from(source)));
    }
    let keyless = match progress.keyless_events {
        0 => String::new(),
        count => format!(", {count} without a key"),
    };
    tell(format!(
        "restored {} keys; {} events were read{keyless}",
        progress.sent_states, progress.read_events
    ));
}

fn from(source: &RestoreSource) -> String {
    match source.snapshot.as_str() {
        "" => "no snapshot; read from the log alone".to_owned(),
        name => format!("from snapshot {name} of {}", words::time(source.snapshot_time.as_ref())),
    }
}
