//! Durations and sizes as people write them: `50ms`, `7d`, `1MiB`.

use std::{fmt, time::Duration};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

const SIZES: [(&str, u64); 9] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

const DURATIONS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

impl ByteSize {
    pub const KIB: u64 = 1 << 10;
    pub const MIB: u64 = 1 << 20;

    /// `1MiB`, `500kB`, or a plain number of bytes. The error is the rule.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rule = || format!("must be a size such as 65536, 64KiB or 1MiB, not {text:?}");
        let (number, unit) = split(text).ok_or_else(rule)?;
        let factor = match unit {
            "" => Some(1),
            unit => factor(&SIZES, unit),
        };
        let bytes = factor.and_then(|factor| number.checked_mul(factor)).ok_or_else(rule)?;
        Ok(Self(bytes))
    }

    /// For lengths in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = SIZES[..3]
            .iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match binary {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

/// `50ms`, `30s`, `7d`; a whole number and its unit. The error is the rule.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let rule = || format!("must be a duration such as 50ms, 30s, 5m, 12h or 7d, not {text:?}");
    let (number, unit) = split(text).ok_or_else(rule)?;
    let nanos = factor(&DURATIONS, unit).and_then(|factor| number.checked_mul(factor));
    nanos.map(Duration::from_nanos).ok_or_else(rule)
}

/// The inverse of [`parse_duration`], in the largest unit that is exact.
pub fn show_duration(duration: Duration) -> String {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let unit = DURATIONS
        .iter()
        .rev()
        .find(|(_, factor)| nanos >= *factor && nanos.is_multiple_of(*factor));
    unit.map_or_else(|| "0s".to_owned(), |(unit, factor)| format!("{}{unit}", nanos / factor))
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..digits].parse().ok()?, text[digits..].trim_start()))
}

fn factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown() {
        for (text, bytes, shown) in [
            ("0", 0, "0"),
            ("4096", 4096, "4KiB"),
            ("64KiB", 65_536, "64KiB"),
            ("1 MiB", 1_048_576, "1MiB"),
            ("1GiB", 1 << 30, "1GiB"),
            ("1MB", 1_000_000, "1000000"),
            ("1500B", 1_500, "1500"),
        ] {
            assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
            assert_eq!(ByteSize(bytes).to_string(), shown, "{text}");
        }
        for bad in ["", "MiB", "-1", "1.5MiB", "1mib", "1 M", "99999999999GiB"] {
            assert!(ByteSize::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_read_and_shown() {
        for (text, millis, shown) in [
            ("50ms", 50, "50ms"),
            ("30s", 30_000, "30s"),
            ("60s", 60_000, "1m"),
            ("12h", 43_200_000, "12h"),
            ("7d", 604_800_000, "7d"),
            ("1500ms", 1_500, "1500ms"),
            ("0s", 0, "0s"),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(show_duration(Duration::from_millis(millis)), shown, "{text}");
        }
        for bad in ["", "5", "s", "1.5s", "-1s", "1w", "1s2", "9999999999999d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
