//! `[snapshots]`: where snapshots and checkpoints lie, when snapshots are taken, how many are kept.

use std::{path::PathBuf, time::Duration};

use super::{layer::Raw, reader::Reader, setting::Setting, units::ByteSize};
use crate::name::Pattern;

/// `[snapshots]`
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshots {
    /// `None` = a directory beside the embedded log, nothing on Kafka.
    pub store: Option<String>,
    /// For the store, as `object_store` names them, with secrets.
    pub options: Vec<(String, String)>,
    pub memory: ByteSize,
    /// `None` = beside the embedded log, else the system's for temporary files.
    pub spill_directory: Option<PathBuf>,
    pub restores: u32,
    /// 0 = all.
    pub keep: u32,
    /// Zero = for ever.
    pub max_age: Duration,
    /// The first that matches a topic holds.
    pub schedule: Vec<Schedule>,
}

/// One of `[[snapshots.schedule]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub topic: Pattern,
    pub interval: Duration,
}

const LEAST_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn read(reader: &mut Reader) -> Snapshots {
    let memory = |size: ByteSize| size.0 >= 4 * ByteSize::MIB;
    Snapshots {
        store: reader.optional("snapshots.store"),
        options: reader
            .take_all::<StoreOption>("snapshots.options", |_| None)
            .into_iter()
            .map(|(name, value)| (name, value.0))
            .collect(),
        memory: reader.take_if("snapshots.memory", memory, "at least 4MiB"),
        spill_directory: reader.optional("snapshots.spill_directory"),
        restores: reader.take_if("snapshots.restores", |count: u32| count >= 1, "at least 1"),
        keep: reader.take("snapshots.keep"),
        max_age: reader.take("snapshots.max_age"),
        schedule: schedule(reader),
    }
}

fn schedule(reader: &mut Reader) -> Vec<Schedule> {
    let mut schedule = Vec::new();
    for mut table in reader.take_tables("snapshots.schedule") {
        let topic = table.require("topic");
        let interval = table.require("interval");
        table.demand(
            "interval",
            interval.is_none_or(|interval| interval >= LEAST_INTERVAL),
            "must be at least 1s",
        );
        reader.finish_table(table);
        if let (Some(topic), Some(interval)) = (topic, interval) {
            schedule.push(Schedule { topic, interval });
        }
    }
    schedule
}

/// What is not for everybody's eyes in `snapshots.options`.
pub(super) fn is_secret(key: &str) -> bool {
    let option = key.strip_prefix("snapshots.options.");
    option.is_some_and(|name| {
        ["key", "sas", "credential", "client_id"]
            .iter()
            .any(|word| name.contains(word))
    })
}

/// Text, a number or a boolean, as the store reads it.
struct StoreOption(String);

impl Setting for StoreOption {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Text(text) | Raw::Bare(text) => Ok(Self(text.clone())),
            Raw::Integer(number) => Ok(Self(number.to_string())),
            Raw::Boolean(value) => Ok(Self(value.to_string())),
            _ => Err("must be text, a whole number, true or false".to_owned()),
        }
    }

    fn show(&self) -> String {
        self.0.show()
    }
}
