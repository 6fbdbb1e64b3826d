//! Which dead letters are meant: some by name, or those that match.

use std::ops::ControlFlow;

use super::{
    follow::Loaded,
    index::{Index, Row, State},
    letter::{Letter, LetterId, LetterReason},
    store::Store,
};
use crate::{convention, error::Result, filter::Filter, log::LogTime, name::Topic};

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
    /// What the event is like. What is no well-formed event passes no filter.
    pub filter: Option<Filter>,
}

impl LetterFilter {
    /// Whether the event is as it must be.
    pub(super) fn passes(&self, letter: &Letter) -> bool {
        let Some(filter) = &self.filter else { return true };
        let decoded = convention::decode(&letter.source, &letter.record);
        decoded.fault.is_none() && filter.passes(&decoded.event)
    }

    /// All but the event.
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
    /// Those of them that are parked; only such as lie before `end` in the topic.
    pub(super) async fn parked(&self, store: &Store, end: i64) -> Result<Vec<LetterId>> {
        let rows = self.rows(&store.index(), end);
        let Self::Matching(LetterFilter { filter: Some(_), .. }) = self else {
            return Ok(rows.into_iter().map(|(id, _)| id).collect());
        };
        let offsets: Vec<i64> = rows.into_iter().map(|(_, at)| at).collect();
        let mut passing = Vec::new();
        let see = |Loaded { id, letter, .. }| {
            if self.passes(&letter) {
                passing.push(id);
            }
            ControlFlow::Continue(())
        };
        store.visit(&offsets, see).await?;
        Ok(passing)
    }

    fn rows(&self, index: &Index, end: i64) -> Vec<(LetterId, i64)> {
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

    fn passes(&self, letter: &Letter) -> bool {
        match self {
            Self::Ids(_) => true,
            Self::Matching(filter) => filter.passes(letter),
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
