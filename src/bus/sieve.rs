//! Which events of a batch a reader or a group gets: those that pass its filter. The batch is shared with other readers, so what passes
//! is told as runs of places, and no event is copied.

use std::{ops::Range, sync::Arc};

use tokio::task::consume_budget;

use crate::{
    bus::{
        feed::{Chunk, FeedBatch, Item},
        lens::Lens,
    },
    filter::Filter,
    log::TopicPartition,
};

/// Events of a batch that is shared with other readers; at least one.
pub struct ReadEvents {
    pub partition: TopicPartition,
    batch: Arc<FeedBatch>,
    runs: Vec<Range<usize>>,
}

/// What was read, and what of it passes.
pub(super) struct Sifted {
    chunk: Chunk,
    /// Places in the batch, in order, none empty.
    runs: Vec<Range<usize>>,
}

/// What lets events pass: all of its filters, and the lens of whoever gets them.
pub(super) struct Sieve {
    lens: Option<Lens>,
    filters: Vec<Filter>,
}

impl Sieve {
    pub(super) fn new(lens: Option<Lens>, filters: impl IntoIterator<Item = Filter>) -> Self {
        Self {
            lens,
            filters: filters.into_iter().collect(),
        }
    }

    /// A record with a fault has made-up attributes, so no filter hides it: nothing is skipped silently. A lens does.
    fn passes(&self, item: &Item) -> bool {
        let shows = |lens: &Lens| lens.shows(item);
        let passes = || self.filters.iter().all(|filter| filter.passes(&item.event));
        self.lens.as_ref().is_none_or(shows) && (item.fault.is_some() || passes())
    }
}

/// What passes. Lets other tasks have their turn between events, however long a filter takes.
pub(super) async fn sift(chunk: Chunk, sieve: &Sieve) -> Sifted {
    if sieve.filters.is_empty() && sieve.lens.is_none() {
        let all = chunk.range.clone();
        let runs = if all.is_empty() { Vec::new() } else { vec![all] };
        return Sifted { chunk, runs };
    }
    let mut runs: Vec<Range<usize>> = Vec::new();
    for place in chunk.range.clone() {
        if sieve.passes(&chunk.batch.items[place]) {
            match runs.last_mut() {
                Some(run) if run.end == place => run.end += 1,
                _ => runs.push(place..place + 1),
            }
        }
        consume_budget().await;
    }
    Sifted { chunk, runs }
}

impl Sifted {
    /// Reading goes on here, whatever the filter hid.
    pub(super) fn next(&self) -> i64 {
        self.chunk.next
    }

    /// The partition's end, as far as the batch knows.
    pub(super) fn end(&self) -> i64 {
        self.chunk.batch.end
    }

    /// The batch, and the places of what passes, in order.
    pub(super) fn passing(&self) -> (&Arc<FeedBatch>, impl Iterator<Item = usize>) {
        (&self.chunk.batch, self.runs.iter().flat_map(Clone::clone))
    }

    /// The first that was read, whether it passes or not.
    pub(super) fn first(&self) -> Option<&Item> {
        self.chunk.batch.items[self.chunk.range.clone()].first()
    }

    /// How many do not pass.
    pub(super) fn hidden(&self) -> usize {
        self.chunk.range.len() - self.runs.iter().map(ExactSizeIterator::len).sum::<usize>()
    }

    /// Leaves out what is beyond so many events, and tells how many there are.
    pub(super) fn keep_first(&mut self, most: u64) -> u64 {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let mut kept = 0;
        for run in &mut self.runs {
            run.end = run.end.min(run.start.saturating_add(most - kept));
            kept += run.len();
        }
        self.runs.retain(|run| !run.is_empty());
        kept as u64
    }

    /// `None` if nothing passed.
    pub(super) fn into_events(self, partition: TopicPartition) -> Option<ReadEvents> {
        (!self.runs.is_empty()).then_some(ReadEvents {
            partition,
            batch: self.chunk.batch,
            runs: self.runs,
        })
    }
}

impl ReadEvents {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.runs.iter().map(ExactSizeIterator::len).sum()
    }

    /// In the order of their offsets.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.runs.iter().flat_map(|run| &self.batch.items[run.clone()])
    }
}
