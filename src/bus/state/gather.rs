//! Keys as they are read from a partition: in memory while there is room, then as sorted runs on the disk.

use rustc_hash::FxHashMap;

use super::{
    block::Entry,
    fold::Folded,
    memory::Share,
    merge::Source,
    runs::{Runs, Spill},
};
use crate::{
    convention::Effect,
    error::{Error, Reason, Result},
    log::Record,
};

/// What an entry takes beside its key and its payload: its place in the map, when that has just grown, in the list that is sorted, and
/// what allocations take.
const OVERHEAD: usize = 240;

pub(super) struct Gather {
    keys: FxHashMap<Box<[u8]>, Folded>,
    /// About what they take.
    bytes: usize,
    share: Share,
    runs: Runs,
}

/// All that was gathered, to be merged.
pub(super) struct Gathered {
    runs: Runs,
    /// Newer than the runs.
    memory: Vec<Entry>,
}

impl Gather {
    pub(super) fn new(share: Share, spill: Spill) -> Self {
        Self {
            keys: FxHashMap::default(),
            bytes: 0,
            share,
            runs: Runs::new(spill),
        }
    }

    /// The next record of a key.
    pub(super) fn add(&mut self, key: &[u8], effect: Effect, record: &Record) {
        match self.keys.get_mut(key) {
            Some(known) if known.is_changed_by(effect) => {
                self.bytes -= known.size();
                known.push(Folded::one(effect, record));
                self.bytes += known.size();
            }
            Some(_) => {}
            None => {
                let folded = Folded::one(effect, record);
                self.bytes += OVERHEAD + key.len() + folded.size();
                self.keys.insert(key.into(), folded);
            }
        }
    }

    /// Forgets all keys.
    pub(super) fn clear(&mut self) {
        self.keys = FxHashMap::default();
        self.bytes = 0;
        self.runs.clear();
        self.share.give_back();
    }

    /// Spills if there is no room for what is held. Call it after each batch.
    pub(super) async fn relieve(&mut self) -> Result<()> {
        match self.share.has_room_for(self.bytes) {
            true => Ok(()),
            false => self.spill().await,
        }
    }

    /// Ends gathering. What fits into `left`, which it is taken from, stays in memory, outside of what is shared.
    pub(super) async fn finish(mut self, left: &mut usize) -> Result<Gathered> {
        if self.bytes > *left {
            self.spill().await?;
        }
        *left -= self.bytes;
        Ok(Gathered {
            memory: sorted(self.keys),
            runs: self.runs,
        })
    }

    async fn spill(&mut self) -> Result<()> {
        let keys = std::mem::take(&mut self.keys);
        self.bytes = 0;
        let entries = tokio::task::spawn_blocking(|| sorted(keys)).await;
        let entries = entries.map_err(|_| Error::new(Reason::Internal, "sort keys: the task was aborted"))?;
        self.runs.add(entries).await?;
        self.share.give_back();
        Ok(())
    }
}

impl Gathered {
    /// Oldest first; once.
    pub(super) fn sources(&mut self) -> Vec<Source> {
        let memory = std::mem::take(&mut self.memory).into_iter();
        self.runs.sources().chain([Source::Memory(memory)]).collect()
    }
}

fn sorted(keys: FxHashMap<Box<[u8]>, Folded>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = keys.into_iter().map(|(key, folded)| Entry { key, folded }).collect();
    entries.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    entries
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{
        bus::state::{fold::tests::record, memory::Memory, merge::Merge},
        scratch::Scratch,
    };

    fn any_records() -> impl Strategy<Value = Vec<(u8, u8)>> {
        vec((0..20_u8, 0..4_u8), 0..200)
    }

    /// What is left of records, spilled after each `every` of them.
    async fn gathered(records: &[(u8, u8)], every: usize) -> Vec<Entry> {
        let directory = tempfile::tempdir().expect("a directory");
        let spill = Spill::new(&Scratch::new(directory.path().into()));
        let mut gather = Gather::new(Memory::new(1 << 20).share().await, spill);
        for (index, (key, what)) in records.iter().enumerate() {
            let effect = [Effect::Resource, Effect::Other, Effect::Other, Effect::Deletes][usize::from(*what)];
            let offset = i64::try_from(index).expect("small");
            gather.add(
                &[*key],
                effect,
                &record(offset, (effect != Effect::Deletes).then_some("v")),
            );
            if index % every == every - 1 {
                gather.spill().await.expect("spilled");
            }
        }
        let mut gathered = gather.finish(&mut 1_000_000).await.expect("finished");
        let mut merge = Merge::new(gathered.sources());
        let mut entries = Vec::new();
        while let Some(entry) = merge.next().await.expect("readable") {
            entries.push(entry);
        }
        entries
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn it_makes_no_difference_what_is_spilled(records in any_records(), every in 1..30_usize) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let whole = runtime.block_on(gathered(&records, usize::MAX));
            prop_assert!(whole.is_sorted_by(|one, other| one.key < other.key));
            prop_assert_eq!(runtime.block_on(gathered(&records, every)), whole);
        }
    }
}
