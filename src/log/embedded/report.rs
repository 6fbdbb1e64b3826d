//! What `verify` found, for people and for scripts.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::state::State;

/// What lies in a log's directory.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub directory: PathBuf,
    pub partitions: Vec<PartitionReport>,
    pub journals: Vec<JournalReport>,
    pub findings: Vec<Finding>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PartitionReport {
    pub topic: String,
    pub partition: i32,
    pub start: i64,
    pub end: i64,
    pub segments: usize,
    pub bytes: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct JournalReport {
    pub file: PathBuf,
    pub frames: u64,
    pub records: u64,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The log does not open, or cannot be read there.
    Damage,
    /// What a crash left half written; opening cuts it, and nothing acknowledged is in it.
    TornTail,
}

/// A place where something is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub kind: Kind,
    pub file: PathBuf,
    pub place: u64,
    pub what: String,
    /// What would be lost if the file were cut there, as far as it can be told.
    pub lost: Vec<LostRecords>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LostRecords {
    pub topic: String,
    pub partition: i32,
    pub from: i64,
    /// Exclusive.
    pub to: i64,
}

impl Report {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_path_buf(),
            partitions: Vec::new(),
            journals: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Whether nothing is damaged. A torn tail is no damage.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.kind == Kind::TornTail)
    }

    pub(crate) fn find(&mut self, finding: Finding) {
        self.findings.push(finding);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for partition in &self.partitions {
            let PartitionReport {
                topic,
                partition,
                start,
                end,
                segments,
                bytes,
            } = partition;
            writeln!(
                f,
                "{topic}/{partition}: offsets {start} to {end}, {segments} segments of {bytes} bytes"
            )?;
        }
        for journal in &self.journals {
            let JournalReport {
                file,
                frames,
                records,
                bytes,
            } = journal;
            writeln!(
                f,
                "{}: {records} records in {frames} frames, {bytes} bytes",
                file.display()
            )?;
        }
        for finding in &self.findings {
            write!(f, "{finding}")?;
        }
        match self.is_sound() {
            true => write!(f, "the log is sound"),
            false => write!(f, "the log is damaged"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Damage => "damage",
            Kind::TornTail => "torn tail",
        };
        writeln!(
            f,
            "{kind} in {} at byte {}: {}",
            self.file.display(),
            self.place,
            self.what
        )?;
        for LostRecords {
            topic,
            partition,
            from,
            to,
        } in &self.lost
        {
            writeln!(
                f,
                "  cutting there loses {topic}/{partition} from offset {from} to {to}"
            )?;
        }
        Ok(())
    }
}

/// Gathers what would be lost, by partition.
#[derive(Default)]
pub(crate) struct Lost(BTreeMap<(u32, i32), Range<i64>>);

impl Lost {
    pub(crate) fn add(&mut self, topic: u32, partition: i32, offsets: Range<i64>) {
        let lost = self.0.entry((topic, partition)).or_insert(offsets.clone());
        *lost = lost.start.min(offsets.start)..lost.end.max(offsets.end);
    }

    pub(crate) fn named(self, state: &State) -> Vec<LostRecords> {
        let named = |((topic, partition), offsets): ((u32, i32), Range<i64>)| LostRecords {
            topic: match state.topics.get(&topic) {
                Some(topic) => topic.name.clone(),
                None => format!("topic number {topic}"),
            },
            partition,
            from: offsets.start,
            to: offsets.end,
        };
        self.0.into_iter().map(named).collect()
    }
}
