//! Snapshots for people.

use crate::{
    cli::{
        table::{Pairs, Table},
        words,
    },
    proto::tidings::v1::{Snapshot, SnapshotPartition, SnapshotState},
};

pub(super) fn table(snapshots: &[Snapshot]) -> Table {
    let mut table = Table::new(&["SNAPSHOT", "STATE", ">KEYS", ">BYTES", "TAKEN", "BY"]);
    for snapshot in snapshots {
        table.row([
            snapshot.name.clone(),
            state(snapshot),
            snapshot.keys.to_string(),
            snapshot.bytes.to_string(),
            words::time(snapshot.create_time.as_ref()),
            snapshot.principal.clone(),
        ]);
    }
    table
}

pub(super) fn snapshot(snapshot: &Snapshot) -> String {
    let base = match snapshot.base.as_str() {
        "" => "the log alone",
        base => base,
    };
    let mut pairs = vec![
        ("snapshot", snapshot.name.clone()),
        ("state", state(snapshot)),
        ("keys", snapshot.keys.to_string()),
        ("bytes", snapshot.bytes.to_string()),
        (
            "read",
            format!("{} of {} events", snapshot.read_events, snapshot.total_events),
        ),
        ("without a key", words::events(snapshot.keyless_events.unsigned_abs())),
        ("made from", base.to_owned()),
        ("begun", words::time(snapshot.create_time.as_ref())),
        ("finished", words::time(snapshot.finish_time.as_ref())),
        ("by", snapshot.principal.clone()),
        ("reason", words::one_line(&snapshot.reason, 200)),
    ];
    if !snapshot.error.is_empty() {
        pairs.push(("error", words::one_line(&snapshot.error, 1_000)));
    }
    format!("{}\n{}", Pairs(&pairs), partitions(&snapshot.partitions))
}

fn partitions(held: &[SnapshotPartition]) -> Table {
    let mut table = Table::new(&[">PARTITION", ">OFFSET", ">KEYS", "MISSING"]);
    for held in held {
        let missing = held
            .missing
            .as_ref()
            .map(|range| format!("{} to {} (exclusive)", range.start, range.end));
        table.row([
            held.partition.to_string(),
            held.offset.to_string(),
            held.keys.to_string(),
            words::or_dash(missing),
        ]);
    }
    table
}

fn state(snapshot: &Snapshot) -> String {
    let name = match snapshot.state() {
        SnapshotState::Unspecified => "-",
        SnapshotState::Creating => "creating",
        SnapshotState::Ready => "ready",
        SnapshotState::Failed => "failed",
        SnapshotState::Damaged => "damaged",
    };
    name.to_owned()
}
