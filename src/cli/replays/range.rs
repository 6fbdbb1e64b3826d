//! Ranges of replays as they are written on the command line.

use crate::{
    cli::words,
    proto::tidings::v1::{End, Start, end::Until, start::At},
};

pub(super) fn parse_start(text: &str) -> Result<Start, String> {
    if text.contains('/') {
        let at = words::parse_positions(text).map(At::Positions)?;
        return Ok(Start { at: Some(at) });
    }
    let from = words::parse_from(text).map_err(|rule| format!("TOPIC/PARTITION/OFFSET, {rule}"))?;
    Ok(from.start())
}

pub(super) fn parse_end(text: &str) -> Result<End, String> {
    if text.contains('/') {
        let until = words::parse_positions(text).map(Until::Positions)?;
        return Ok(End { until: Some(until) });
    }
    let until = words::parse_until(text).map_err(|rule| format!("TOPIC/PARTITION/OFFSET, {rule}"))?;
    Ok(until.end())
}

pub(super) fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a number of events that is more than 0".to_owned())
}

pub(super) fn start(start: Option<&Start>) -> String {
    match start.and_then(|start| start.at.as_ref()) {
        Some(At::Latest(())) => "latest".to_owned(),
        Some(At::Time(time)) => time.to_string(),
        Some(At::Positions(positions)) => words::positions(positions),
        Some(At::Snapshot(name)) => format!("snapshot:{name}"),
        Some(At::Checkpoint(name)) => format!("checkpoint:{name}"),
        _ => "earliest".to_owned(),
    }
}

pub(super) fn end(end: Option<&End>) -> String {
    match end.and_then(|end| end.until.as_ref()) {
        Some(Until::Time(time)) => time.to_string(),
        Some(Until::Positions(positions)) => words::positions(positions),
        _ => "latest".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written_alike() {
        for line in [
            "earliest",
            "latest",
            "2026-01-31T12:00:00Z",
            "orders/0/17,a.b/12/0",
            "checkpoint:a@2",
        ] {
            assert_eq!(parse_start(line).map(|read| start(Some(&read))).as_deref(), Ok(line));
        }
        for line in ["latest", "2026-01-31T12:00:00Z", "orders/0/17,a.b/12/0"] {
            assert_eq!(parse_end(line).map(|read| end(Some(&read))).as_deref(), Ok(line));
        }
        for bad in ["", "now", "orders/0", "orders/0/x"] {
            assert!(parse_start(bad).is_err() && parse_end(bad).is_err(), "{bad}");
        }
        assert!(parse_end("earliest").is_err());
    }

    #[test]
    fn rates_are_more_than_nothing() {
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        for bad in ["0", "-1", "NaN", "inf", "fast"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }
}
