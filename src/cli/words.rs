//! Words of the command line, and of its answers to people: where to start, times, durations, sizes, positions.

use std::{
    fmt::Display,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prost_types::Timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    config::units::{self, ByteSize},
    proto::tidings::v1::{self, end, start},
};

/// `earliest`, `latest`, a time or a checkpoint: where reading starts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum From {
    Earliest,
    Latest,
    Time(Timestamp),
    Checkpoint(String),
}

/// `latest` or a time: where reading ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Until {
    Latest,
    Time(Timestamp),
}

impl From {
    pub(super) fn start(self) -> v1::Start {
        let at = match self {
            Self::Earliest => start::At::Earliest(()),
            Self::Latest => start::At::Latest(()),
            Self::Time(time) => start::At::Time(time),
            Self::Checkpoint(name) => start::At::Checkpoint(name),
        };
        v1::Start { at: Some(at) }
    }
}

impl Until {
    pub(super) fn end(self) -> v1::End {
        let until = match self {
            Self::Latest => end::Until::Latest(()),
            Self::Time(time) => end::Until::Time(time),
        };
        v1::End { until: Some(until) }
    }
}

pub(super) fn parse_from(text: &str) -> Result<From, String> {
    match text {
        "earliest" => Ok(From::Earliest),
        "latest" => Ok(From::Latest),
        other => match other.strip_prefix("checkpoint:") {
            Some(name) => Ok(From::Checkpoint(name.to_owned())),
            None => parse_time(other)
                .map(From::Time)
                .map_err(|rule| format!("earliest, latest, checkpoint:NAME, or {rule}")),
        },
    }
}

pub(super) fn parse_until(text: &str) -> Result<Until, String> {
    match text {
        "latest" => Ok(Until::Latest),
        time => parse_time(time)
            .map(Until::Time)
            .map_err(|rule| format!("latest, or {rule}")),
    }
}

pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "a time such as 2026-01-31T12:00:00Z".to_owned())?;
    Ok(Timestamp {
        seconds: time.unix_timestamp(),
        nanos: time.nanosecond().cast_signed(),
    })
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    units::parse_duration(text)
}

pub(super) fn parse_size(text: &str) -> Result<ByteSize, String> {
    ByteSize::parse(text)
}

pub(super) fn parse_partition(text: &str) -> Result<v1::TopicPartition, String> {
    let parts = text
        .rsplit_once('/')
        .and_then(|(topic, partition)| Some((topic, partition.parse().ok()?)));
    let (topic, partition) = parts.ok_or("a topic and a partition such as orders/0")?;
    Ok(v1::TopicPartition {
        topic: topic.to_owned(),
        partition,
    })
}

/// `orders/0/12,orders/1/7`
pub(super) fn parse_positions(text: &str) -> Result<v1::Positions, String> {
    let position = |text: &str| {
        let (partition, offset) = text.rsplit_once('/')?;
        let v1::TopicPartition { topic, partition } = parse_partition(partition).ok()?;
        Some(v1::Position {
            topic,
            partition,
            offset: offset.parse().ok()?,
        })
    };
    let positions: Option<_> = text.split(',').map(position).collect();
    let positions = positions.ok_or("positions such as orders/0/17, several with commas")?;
    Ok(v1::Positions { positions })
}

/// Now, in RFC 3339 to the millisecond.
pub(super) fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = Timestamp {
        seconds: since.as_secs().cast_signed(),
        nanos: since.subsec_millis().cast_signed() * 1_000_000,
    };
    millis.to_string()
}

pub(super) fn time(time: Option<&Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), Timestamp::to_string)
}

/// `3d 4h`, `2m 5s`, `1.5s`, `12ms`: the two greatest units, as far as there is something of them.
pub(super) fn duration(duration: Option<&prost_types::Duration>) -> String {
    let Some(duration) = duration else {
        return "-".to_owned();
    };
    let seconds = duration.seconds;
    let two = |unit: i64, name: &str, small: i64, small_name: &str| match seconds % unit / small {
        0 => format!("{}{name}", seconds / unit),
        rest => format!("{}{name} {rest}{small_name}", seconds / unit),
    };
    match (seconds, duration.nanos / 100_000_000) {
        (86_400.., _) => two(86_400, "d", 3_600, "h"),
        (3_600.., _) => two(3_600, "h", 60, "m"),
        (60.., _) => two(60, "m", 1, "s"),
        (1.., 0) => format!("{seconds}s"),
        (1.., tenths) => format!("{seconds}.{tenths}s"),
        _ => format!("{}ms", duration.nanos / 1_000_000),
    }
}

/// `0` has a meaning of its own: `for ever`, `no limit`.
pub(super) fn size_or(bytes: i64, zero: &str) -> String {
    match u64::try_from(bytes) {
        Ok(0) | Err(_) => zero.to_owned(),
        Ok(bytes) => ByteSize(bytes).to_string(),
    }
}

/// A protobuf duration.
pub(super) fn to_proto(duration: Duration) -> prost_types::Duration {
    // Durations of the command line are below 2^64 nanoseconds.
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos().cast_signed(),
    }
}

/// `orders/0/12`
pub(super) fn position(position: &v1::Position) -> String {
    format!("{}/{}/{}", position.topic, position.partition, position.offset)
}

/// The same of several, with commas.
pub(super) fn positions(positions: &v1::Positions) -> String {
    let texts: Vec<String> = positions.positions.iter().map(position).collect();
    texts.join(",")
}

/// The number or a dash.
pub(super) fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Text of others on one line, cut where it is long, without characters that a terminal would act on.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = text.chars().take(most).map(plain).collect();
    if text.chars().count() > most {
        line.push_str("...");
    }
    line
}

/// `1 event`, `2 events`
pub(super) fn events(count: u64) -> String {
    match count {
        1 => "1 event".to_owned(),
        count => format!("{count} events"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_and_ends_are_parsed() {
        let time = Timestamp {
            seconds: 1_767_225_600,
            nanos: 500_000_000,
        };
        assert_eq!(parse_from("earliest"), Ok(From::Earliest));
        assert_eq!(parse_from("2026-01-01T01:00:00.5+01:00"), Ok(From::Time(time)));
        assert_eq!(parse_from("checkpoint:a@2"), Ok(From::Checkpoint("a@2".to_owned())));
        assert_eq!(parse_until("latest"), Ok(Until::Latest));
        for bad in ["", "now", "2026-01-01", "earliest "] {
            assert!(parse_from(bad).is_err() && parse_until(bad).is_err(), "{bad}");
        }
        assert!(parse_until("earliest").is_err());
    }

    #[test]
    fn positions_are_read_and_written_alike() {
        for text in ["orders/0/12", "orders/0/12,a.b/3/0"] {
            assert_eq!(parse_positions(text).map(|read| positions(&read)).as_deref(), Ok(text));
        }
        for bad in ["", "orders", "orders/0", "orders/x/1", "orders/0/1,"] {
            assert!(parse_positions(bad).is_err(), "{bad}");
        }
        assert!(parse_partition("orders").is_err() && parse_partition("orders/x").is_err());
    }

    #[test]
    fn durations_show_two_units() {
        for (seconds, nanos, text) in [
            (0, 12_000_000, "12ms"),
            (1, 500_000_000, "1.5s"),
            (30, 0, "30s"),
            (604_800, 0, "7d"),
            (125, 0, "2m 5s"),
            (7_300, 0, "2h 1m"),
            (86_400 * 3 + 3_600 * 4, 0, "3d 4h"),
        ] {
            assert_eq!(duration(Some(&prost_types::Duration { seconds, nanos })), text);
        }
    }
}
