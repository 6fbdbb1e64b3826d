//! RFC 3339 timestamps: their syntax, and the ones that a protobuf `Timestamp` gives back exactly.

use time::{Date, Month};

/// Seconds since 1970 and nanoseconds, as a protobuf `Timestamp` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instant {
    pub(crate) seconds: i64,
    pub(crate) nanos: i32,
}

/// Whether the text is an RFC 3339 date-time; any number of digits after the second.
pub(crate) fn is_timestamp(text: &str) -> bool {
    parse(text.as_bytes()).is_some()
}

/// The instant, if writing it (`Instant::text`) gives back this very text: UTC as `Z`, and 0, 3, 6 or 9 digits, as few as
/// will do.
pub(crate) fn exact_instant(text: &str) -> Option<Instant> {
    let found = parse(text.as_bytes())?;
    let upper = text.as_bytes().get(10) == Some(&b'T') && text.ends_with('Z');
    let short = match found.fraction.len() {
        0 => true,
        3 | 6 | 9 => !found.fraction.ends_with(b"000"),
        _ => false,
    };
    if !upper || !short || found.date.year() < 1 || found.second == 60 {
        return None;
    }
    let days = i64::from(found.date.to_julian_day()) - EPOCH;
    Some(Instant {
        seconds: days * 86_400 + found.minute_of_day * 60 + found.second,
        nanos: nanos(found.fraction),
    })
}

impl Instant {
    /// RFC 3339 in UTC; `None` outside of the years 1 to 9999 and of 0 to 999,999,999 nanoseconds.
    pub(crate) fn text(self) -> Option<String> {
        if !(0..1_000_000_000).contains(&self.nanos) {
            return None;
        }
        let days = i32::try_from(self.seconds.div_euclid(86_400) + EPOCH).ok()?;
        let date = Date::from_julian_day(days).ok()?;
        let year = u32::try_from(date.year())
            .ok()
            .filter(|year| (1..=9999).contains(year))?;
        let second = u32::try_from(self.seconds.rem_euclid(86_400)).ok()?;
        let mut text = String::with_capacity(30);
        push_digits(&mut text, 4, year);
        for (mark, number) in [
            ('-', u32::from(u8::from(date.month()))),
            ('-', u32::from(date.day())),
            ('T', second / 3600),
            (':', second / 60 % 60),
            (':', second % 60),
        ] {
            text.push(mark);
            push_digits(&mut text, 2, number);
        }
        push_fraction(&mut text, self.nanos.unsigned_abs());
        text.push('Z');
        Some(text)
    }
}

/// The Julian day of 1970-01-01.
const EPOCH: i64 = 2_440_588;

struct Found<'a> {
    date: Date,
    minute_of_day: i64,
    second: i64,
    fraction: &'a [u8],
}

fn parse(text: &[u8]) -> Option<Found<'_>> {
    let (head, tail) = text.split_at_checked(19)?;
    let marks = [head[4], head[7], head[10].to_ascii_uppercase(), head[13], head[16]];
    if marks != *b"--T::" {
        return None;
    }
    let month = Month::try_from(u8::try_from(number(&head[5..7])?).ok()?).ok()?;
    let day = u8::try_from(number(&head[8..10])?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(number(&head[..4])?).ok()?, month, day).ok()?;
    let (hour, minute, second) = (number(&head[11..13])?, number(&head[14..16])?, number(&head[17..])?);
    let (fraction, zone) = split_fraction(tail)?;
    let offset = offset_minutes(zone)?;
    let minute_of_day = hour * 60 + minute;
    // A leap second is the last second of a day in UTC.
    let leap = second == 60 && (minute_of_day - offset).rem_euclid(1440) == 1439;
    (hour < 24 && minute < 60 && (second < 60 || leap)).then_some(Found {
        date,
        minute_of_day,
        second,
        fraction,
    })
}

fn split_fraction(tail: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(rest) = tail.strip_prefix(b".") else {
        return Some((&[], tail));
    };
    let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (len > 0).then(|| rest.split_at(len))
}

fn offset_minutes(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), hours @ .., b':', m1, m2] if hours.len() == 2 => {
            let (hours, minutes) = (number(hours)?, number(&[*m1, *m2])?);
            let offset = hours * 60 + minutes;
            (hours < 24 && minutes < 60).then_some(if *sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i64::from(*digit - b'0'))
    })
}

fn nanos(fraction: &[u8]) -> i32 {
    (0..9).fold(0, |sum, at| {
        sum * 10 + fraction.get(at).map_or(0, |digit| i32::from(*digit - b'0'))
    })
}

fn push_fraction(text: &mut String, nanos: u32) {
    if nanos == 0 {
        return;
    }
    text.push('.');
    if nanos.is_multiple_of(1_000_000) {
        push_digits(text, 3, nanos / 1_000_000);
    } else if nanos.is_multiple_of(1_000) {
        push_digits(text, 6, nanos / 1_000);
    } else {
        push_digits(text, 9, nanos);
    }
}

fn push_digits(text: &mut String, width: u32, number: u32) {
    for place in (0..width).rev() {
        text.push(char::from_digit(number / 10_u32.pow(place) % 10, 10).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn timestamps_follow_rfc_3339() {
        for good in [
            "2018-04-05T17:31:00Z",
            "2018-04-26T14:48:09+02:00",
            "1985-04-12t23:20:50.52z",
            "1937-01-01T12:00:27.87+00:20",
            "2020-02-29T00:00:00.123456789012345-00:00",
            "1990-12-31T23:59:60Z",
            "1990-12-31T15:59:60-08:00",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999999Z",
        ] {
            assert!(is_timestamp(good), "{good}");
        }
        for bad in [
            "",
            "2018-04-05",
            "2018-04-05T17:31:00",
            "2018-04-05 17:31:00Z",
            "2018-04-05T17:31Z",
            "2018-04-05T17:31:00.Z",
            "2018-02-29T00:00:00Z",
            "2018-13-01T00:00:00Z",
            "2018-04-05T24:00:00Z",
            "2018-04-05T17:60:00Z",
            "2018-04-05T17:31:60Z",
            "2018-04-05T17:31:00+24:00",
            "2018-04-05T17:31:00+0200",
            "2018-04-05T17:31:00ZZ",
            "+018-04-05T17:31:00Z",
            "2018-04-05T17:31:0äZ",
        ] {
            assert!(!is_timestamp(bad), "{bad}");
        }
    }

    #[test]
    fn only_what_comes_back_is_exact() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1969-12-31T23:59:59.500Z", -1, 500_000_000),
            ("2025-05-21T23:12:21.677647936Z", 1_747_869_141, 677_647_936),
            ("0001-01-01T00:00:00Z", -62_135_596_800, 0),
            ("9999-12-31T23:59:59.999999Z", 253_402_300_799, 999_999_000),
        ] {
            assert_eq!(exact_instant(text), Some(Instant { seconds, nanos }), "{text}");
            assert_eq!(Instant { seconds, nanos }.text().as_deref(), Some(text));
        }
        for text in [
            "2018-04-05T17:31:00.5Z",
            "2018-04-05T17:31:00.000Z",
            "2018-04-05T17:31:00.500000Z",
            "2018-04-05T17:31:00.1234567891Z",
            "2018-04-05T17:31:00z",
            "2018-04-05t17:31:00Z",
            "2018-04-05T17:31:00+00:00",
            "1990-12-31T23:59:60Z",
            "0000-01-01T00:00:00Z",
        ] {
            assert_eq!(exact_instant(text), None, "{text}");
        }
    }

    #[test]
    fn instants_out_of_range_have_no_text() {
        for (seconds, nanos) in [
            (0, -1),
            (0, 1_000_000_000),
            (-62_135_596_801, 0),
            (253_402_300_800, 0),
            (i64::MAX, 0),
            (i64::MIN, 0),
        ] {
            assert_eq!(Instant { seconds, nanos }.text(), None, "{seconds} {nanos}");
        }
    }

    proptest! {
        #[test]
        fn what_an_instant_writes_is_exact(seconds in -62_135_596_800_i64..253_402_300_800, nanos in 0..1_000_000_000, scale in 0_u32..4) {
            let unit = 1000_i32.pow(scale.min(3));
            let instant = Instant { seconds, nanos: nanos / unit * unit };
            let text = instant.text().expect("in range");
            prop_assert!(is_timestamp(&text));
            prop_assert_eq!(exact_instant(&text), Some(instant));
        }

        #[test]
        fn any_text_gets_a_verdict(text in ".{0,40}", near in "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:]{8}[.]?[0-9]{0,12}[Zz+-]?[0-9:]{0,5}") {
            for text in [text, near] {
                if let Some(instant) = exact_instant(&text) {
                    prop_assert_eq!(instant.text(), Some(text));
                }
            }
        }
    }
}
