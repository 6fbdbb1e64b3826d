//! `tidings replays`: start, show, list and stop.

mod range;
mod show;

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{
    client::Client,
    failure::{Failure, Result},
    output::{Output, tell},
    progress::{Progress, Unit},
};
use crate::proto::tidings::v1::{
    End, Filter, GetReplayRequest, ListReplaysRequest, Replay, ReplayState, Start, StartReplayRequest,
    StopReplayRequest, filter::Dialect,
};

/// Between two looks at how far a replay has come.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub enum ReplaysCommand {
    /// Sends past events to a group's streams once more, beside its live ones; its offsets do not move
    Start(Box<StartArguments>),
    /// Shows a replay: why, by whom, and how far it has come in each partition
    Show { replay: String },
    /// Lists replays, newest first
    List {
        /// Only those for this group
        #[arg(long, default_value = "", hide_default_value = true)]
        group: String,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
        max: u64,
    },
    /// Stops a replay for good; what is outstanding may still be acked
    Stop {
        replay: String,
        /// Why; it is kept with the replay
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Args)]
pub struct StartArguments {
    /// The group, which may be running
    #[arg(long)]
    group: String,
    /// Only this topic, or those that match this pattern; may be given several times
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// From here on: earliest, latest, a time (2026-01-31T12:00:00Z), checkpoint:NAME, or TOPIC/PARTITION/OFFSET, several with commas; of
    /// positions only the partitions that are named are replayed
    #[arg(long, value_name = "START", value_parser = range::parse_start)]
    from: Option<Start>,
    /// Up to here: latest (what there is now), a time, or positions as for --from; by default latest
    #[arg(long, value_name = "END", value_parser = range::parse_end)]
    until: Option<End>,
    /// Only events that pass this CloudEvents SQL expression
    #[arg(long, value_name = "CESQL")]
    filter: Option<String>,
    /// At most so many events a second, over all servers
    #[arg(long, value_name = "N", value_parser = range::parse_rate)]
    rate: Option<f64>,
    /// Why; it is kept with the replay
    #[arg(long)]
    reason: String,
    /// Makes the command repeatable: the same id starts one replay
    #[arg(long, default_value = "", hide_default_value = true)]
    request_id: String,
    /// Wait until it has ended
    #[arg(long)]
    wait: bool,
}

pub(super) async fn run(command: ReplaysCommand, client: &Client, output: &mut Output) -> Result<()> {
    match command {
        ReplaysCommand::Start(arguments) => start(*arguments, client, output).await,
        ReplaysCommand::Show { replay } => {
            let replay = get(&replay, client).await?;
            output.one(show::replay(&replay), &replay)
        }
        ReplaysCommand::List { group, max } => list(group, max, client, output).await,
        ReplaysCommand::Stop { replay, reason } => {
            let what = format!("stop replay {replay}");
            let request = StopReplayRequest {
                replay_id: replay,
                reason,
                request_id: String::new(),
            };
            let answer = client
                .replays()
                .stop_replay(request)
                .await
                .map_err(Failure::call(what))?;
            let replay = answer.into_inner().replay.unwrap_or_default();
            output.one(show::replay(&replay), &replay)
        }
    }
}

async fn start(arguments: StartArguments, client: &Client, output: &mut Output) -> Result<()> {
    let cesql = |text| Filter {
        dialect: Some(Dialect::Cesql(text)),
    };
    let what = format!("start a replay for group {}", arguments.group);
    let request = StartReplayRequest {
        group: arguments.group,
        topics: arguments.topics,
        start: arguments.from,
        end: arguments.until,
        filter: arguments.filter.map(cesql),
        max_events_per_second: arguments.rate.unwrap_or(0.0),
        reason: arguments.reason,
        request_id: arguments.request_id,
    };
    let answer = client
        .replays()
        .start_replay(request)
        .await
        .map_err(Failure::call(what))?;
    let mut replay = answer.into_inner().replay.unwrap_or_default();
    if arguments.wait {
        tell(format!("replay {} is running", replay.id));
        replay = wait(replay, client).await?;
    }
    output.one(show::replay(&replay), &replay)?;
    match replay.state() {
        ReplayState::Failed => Err(Failure::Local(format!(
            "replay {} failed: {}",
            replay.id, replay.end_reason
        ))),
        ReplayState::Running => {
            tell(format!("to see how far it is: tidings replays show {}", replay.id));
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Until it has ended, with a bar for whoever watches.
async fn wait(mut replay: Replay, client: &Client) -> Result<Replay> {
    let mut progress = Progress::new(Some(replay.total_offsets.unsigned_abs()), Unit::Events);
    let (mut looks, mut done) = (tokio::time::interval(LOOK), 0);
    while replay.state() == ReplayState::Running {
        progress.add((replay.done_offsets - done).unsigned_abs());
        done = replay.done_offsets;
        looks.tick().await;
        replay = get(&replay.id, client).await?;
    }
    Ok(replay)
}

async fn get(id: &str, client: &Client) -> Result<Replay> {
    let request = GetReplayRequest {
        replay_id: id.to_owned(),
    };
    let answer = client.replays().get_replay(request).await;
    let answer = answer.map_err(Failure::call(format!("show replay {id}")))?;
    Ok(answer.into_inner().replay.unwrap_or_default())
}

async fn list(group: String, max: u64, client: &Client, output: &mut Output) -> Result<()> {
    let most = usize::try_from(max).unwrap_or(usize::MAX);
    let mut request = ListReplaysRequest {
        group,
        page_size: i32::try_from(max.min(1_000)).unwrap_or(1_000),
        page_token: String::new(),
    };
    let mut replays = Vec::new();
    while replays.len() < most {
        let page = client.replays().list_replays(request.clone()).await;
        let page = page.map_err(Failure::call("list replays"))?.into_inner();
        replays.extend(page.replays);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    replays.truncate(most);
    output.rows(&show::table(&replays), &replays)
}
