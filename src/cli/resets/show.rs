//! Plans and resets as people read them.

use super::target;
use crate::{
    cli::{
        table::{Pairs, Table},
        words,
    },
    proto::tidings::v1::{Kind, PartitionMove, Reset, ResetPlan, ResetState},
};

pub(super) fn table(resets: &[Reset]) -> Table {
    let columns = [
        "ID",
        "TIME",
        "GROUP",
        "TO",
        ">REPLAYED",
        ">SKIPPED",
        "STATE",
        "BY",
        "REASON",
    ];
    let mut table = Table::new(&columns);
    for reset in resets {
        let plan = reset.plan.clone().unwrap_or_default();
        table.row([
            reset.id.clone(),
            words::time(reset.accept_time.as_ref()),
            reset.group.clone(),
            target::text(plan.target.as_ref()),
            plan.replayed.to_string(),
            plan.skipped.to_string(),
            state(reset),
            reset.principal.clone(),
            words::one_line(&reset.reason, 60),
        ]);
    }
    table
}

pub(super) fn plan(plan: &ResetPlan) -> String {
    let pairs = Pairs(&[
        ("plan", plan.id.clone()),
        ("group", plan.group.clone()),
        ("whose", whose(plan).to_owned()),
        ("to", target::text(plan.target.as_ref())),
        ("sent again", words::events(plan.replayed.unsigned_abs())),
        ("skipped", words::events(plan.skipped.unsigned_abs())),
        ("gone", words::events(plan.gone.unsigned_abs())),
        ("live streams", plan.live_streams.to_string()),
        ("reason", words::one_line(&plan.reason, 200)),
        ("expires", words::time(plan.expire_time.as_ref())),
    ])
    .to_string();
    format!("{pairs}\n{}", moves(&plan.moves))
}

fn whose(plan: &ResetPlan) -> &'static str {
    match plan.kind() {
        Kind::Kafka => "of consumers outside the bus; it is moved only while none of them runs",
        _ if plan.creates_group => "new: it is created, and starts there",
        _ => "of this bus",
    }
}

fn moves(moves: &[PartitionMove]) -> Table {
    let columns = [
        "TOPIC",
        ">PARTITION",
        ">FROM",
        ">TO",
        ">SENT AGAIN",
        ">SKIPPED",
        ">GONE",
        "FIRST EVENT",
        "NOTE",
    ];
    let mut table = Table::new(&columns);
    for one in moves {
        let note = match (one.clamped, one.exact) {
            (true, _) => "nearest there is",
            (false, true) => "",
            (false, false) => "counts are of offsets",
        };
        table.row([
            one.topic.clone(),
            one.partition.to_string(),
            words::or_dash(one.from_offset),
            one.to_offset.to_string(),
            one.replayed.to_string(),
            one.skipped.to_string(),
            one.gone.to_string(),
            words::time(one.first_event_time.as_ref()),
            note.to_owned(),
        ]);
    }
    table
}

pub(super) fn reset(reset: &Reset) -> String {
    let plan = reset.plan.clone().unwrap_or_default();
    let pairs = Pairs(&[
        ("reset", reset.id.clone()),
        ("group", reset.group.clone()),
        ("state", state(reset)),
        ("to", target::text(plan.target.as_ref())),
        ("reason", words::one_line(&reset.reason, 200)),
        ("by", reset.principal.clone()),
        ("accepted", words::time(reset.accept_time.as_ref())),
        ("finished", words::time(reset.finish_time.as_ref())),
        ("epoch", reset.epoch.to_string()),
    ])
    .to_string();
    let mut table = Table::new(&["TOPIC", ">PARTITION", ">FROM", ">TO"]);
    for one in &reset.partitions {
        table.row([
            one.topic.clone(),
            one.partition.to_string(),
            one.from_offset.to_string(),
            one.to_offset.to_string(),
        ]);
    }
    format!("{pairs}\n{table}")
}

fn state(reset: &Reset) -> String {
    match reset.state() {
        ResetState::Unspecified | ResetState::Applying => "applying",
        ResetState::Applied => "applied",
    }
    .to_owned()
}
