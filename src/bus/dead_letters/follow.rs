//! Reads a group's dead-letter topic: from the start and on, for the index, and single letters by their offsets.

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::{
    format::{self, Entry},
    letter::{Letter, LetterId},
    store::Store,
    topic::Shared,
};
use crate::{
    error::{Reason, Result},
    log::{LogTime, Record},
};

/// Between tries while the log is away.
const RETRY: Duration = Duration::from_secs(1);
/// Between looks for a topic of which the log has not told: it tells of new ones.
const NOT_THERE: Duration = Duration::from_secs(30);
/// Letters that lie this near are read at once.
const NEAR: i64 = 16;

/// A letter as it was read.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub id: LetterId,
    /// Its offset in the dead-letter topic.
    pub at: i64,
    /// When it was written there.
    pub time: LogTime,
    pub letter: Letter,
}

impl Store {
    /// The letters at these offsets, in the order of the topic, until they have so many bytes; at least the first. Those
    /// that are gone are left out, and forgotten.
    pub async fn load(&self, offsets: &[i64], most_bytes: usize) -> Result<Vec<Loaded>> {
        let (mut all, mut bytes) = (Vec::new(), 0);
        let take = |loaded: Loaded| {
            bytes += loaded.letter.record.size();
            if bytes > most_bytes && !all.is_empty() {
                return ControlFlow::Break(());
            }
            all.push(loaded);
            ControlFlow::Continue(())
        };
        self.visit(offsets, take).await?;
        Ok(all)
    }

    /// Shows each letter at these offsets, in the order of the topic, until `see` breaks off.
    pub(super) async fn visit(
        &self,
        offsets: &[i64],
        mut see: impl FnMut(Loaded) -> ControlFlow<()> + Send,
    ) -> Result<()> {
        let offsets: BTreeSet<i64> = offsets.iter().copied().collect();
        for run in runs(&offsets) {
            match self.visit_run(run, &offsets, &mut see).await {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Ok(()),
                Err(error) if error.reason() == Reason::PositionGone => self.shared.forget_what_is_gone().await?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn visit_run(
        &self,
        (first, last): (i64, i64),
        offsets: &BTreeSet<i64>,
        see: &mut (impl FnMut(Loaded) -> ControlFlow<()> + Send),
    ) -> Result<ControlFlow<()>> {
        let mut reader = self.shared.log.read(&self.shared.partition(), first, Some(last + 1));
        while let Some(batch) = reader.next().await {
            let batch = batch?;
            let wanted = batch.records.iter().filter(|record| offsets.contains(&record.offset));
            for loaded in wanted.filter_map(read) {
                if see(loaded).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn read(record: &Record) -> Option<Loaded> {
    match format::read(record)? {
        Entry::Letter(id, letter) => Some(Loaded {
            id,
            at: record.offset,
            time: record.time,
            letter: *letter,
        }),
        Entry::State(_) => None,
    }
}

/// First and last offsets of what is read at once.
fn runs(offsets: &BTreeSet<i64>) -> Vec<(i64, i64)> {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for at in offsets {
        match runs.last_mut() {
            Some(run) if at - run.1 <= NEAR => run.1 = *at,
            _ => runs.push((*at, *at)),
        }
    }
    runs
}

/// Learns what all replicas write, until `stop`.
pub(super) async fn follow(shared: Arc<Shared>, stop: CancellationToken) {
    let mut metadata = shared.log.metadata();
    loop {
        metadata.mark_unchanged();
        let pause = tokio::select! {
            () = stop.cancelled() => return,
            pause = read_on(&shared) => pause,
        };
        // A wake-up is kept for the next wait, a change of the metadata for the next receiver: nothing is missed.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = metadata.changed() => {}
            () = shared.wake.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Reads from where reading ended before, until it fails. Says how long to wait before the next try.
async fn read_on(shared: &Shared) -> Duration {
    match shared.log.partitions(&shared.topic).await {
        Ok(Some(_)) => {}
        Ok(None) if shared.is_gone() => return NOT_THERE,
        Ok(None) | Err(_) => return RETRY,
    }
    let Ok(bounds) = shared.log.bounds(&[shared.partition()]).await else {
        return RETRY;
    };
    match is_another(shared, bounds[0].end).await {
        Ok(true) => shared.forget(),
        Ok(false) => shared.trust(),
        Err(_) => return RETRY,
    }
    let generation = shared.generation();
    let next = (*shared.reached.borrow()).max(bounds[0].start);
    shared.reached.send_replace(next);
    let mut reader = shared.log.read(&shared.partition(), next, None);
    while let Some(batch) = reader.next().await {
        match batch {
            Ok(batch) if shared.learn(&batch, generation) => {}
            Ok(_) => return Duration::ZERO,
            Err(error) => {
                match error.reason() {
                    Reason::TopicNotFound => shared.doubt(),
                    Reason::PositionGone => shared.forget(),
                    _ => {}
                }
                return RETRY;
            }
        }
    }
    RETRY
}

/// Whether the topic was deleted and made anew since it was read.
async fn is_another(shared: &Shared, end: i64) -> Result<bool> {
    if *shared.reached.borrow() > end {
        return Ok(true);
    }
    if !shared.is_in_doubt() {
        return Ok(false);
    }
    // A letter lies where it lay only in the topic that it was read from.
    let oldest = shared.index().all().next().map(|row| (row.id, row.at));
    let Some((id, at)) = oldest else { return Ok(true) };
    let mut reader = shared.log.read(&shared.partition(), at, Some(at + 1));
    while let Some(batch) = reader.next().await {
        match batch {
            Ok(batch) => {
                if let Some(found) = batch.records.iter().find_map(read) {
                    return Ok(found.id != id);
                }
            }
            Err(error) if error.reason() == Reason::PositionGone => break,
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_lie_near_are_read_at_once() {
        let offsets = BTreeSet::from([3, 4, 20, 37, 100]);
        assert_eq!(runs(&offsets), [(3, 20), (37, 37), (100, 100)]);
        assert!(runs(&BTreeSet::new()).is_empty());
    }
}
