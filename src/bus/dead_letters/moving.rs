//! Redriving and discarding dead letters: what was asked for is written to the topic, and its order says what came of it.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;

use super::{
    index::{Index, Row, State},
    letter::LetterId,
    selection::{LetterFilter, Selection},
    store::{Asked, Store},
    view::{LetterInfo, describe},
};
use crate::{
    bus::{Bus, Inner, audit::Act, draining},
    error::{Error, Reason, Result},
    name::Group,
};

/// Letters that an answer names.
const MOST_RESULTS: usize = 1_000;
/// Letters that a trial shows.
const SAMPLE: usize = 10;

/// What to do with letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Deliver them to the group again, each with its chain.
    Redrive,
    /// Give them up; what waits behind them is delivered.
    Discard,
}

/// What became of letters, or would become.
#[derive(Debug, Default)]
pub struct Moved {
    /// Redriven, or discarded.
    pub count: usize,
    /// Redriven because what they waited behind was discarded.
    pub freed: usize,
    /// Those that were named, in the order of the request, then others that moved; the first 1,000.
    pub results: Vec<(LetterId, Fate)>,
}

/// What became of one letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Redriven,
    Discarded,
    /// Redriven, because what it waited behind was discarded.
    Freed,
    /// It was not parked.
    Unchanged,
    NotFound,
}

impl Bus {
    /// What `move_letters` would do now, and the first of those that would be redriven or discarded.
    pub async fn try_move_letters(
        &self,
        group: &Group,
        verb: Verb,
        selection: &Selection,
    ) -> Result<(Moved, Vec<LetterInfo>)> {
        let store = self.0.letters_of(group).await?;
        let ids = selection.parked(&store, i64::MAX).await?;
        let (moved, sample) = {
            let index = store.index();
            let (moving, freed) = match verb {
                Verb::Redrive => (index.redrivable(&ids), BTreeSet::new()),
                Verb::Discard => index.discardable(&ids),
            };
            let moved = Moved {
                count: moving.len(),
                freed: freed.len(),
                results: Vec::new(),
            };
            (moved, index.at(&moving).take(SAMPLE).cloned().collect())
        };
        Ok((moved, describe(&store, sample, &LetterFilter::default()).await?))
    }

    /// Moves what is parked of the selection; durable when it returns, and done even if the caller does not wait for it. Asked
    /// again with the same id it finishes what it began, moves nothing else, and gives the same answer. One that moved nothing
    /// has left nothing on the log, so that asking in vain again and again fills no topic: it moves what is parked by then.
    pub async fn move_letters(&self, group: &Group, verb: Verb, selection: Selection, asked: Asked) -> Result<Moved> {
        let store = self.0.letters_of(group).await?;
        if self.0.draining.is_cancelled() {
            return Err(draining());
        }
        let (group, count, bus) = (group.clone(), selection.named().len(), Arc::clone(&self.0));
        let moving = self.0.tasks.spawn(async move {
            let moved = move_parked(&store, verb, &selection, &asked).await?;
            if moved.count > 0 {
                bus.audit_letters(&group, verb, (&asked, &moved)).await?;
            }
            tracing::info!(%group, ?verb, request = asked.id, named = count, letters = moved.count, "moved dead letters");
            Ok(moved)
        });
        let failed = |error| Error::new(Reason::Internal, "move dead letters").caused_by(error);
        moving.await.map_err(failed)?
    }
}

#[derive(Serialize)]
struct Details {
    letters: usize,
    freed: usize,
}

impl Inner {
    async fn audit_letters(&self, group: &Group, verb: Verb, (asked, moved): (&Asked, &Moved)) -> Result<()> {
        let act = Act {
            id: &asked.id,
            ty: match verb {
                Verb::Redrive => "tidings.dead-letters.redriven",
                Verb::Discard => "tidings.dead-letters.discarded",
            },
            subject: group.as_str(),
            by: &asked.by,
            reason: &asked.reason,
            details: &Details {
                letters: moved.count,
                freed: moved.freed,
            },
        };
        self.audit(&act).await
    }
}

async fn move_parked(store: &Store, verb: Verb, selection: &Selection, asked: &Asked) -> Result<Moved> {
    // Asked once more, it is about those that were there when it was asked first.
    let end = first_asked(&store.index(), &asked.id).unwrap_or(i64::MAX);
    let parked = selection.parked(store, end).await?;
    if !parked.is_empty() {
        match verb {
            Verb::Redrive => store.redrive(parked, asked).await?,
            Verb::Discard => store.discard(parked, asked).await?,
        }
    }
    Ok(outcome(&store.index(), verb, selection.named(), &asked.id))
}

/// Where a request lies that moved letters.
fn first_asked(index: &Index, id: &str) -> Option<i64> {
    let causes = index.all().filter_map(|row| row.cause.as_ref());
    causes.filter(|cause| cause.id == id).map(|cause| cause.at).min()
}

fn outcome(index: &Index, verb: Verb, named: &[LetterId], id: &str) -> Moved {
    // What joined a chain later was not moved by the request, but by the state of the head.
    let by_it = |row: &&Row| {
        row.cause
            .as_ref()
            .is_some_and(|cause| cause.id == id && row.at < cause.at)
    };
    let rows: Vec<(LetterId, Fate)> = index.all().filter(by_it).map(|row| (row.id, fate(verb, row))).collect();
    let freed = rows.iter().filter(|(_, fate)| *fate == Fate::Freed).count();
    let moved: rustc_hash::FxHashMap<LetterId, Fate> = rows.iter().copied().collect();
    let of_named = |id: &LetterId| {
        let unmoved = || index.row(*id).map_or(Fate::NotFound, |_| Fate::Unchanged);
        (*id, moved.get(id).copied().unwrap_or_else(unmoved))
    };
    let are_named: BTreeSet<LetterId> = named.iter().copied().collect();
    let others = rows.iter().copied().filter(|(id, _)| !are_named.contains(id));
    Moved {
        count: rows.len() - freed,
        freed,
        results: named.iter().map(of_named).chain(others).take(MOST_RESULTS).collect(),
    }
}

fn fate(verb: Verb, row: &Row) -> Fate {
    match (row.state, verb) {
        (State::Discarded, _) => Fate::Discarded,
        (_, Verb::Redrive) => Fate::Redriven,
        (_, Verb::Discard) => Fate::Freed,
    }
}
