//! Dead letters that are sent again: loaded as they were, put behind what waits of their key, and done with once they are acked.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustc_hash::FxHashMap;
use tokio::sync::watch;

use super::{
    payload::{Cause, Held, Payload, Redriven},
    task::{RETRY, Task},
};
use crate::{
    bus::{
        dead_letters::{LetterId, Loaded},
        delivery::{Arrival, PartitionId},
        feed, key_hash,
    },
    error::Result,
    log::Record,
};

/// Letters, and about how many bytes of them, that are loaded at once.
const MOST: usize = 100;
const MOST_BYTES: usize = 1024 * 1024;

/// The redrives that are under way.
pub(super) struct Redrives {
    /// Changes when more is known of the dead letters.
    pub(super) changes: watch::Receiver<i64>,
    pub(super) loading: Option<BoxFuture<'static, Reloaded>>,
    /// There may be letters to load.
    pub(super) look: bool,
    /// How many are loaded at once.
    most: usize,
    /// Letters that were sent or wait for it.
    taken: FxHashMap<LetterId, PartitionId>,
}

/// Letters of one partition and one request, loaded.
pub(super) struct Reloaded {
    id: PartitionId,
    serial: u64,
    /// The letters, and where they lie.
    asked: Vec<(LetterId, i64)>,
    request: Arc<str>,
    letters: Result<Vec<Loaded>>,
}

impl Redrives {
    pub(super) fn new(changes: watch::Receiver<i64>) -> Self {
        Self {
            changes,
            loading: None,
            look: true,
            most: MOST,
            taken: FxHashMap::default(),
        }
    }

    /// Keeps of what was loaded what follows on from what came before it; what was too much for once is asked for again, alone
    /// if need be. What is not there any more is not asked for again.
    fn take(&mut self, id: PartitionId, asked: &[(LetterId, i64)], letters: &mut Vec<Loaded>) {
        let last = letters.iter().map(|loaded| loaded.at).max().unwrap_or(i64::MAX);
        let whole = asked.iter().take_while(|(_, at)| *at <= last).count();
        let taken = asked[..whole].iter().map(|(letter, _)| (*letter, id));
        self.taken.extend(taken);
        letters.retain(|loaded| self.taken.contains_key(&loaded.id));
        letters.sort_by_key(|loaded| loaded.letter.record.offset);
        self.most = if whole == 0 { 1 } else { MOST };
    }

    /// The partition has left: whoever has it next sends its letters.
    pub(super) fn forget(&mut self, id: PartitionId) {
        self.taken.retain(|_, of| *of != id);
    }
}

impl Task {
    /// Keys are freed whose dead letters are settled; letters that are to be sent again are loaded, as far as there is room.
    pub(super) fn redrive(&mut self) {
        let has_room = self.watch.gauges.buffer.has_room_for_letters();
        if !self.redrives.look || self.redrives.loading.is_some() || !has_room || self.drain_until.is_some() {
            return;
        }
        self.redrives.look = false;
        let ids: Vec<PartitionId> = self.owned.keys().copied().collect();
        for id in ids {
            self.free_keys(id);
            if self.load_letters(id) {
                // There may be more.
                self.redrives.look = true;
                return;
            }
        }
    }

    /// Lets events of keys be sent again whose dead letters are settled.
    fn free_keys(&mut self, id: PartitionId) {
        // `buried` looks again.
        if !self.graves.is_idle() || self.dispatch.has_doomed() || !self.graves.heads.keys().any(|(of, _)| *of == id) {
            return;
        }
        let Some(owned) = self.owned.get(&id) else { return };
        let quarantined = self.letters.quarantined(&owned.partition);
        let free = self
            .graves
            .heads
            .keys()
            .filter(|(of, key)| *of == id && !quarantined.contains_key(key));
        let free: Vec<(PartitionId, u64)> = free.copied().collect();
        for (id, key) in free {
            self.graves.heads.remove(&(id, key));
            self.dispatch.free(id, key);
        }
    }

    /// Begins to load letters of the partition; `reloaded` goes on. Whether there are any.
    fn load_letters(&mut self, id: PartitionId) -> bool {
        let Some(owned) = self.owned.get(&id).filter(|owned| !owned.is_releasing()) else {
            return false;
        };
        let redriving = self.letters.redriving(&owned.partition);
        let wanted: rustc_hash::FxHashSet<LetterId> = redriving.iter().map(|redriving| redriving.id).collect();
        self.redrives
            .taken
            .retain(|letter, of| *of != id || wanted.contains(letter));
        let mut left = redriving
            .into_iter()
            .filter(|redriving| !self.redrives.taken.contains_key(&redriving.id));
        let Some(first) = left.next() else { return false };
        let request: Arc<str> = first.cause.id.as_str().into();
        let same = left
            .take_while(|redriving| *redriving.cause.id == *request)
            .map(|redriving| (redriving.id, redriving.at));
        let asked: Vec<(LetterId, i64)> = std::iter::once((first.id, first.at))
            .chain(same)
            .take(self.redrives.most)
            .collect();
        let offsets: Vec<i64> = asked.iter().map(|(_, at)| *at).collect();
        let (letters, serial) = (Arc::clone(&self.letters), owned.serial);
        self.redrives.loading = Some(Box::pin(async move {
            let letters = letters.load(&offsets, MOST_BYTES).await;
            if letters.is_err() {
                tokio::time::sleep(RETRY).await;
            }
            Reloaded {
                id,
                serial,
                asked,
                request,
                letters,
            }
        }));
        true
    }

    pub(super) fn reloaded(&mut self, reloaded: Reloaded) {
        let Reloaded {
            id,
            serial,
            asked,
            request,
            letters,
        } = reloaded;
        let mut letters = match letters {
            Ok(letters) => letters,
            Err(error) => {
                tracing::warn!(group = %self.identity.group, %error, "cannot load dead letters, trying again");
                self.redrives.look = true;
                return;
            }
        };
        if self.owned.get(&id).is_none_or(|owned| owned.serial != serial) {
            return;
        }
        self.redrives.take(id, &asked, &mut letters);
        self.send_again(id, request, letters);
    }

    /// Each goes behind what waits of its key.
    fn send_again(&mut self, id: PartitionId, request: Arc<str>, letters: Vec<Loaded>) {
        let Some(owned) = self.owned.get(&id) else { return };
        let ids: Vec<LetterId> = letters.iter().map(|loaded| loaded.id).collect();
        let records: Vec<Record> = letters.into_iter().map(|loaded| loaded.letter.record).collect();
        let batch = feed::decode(&owned.partition, records.clone());
        let held = Held::new(
            Arc::new(batch),
            Cause::Redriven(Redriven { request, records }),
            &self.watch.gauges.buffer,
        );
        for (index, letter) in ids.into_iter().enumerate() {
            let payload = Payload {
                held: Arc::clone(&held),
                index,
            };
            let item = payload.item();
            let arrival = Arrival {
                offset: item.offset,
                key: item.key.as_ref().map(key_hash),
                size: item.size,
                doom: None,
                payload: payload.clone(),
            };
            // Behind one that has failed since, it waits again.
            let head = arrival.key.and_then(|key| self.graves.heads.get(&(id, key)));
            let passes = head.is_none_or(|head| !self.letters.is_parked(*head));
            self.dispatch.redrive(id, (letter.0, passes), arrival);
        }
    }
}
