//! Which dead letters are meant: some by name, or those that match.

use super::{
    index::{Index, Row, State},
    letter::{LetterId, LetterReason},
};
use crate::{log::LogTime, name::Topic};

/// What letters must be like; unset = any.
#[derive(Clone, Debug, Default)]
pub struct LetterFilter {
    /// Where they lay.
    pub topic: Option<Topic>,
    /// Dead letters since then (inclusive), by the log's clock.
    pub from: Option<LogTime>,
    /// And before then.
    pub until: Option<LogTime>,
    pub reason: Option<LetterReason>,
    pub state: Option<State>,
}

impl LetterFilter {
    pub(super) fn matches(&self, row: &Row) -> bool {
        self.topic.as_ref().is_none_or(|topic| *topic == row.source.topic)
            && self.from.is_none_or(|from| row.time >= from)
            && self.until.is_none_or(|until| row.time < until)
            && self.reason.is_none_or(|reason| reason == row.reason)
            && self.state.is_none_or(|state| state == row.state)
    }
}

/// Letters to move. Only what is parked moves.
#[derive(Clone, Debug)]
pub enum Selection {
    Ids(Vec<LetterId>),
    Matching(LetterFilter),
}

impl Selection {
    /// Those of them that are parked, by offset; only such as lie before `end`.
    pub(super) fn parked(&self, index: &Index, end: i64) -> Vec<(LetterId, i64)> {
        let is_parked = |row: &&Row| row.state == State::Parked && row.at < end;
        let place = |row: &Row| (row.id, row.at);
        match self {
            Self::Ids(ids) => {
                let rows = ids.iter().filter_map(|id| index.row(*id)).filter(is_parked);
                rows.map(place).collect()
            }
            Self::Matching(filter) => {
                let rows = index.all().filter(is_parked).filter(|row| filter.matches(row));
                rows.map(place).collect()
            }
        }
    }

    /// Those that were named.
    pub(super) fn named(&self) -> &[LetterId] {
        match self {
            Self::Ids(ids) => ids,
            Self::Matching(_) => &[],
        }
    }
}
