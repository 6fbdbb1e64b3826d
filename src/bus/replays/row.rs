//! Replays as they lie in `tidings.control`: what was asked for, as offsets, and how it ended.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    bus::{
        End, Inner, Start,
        table::{Row, Table},
    },
    error::{Error, Reason, Result},
    filter::FilterSpec,
    log::{LogTime, TopicPartition},
    name::Group,
};

pub(in crate::bus) type ReplaysTable = Table<ReplayRow>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayRow {
    pub id: String,
    pub group: Group,
    /// The group's; one of the same name that was created later has another.
    pub(super) group_id: u64,
    /// As they were asked for: names and patterns; empty = all of the group's.
    pub topics: Vec<String>,
    pub start: Start,
    pub end: End,
    pub filter: Option<FilterSpec>,
    /// `None` = as fast as can be.
    pub max_per_second: Option<f64>,
    pub reason: String,
    /// Who asked.
    pub by: String,
    pub(super) request_id: String,
    pub started: LogTime,
    /// In order of their partitions.
    pub ranges: Vec<ReplayRange>,
    /// It was accepted, and that is audited.
    pub(super) is_announced: bool,
    pub ended: Option<Ended>,
}

/// What is replayed of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayRange {
    pub partition: TopicPartition,
    pub from: i64,
    /// Exclusive.
    pub until: i64,
}

/// How a replay ended, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub how: How,
    pub reason: String,
    /// Who stopped it; empty = the bus.
    pub by: String,
    pub at: LogTime,
    /// That somebody stopped it is audited.
    pub(super) is_announced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    Done,
    Stopped,
    Failed,
}

impl ReplayRow {
    pub(super) fn key(id: &str) -> String {
        format!("{}{id}", Self::PREFIX)
    }

    /// The range of a partition, if it has one.
    pub(in crate::bus) fn range(&self, partition: &TopicPartition) -> Option<&ReplayRange> {
        let at = self
            .ranges
            .binary_search_by(|range| range.partition.cmp(partition))
            .ok()?;
        Some(&self.ranges[at])
    }

    fn rank(&self) -> (bool, bool, bool) {
        let is_told = self.ended.as_ref().is_some_and(|ended| ended.is_announced);
        (self.ended.is_some(), is_told, self.is_announced)
    }
}

impl Inner {
    /// A replay, also if another replica has just written it.
    pub(in crate::bus) async fn replay_row(&self, id: &str) -> Result<Arc<ReplayRow>> {
        let row = self.replays.rows.newest(&ReplayRow::key(id)).await?;
        row.ok_or_else(|| no_such_replay(id))
    }
}

/// There is none, or none for whoever asks.
pub fn no_such_replay(id: &str) -> Error {
    Error::new(Reason::ReplayNotFound, format!("there is no replay {id}")).resource("replay", id)
}

impl Row for ReplayRow {
    const TOPIC: &'static str = "tidings.control";
    const PREFIX: &'static str = "replays/";

    /// Of two ends the first one holds.
    fn supersedes(&self, known: &Self) -> bool {
        self.rank() > known.rank() || self == known
    }

    fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8], _offset: i64) -> Result<Self> {
        let damaged = |error| Error::new(Reason::LogDamaged, format!("read a replay: {error}"));
        serde_json::from_slice(bytes).map_err(damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Topic;

    fn row() -> ReplayRow {
        let topic = Topic::new("t").expect("valid");
        let partition = TopicPartition { topic, partition: 3 };
        ReplayRow {
            id: "r".to_owned(),
            group: Group::new("g").expect("valid"),
            group_id: u64::MAX,
            topics: vec!["t".to_owned(), "a.*".to_owned()],
            start: Start::Time(LogTime(5)),
            end: End::Positions(vec![(partition.clone(), 9)]),
            filter: Some(FilterSpec::Cesql("id = '1'".to_owned())),
            max_per_second: Some(0.5),
            reason: "why".to_owned(),
            by: "somebody".to_owned(),
            request_id: "q".to_owned(),
            started: LogTime(7),
            ranges: vec![ReplayRange {
                partition,
                from: 1,
                until: 9,
            }],
            is_announced: false,
            ended: None,
        }
    }

    fn ended(how: How, row: &ReplayRow) -> ReplayRow {
        let ended = Ended {
            how,
            reason: "enough".to_owned(),
            by: "somebody".to_owned(),
            at: LogTime(8),
            is_announced: false,
        };
        ReplayRow {
            ended: Some(ended),
            ..row.clone()
        }
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        for written in [row(), ended(How::Failed, &row())] {
            assert_eq!(
                ReplayRow::from_bytes(&written.to_bytes(), 0).expect("readable"),
                written
            );
        }
        assert!(ReplayRow::from_bytes(b"{}", 0).is_err());
    }

    #[test]
    fn of_two_ends_the_first_one_holds_and_what_is_told_stays_told() {
        let running = row();
        let told = ReplayRow {
            is_announced: true,
            ..row()
        };
        let (stopped, done) = (ended(How::Stopped, &told), ended(How::Done, &told));
        assert!(told.supersedes(&running) && !running.supersedes(&told));
        assert!(stopped.supersedes(&told) && !told.supersedes(&stopped));
        assert!(!done.supersedes(&stopped) && stopped.supersedes(&stopped));
        // Who ends it without knowing that it was announced loses nothing but that.
        assert!(ended(How::Done, &running).supersedes(&told));
    }
}
