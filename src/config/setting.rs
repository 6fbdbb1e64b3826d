//! The types of settings: each is read from what was written and shown again as TOML.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    AfterDeadLetter, Algorithm, Backend, ClientAuth, Fsync,
    layer::Raw,
    units::{ByteSize, parse_duration, show_duration},
};
use crate::name::{Pattern, Topic, template::TopicTemplate};

/// A type of setting. `Err` is the rule that the value breaks.
pub(super) trait Setting: Sized {
    fn read(raw: &Raw) -> Result<Self, String>;
    fn show(&self) -> String;
}

/// A setting that is one of a few words.
pub(super) trait Word: Copy + PartialEq + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

impl Word for ClientAuth {
    const WORDS: &'static [(&'static str, Self)] = &[("required", Self::Required), ("optional", Self::Optional)];
}

impl Word for Algorithm {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("EdDSA", Self::EdDsa),
    ];
}

impl<W: Word> Setting for W {
    fn read(raw: &Raw) -> Result<Self, String> {
        let text = text(raw)?;
        let found = Self::WORDS.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<String> = Self::WORDS.iter().map(|(word, _)| format!("{word:?}")).collect();
            format!("must be one of {}, not {text:?}", words.join(", "))
        })
    }

    fn show(&self) -> String {
        let found = Self::WORDS.iter().find(|(_, value)| value == self);
        quoted(found.map_or("", |(word, _)| word))
    }
}

impl Word for Backend {
    const WORDS: &'static [(&'static str, Self)] = &[("embedded", Self::Embedded), ("kafka", Self::Kafka)];
}

impl Word for AfterDeadLetter {
    const WORDS: &'static [(&'static str, Self)] = &[("continue", Self::Continue), ("quarantine", Self::Quarantine)];
}

impl Setting for TopicTemplate {
    fn read(raw: &Raw) -> Result<Self, String> {
        Self::new(text(raw)?)
    }

    fn show(&self) -> String {
        quoted(&self.text())
    }
}

impl Setting for Fsync {
    fn read(raw: &Raw) -> Result<Self, String> {
        match text(raw)? {
            "always" => Ok(Self::Always),
            text => match parse_duration(text) {
                Ok(Duration::ZERO) | Err(_) => {
                    Err(format!("must be \"always\" or a duration such as 50ms, not {text:?}"))
                }
                Ok(interval) => Ok(Self::Interval(interval)),
            },
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Always => quoted("always"),
            Self::Interval(interval) => interval.show(),
        }
    }
}

impl Setting for bool {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Boolean(value) => Ok(*value),
            Raw::Bare(text) if text == "true" => Ok(true),
            Raw::Bare(text) if text == "false" => Ok(false),
            other => Err(format!("must be true or false, not {}", describe(other))),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for u32 {
    fn read(raw: &Raw) -> Result<Self, String> {
        let number = match raw {
            Raw::Integer(number) => Self::try_from(*number).ok(),
            Raw::Bare(text) => text.parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| format!("must be a whole number from 0 to {}, not {}", Self::MAX, describe(raw)))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for f64 {
    fn read(raw: &Raw) -> Result<Self, String> {
        let number = match raw {
            Raw::Integer(number) => Some(*number as Self),
            Raw::Float(number) => Some(*number),
            Raw::Bare(text) => text.parse().ok(),
            _ => None,
        };
        let finite = number.filter(|number: &Self| number.is_finite());
        finite.ok_or_else(|| format!("must be a number such as 0.2, not {}", describe(raw)))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for Pattern {
    fn read(raw: &Raw) -> Result<Self, String> {
        Self::new(text(raw)?)
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

impl Setting for ByteSize {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Integer(bytes) => Self::parse(&bytes.to_string()),
            Raw::Text(text) | Raw::Bare(text) => Self::parse(text),
            other => Err(format!(
                "must be a size such as 65536, \"64KiB\" or \"1MiB\", not {}",
                describe(other)
            )),
        }
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for Duration {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) | Raw::Bare(text) => parse_duration(text),
            other => Err(format!(
                "must be a duration such as \"50ms\" or \"30s\", not {}",
                describe(other)
            )),
        }
    }

    fn show(&self) -> String {
        quoted(&show_duration(*self))
    }
}

impl Setting for SocketAddr {
    fn read(raw: &Raw) -> Result<Self, String> {
        let text = text(raw)?;
        text.parse()
            .map_err(|_| format!("must be an IP address and a port such as \"127.0.0.1:4480\", not {text:?}"))
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for PathBuf {
    fn read(raw: &Raw) -> Result<Self, String> {
        match text(raw)? {
            "" => Err("must not be empty".to_owned()),
            path => Ok(path.into()),
        }
    }

    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Setting for String {
    fn read(raw: &Raw) -> Result<Self, String> {
        match text(raw)? {
            "" => Err("must not be empty".to_owned()),
            text => Ok(text.to_owned()),
        }
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Setting for Topic {
    fn read(raw: &Raw) -> Result<Self, String> {
        let rule = |error: crate::error::Error| {
            error
                .field_faults()
                .first()
                .map_or_else(String::new, |f| f.rule.clone())
        };
        Self::new(text(raw)?).map_err(rule)
    }

    fn show(&self) -> String {
        quoted(self.as_str())
    }
}

impl<S: Setting> Setting for Vec<S> {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Tables(tables) if tables.is_empty() => Ok(Self::new()),
            Raw::List(texts) => texts.iter().map(|text| S::read(&Raw::Text(text.clone()))).collect(),
            other => Err(format!(
                "must be an array of texts such as [\"a\", \"b\"], not {}",
                describe(other)
            )),
        }
    }

    fn show(&self) -> String {
        let shown: Vec<String> = self.iter().map(S::show).collect();
        format!("[{}]", shown.join(", "))
    }
}

pub(super) fn text(raw: &Raw) -> Result<&str, String> {
    match raw {
        Raw::Text(text) | Raw::Bare(text) => Ok(text),
        other => Err(format!("must be text in quotes, not {}", describe(other))),
    }
}

fn describe(raw: &Raw) -> String {
    match raw {
        Raw::Text(text) | Raw::Bare(text) => format!("{text:?}"),
        Raw::Integer(number) => number.to_string(),
        Raw::Float(number) => number.to_string(),
        Raw::Boolean(value) => value.to_string(),
        Raw::List(_) => "an array".to_owned(),
        Raw::Tables(_) => "an array of tables".to_owned(),
        Raw::EmptyTable => "a section".to_owned(),
        Raw::Other(name) => (*name).to_owned(),
    }
}

/// As a TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
