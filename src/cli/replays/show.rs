//! Replays as people read them.

use super::range;
use crate::{
    cli::{
        table::{Pairs, Table},
        words,
    },
    proto::tidings::v1::{Replay, ReplayState},
};

pub(super) fn table(replays: &[Replay]) -> Table {
    let columns = [
        "ID", "TIME", "GROUP", "FROM", "UNTIL", ">DONE", ">SENT", ">ACKED", ">FAILED", "STATE", "BY", "REASON",
    ];
    let mut table = Table::new(&columns);
    for replay in replays {
        table.row([
            replay.id.clone(),
            words::time(replay.start_time.as_ref()),
            replay.group.clone(),
            words::one_line(&range::start(replay.start.as_ref()), 40),
            words::one_line(&range::end(replay.end.as_ref()), 40),
            percent(replay),
            replay.sent.to_string(),
            replay.acked.to_string(),
            replay.failed.to_string(),
            state(replay).to_owned(),
            replay.principal.clone(),
            words::one_line(&replay.reason, 60),
        ]);
    }
    table
}

pub(super) fn replay(replay: &Replay) -> String {
    let pairs = [
        ("replay", replay.id.clone()),
        ("group", replay.group.clone()),
        ("state", state(replay).to_owned()),
        (
            "done",
            format!(
                "{} of {}",
                percent(replay),
                words::events(replay.total_offsets.unsigned_abs())
            ),
        ),
        ("sent", replay.sent.to_string()),
        ("acked", replay.acked.to_string()),
        ("failed", replay.failed.to_string()),
        ("hidden", replay.hidden.to_string()),
        ("passed over", replay.passed_over.to_string()),
        ("gone", replay.gone.to_string()),
        ("topics", topics(replay)),
        ("from", range::start(replay.start.as_ref())),
        ("until", range::end(replay.end.as_ref())),
        ("rate", rate(replay)),
        ("reason", words::one_line(&replay.reason, 200)),
        ("by", replay.principal.clone()),
        ("started", words::time(replay.start_time.as_ref())),
        ("ended", words::time(replay.end_time.as_ref())),
    ];
    let ended = [
        ("end reason", words::one_line(&replay.end_reason, 200)),
        ("ended by", replay.end_principal.clone()),
    ];
    let ended = ended.into_iter().filter(|(_, text)| !text.is_empty());
    let pairs: Vec<(&str, String)> = pairs.into_iter().chain(ended).collect();
    format!("{}\n{}", Pairs(&pairs), partitions(replay))
}

fn topics(replay: &Replay) -> String {
    match replay.topics.is_empty() {
        true => "all of the group's".to_owned(),
        false => replay.topics.join(", "),
    }
}

fn rate(replay: &Replay) -> String {
    match replay.max_events_per_second {
        rate if rate > 0.0 => format!("at most {rate} events a second"),
        _ => "as fast as can be".to_owned(),
    }
}

fn partitions(replay: &Replay) -> Table {
    let columns = [
        "TOPIC",
        ">PARTITION",
        ">FROM",
        ">NEXT",
        ">UNTIL",
        ">SENT",
        ">ACKED",
        ">FAILED",
        ">HIDDEN",
        ">GONE",
    ];
    let mut table = Table::new(&columns);
    for one in &replay.partitions {
        table.row([
            one.topic.clone(),
            one.partition.to_string(),
            one.from_offset.to_string(),
            one.next_offset.to_string(),
            one.until_offset.to_string(),
            one.sent.to_string(),
            one.acked.to_string(),
            one.failed.to_string(),
            one.hidden.to_string(),
            one.gone.to_string(),
        ]);
    }
    table
}

fn percent(replay: &Replay) -> String {
    format!("{:.0}%", replay.percent.floor())
}

fn state(replay: &Replay) -> &'static str {
    match replay.state() {
        ReplayState::Unspecified | ReplayState::Running => "running",
        ReplayState::Done => "done",
        ReplayState::Stopped => "stopped",
        ReplayState::Failed => "failed",
    }
}
