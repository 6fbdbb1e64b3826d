//! Targets as they are written on the command line.

use crate::{
    cli::words,
    proto::tidings::v1::{Target, target::To},
};

pub(super) fn parse(text: &str) -> Result<Target, String> {
    let to = match text {
        "earliest" => To::Earliest(()),
        "latest" => To::Latest(()),
        _ => parse_other(text)?,
    };
    Ok(Target { to: Some(to) })
}

fn parse_other(text: &str) -> Result<To, String> {
    if text.starts_with(['+', '-']) {
        let shift = text.parse().map_err(|_| "+N or -N events".to_owned())?;
        return Ok(To::ShiftBy(shift));
    }
    if let Some(group) = text.strip_prefix("group:") {
        return Ok(To::CommittedBy(group.to_owned()));
    }
    if let Some(snapshot) = text.strip_prefix("snapshot:") {
        return Ok(To::Snapshot(snapshot.to_owned()));
    }
    if let Some(reset) = text.strip_prefix("undo:") {
        return Ok(To::UndoResetId(reset.to_owned()));
    }
    if text.contains('/') {
        return words::parse_positions(text).map(To::Positions);
    }
    words::parse_time(text).map(To::Time).map_err(|rule| {
        format!("earliest, latest, +N, -N, group:NAME, snapshot:NAME, undo:RESET_ID, TOPIC/PARTITION/OFFSET, or {rule}")
    })
}

pub(super) fn text(target: Option<&Target>) -> String {
    match target.and_then(|target| target.to.as_ref()) {
        None => "-".to_owned(),
        Some(To::Earliest(())) => "earliest".to_owned(),
        Some(To::Latest(())) => "latest".to_owned(),
        Some(To::Time(time)) => time.to_string(),
        Some(To::ShiftBy(events)) => format!("{events:+}"),
        Some(To::Positions(positions)) => words::positions(positions),
        Some(To::Snapshot(name)) => format!("snapshot:{name}"),
        Some(To::CommittedBy(group)) => format!("group:{group}"),
        Some(To::UndoResetId(id)) => format!("undo:{id}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_and_written_alike() {
        for line in [
            "earliest",
            "latest",
            "2026-01-31T12:00:00Z",
            "+5",
            "-70",
            "orders/0/17,a.b/12/0",
            "group:billing",
            "snapshot:orders",
            "undo:01a2",
        ] {
            assert_eq!(parse(line).map(|target| text(Some(&target))).as_deref(), Ok(line));
        }
        for bad in [
            "",
            "now",
            "5",
            "+",
            "-x",
            "orders/0",
            "orders/x/1",
            "orders/0/1,",
            "2026",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
