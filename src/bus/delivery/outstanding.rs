//! What one stream was sent and has not settled: delivery ids and the events they name.

use std::collections::{BTreeMap, VecDeque};

/// Ids from `first` to `last`, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    pub first: u64,
    pub last: u64,
}

/// Why ids could not be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The stream never had them.
    Unknown,
    /// They are settled already.
    Settled,
    /// Their partition has left.
    Stale,
    /// Their lease is over: others have them.
    Expired,
}

/// Ids that could not be settled, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdFault {
    pub ids: IdRange,
    pub verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot<T> {
    Out(T),
    Settled,
    Stale,
    Expired,
}

/// Ids are a random prefix and a counter, so that another stream's ids are not mistaken for this one's; each sending has a
/// new one. Recent ids lie in a queue; an old one that is still open moves to a map, so that one event that is never acked
/// does not hold the rest. An id that is in neither is settled.
#[derive(Clone, Debug)]
pub(super) struct Outstanding<T> {
    base: u64,
    first: u64,
    recent: VecDeque<Slot<T>>,
    old: BTreeMap<u64, Slot<T>>,
    count: usize,
}

const RECENT: usize = 4_096;
const MAX_OLD: usize = 65_536;

impl<T: Copy> Outstanding<T> {
    /// `prefix` has 20 bits; ids stay below 2^53.
    pub(super) fn new(prefix: u32) -> Self {
        let base = u64::from(prefix & 0xF_FFFF) << 32 | 1;
        Self {
            base,
            first: base,
            recent: VecDeque::new(),
            old: BTreeMap::new(),
            count: 0,
        }
    }

    /// Names what is about to be sent.
    pub(super) fn add(&mut self, item: T) -> u64 {
        self.recent.push_back(Slot::Out(item));
        self.count += 1;
        self.trim();
        self.next() - 1
    }

    /// How many are not settled.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Settles one id.
    pub(super) fn take(&mut self, id: u64) -> Result<T, Verdict> {
        if id < self.base || id >= self.next() {
            return Err(Verdict::Unknown);
        }
        let taken = self.slot(id).map(|slot| std::mem::replace(slot, Slot::Settled));
        match taken {
            Some(Slot::Out(item)) => {
                self.count -= 1;
                self.forget(id);
                Ok(item)
            }
            Some(Slot::Stale) => {
                self.forget(id);
                Err(Verdict::Stale)
            }
            Some(Slot::Expired) => {
                self.forget(id);
                Err(Verdict::Expired)
            }
            Some(Slot::Settled) | None => Err(Verdict::Settled),
        }
    }

    /// Settles what is outstanding within a range; what is settled already is passed over. A range that names no id of this
    /// stream at all is unknown; ids in it that are stale or expired are reported.
    pub(super) fn take_range(&mut self, range: IdRange, mut found: impl FnMut(u64, T)) -> Vec<IdFault> {
        if range.last < range.first || range.last < self.base || range.first >= self.next() {
            return vec![IdFault {
                ids: range,
                verdict: Verdict::Unknown,
            }];
        }
        let old: Vec<u64> = self.old.range(range.first..=range.last).map(|(id, _)| *id).collect();
        let recent = range.first.max(self.first)..=range.last.min(self.next() - 1);
        let mut gone: [Option<IdRange>; 2] = [None; 2];
        for id in old.into_iter().chain(recent) {
            let gone = match self.take(id) {
                Ok(item) => {
                    found(id, item);
                    continue;
                }
                Err(Verdict::Stale) => &mut gone[0],
                Err(Verdict::Expired) => &mut gone[1],
                Err(_) => continue,
            };
            let first = gone.map_or(id, |gone| gone.first);
            *gone = Some(IdRange { first, last: id });
        }
        let fault = |(ids, verdict): (Option<IdRange>, _)| Some(IdFault { ids: ids?, verdict });
        gone.into_iter()
            .zip([Verdict::Stale, Verdict::Expired])
            .filter_map(fault)
            .collect()
    }

    /// The item of an id that is not settled.
    pub(super) fn get_mut(&mut self, id: u64) -> Result<&mut T, Verdict> {
        if id < self.base || id >= self.next() {
            return Err(Verdict::Unknown);
        }
        match self.slot(id) {
            Some(Slot::Out(item)) => Ok(item),
            Some(Slot::Stale) => Err(Verdict::Stale),
            Some(Slot::Expired) => Err(Verdict::Expired),
            Some(Slot::Settled) | None => Err(Verdict::Settled),
        }
    }

    /// Settles the items that `is_done` holds for.
    pub(super) fn settle(&mut self, mut is_done: impl FnMut(&T) -> bool) -> Vec<T> {
        let is_out = |slot: &Slot<T>, is_done: &mut dyn FnMut(&T) -> bool| match slot {
            Slot::Out(item) => is_done(item),
            Slot::Settled | Slot::Stale | Slot::Expired => false,
        };
        let old = self.old.iter().map(|(id, slot)| (*id, slot));
        let recent = (self.first..).zip(&self.recent);
        let done = old.chain(recent).filter(|(_, slot)| is_out(slot, &mut is_done));
        let done: Vec<u64> = done.map(|(id, _)| id).collect();
        done.into_iter().filter_map(|id| self.take(id).ok()).collect()
    }

    /// The item of an id, if it is not settled.
    pub(super) fn get(&self, id: u64) -> Option<&T> {
        let slot = match id.checked_sub(self.first) {
            Some(index) => self.recent.get(usize::try_from(index).ok()?)?,
            None => self.old.get(&id)?,
        };
        match slot {
            Slot::Out(item) => Some(item),
            Slot::Settled | Slot::Stale | Slot::Expired => None,
        }
    }

    /// Ids within a range that are not settled.
    pub(super) fn open_in(&self, range: IdRange) -> Vec<u64> {
        let old = self.old.range(range.first.min(range.last)..=range.last);
        let old = old.filter(|(_, slot)| matches!(slot, Slot::Out(_))).map(|(id, _)| *id);
        let (from, to) = (range.first.max(self.first), range.last.min(self.next() - 1));
        let is_open = |id: &u64| {
            let index = usize::try_from(id - self.first).unwrap_or(usize::MAX);
            matches!(self.recent.get(index), Some(Slot::Out(_)))
        };
        old.chain((from..=to).filter(is_open)).collect()
    }

    /// Takes the items back whose lease is over: later acks of them are answered so.
    pub(super) fn expire(&mut self, mut is_over: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut expired = Vec::new();
        for slot in self.old.values_mut().chain(&mut self.recent) {
            if let Slot::Out(item) = *slot
                && is_over(&item)
            {
                *slot = Slot::Expired;
                self.count -= 1;
                expired.push(item);
            }
        }
        self.forget_answers();
        expired
    }

    /// Items that `is_stale` holds for are gone: later acks of them are answered so.
    pub(super) fn make_stale(&mut self, mut is_stale: impl FnMut(T) -> bool) {
        for slot in self.recent.iter_mut().chain(self.old.values_mut()) {
            if let Slot::Out(item) = *slot
                && is_stale(item)
            {
                *slot = Slot::Stale;
                self.count -= 1;
            }
        }
        self.forget_answers();
    }

    /// Too many ids are remembered only to say what became of them.
    fn forget_answers(&mut self) {
        if self.old.len() > MAX_OLD {
            self.old.retain(|_, slot| matches!(slot, Slot::Out(_)));
        }
    }

    /// What is not settled, oldest first.
    pub(super) fn items(&self) -> impl Iterator<Item = T> {
        self.old.values().chain(&self.recent).filter_map(|slot| match slot {
            Slot::Out(item) => Some(*item),
            Slot::Settled | Slot::Stale | Slot::Expired => None,
        })
    }

    fn next(&self) -> u64 {
        self.first + self.recent.len() as u64
    }

    fn slot(&mut self, id: u64) -> Option<&mut Slot<T>> {
        match id.checked_sub(self.first) {
            Some(index) => self.recent.get_mut(usize::try_from(index).unwrap_or(usize::MAX)),
            None => self.old.get_mut(&id),
        }
    }

    fn forget(&mut self, id: u64) {
        if id < self.first {
            self.old.remove(&id);
        } else {
            self.trim();
        }
    }

    fn trim(&mut self) {
        while let Some(front) = self.recent.front() {
            match *front {
                Slot::Settled => {}
                open if self.recent.len() > RECENT => {
                    self.old.insert(self.first, open);
                }
                _ => break,
            }
            self.recent.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn ids_fit_into_a_javascript_number_and_differ_by_stream() {
        let (mut a, mut b) = (Outstanding::new(u32::MAX), Outstanding::new(7));
        let id = a.add(0);
        assert!(id < 1 << 53);
        b.add(0);
        assert_eq!(b.take(id), Err(Verdict::Unknown));
    }

    #[test]
    fn a_range_takes_only_what_is_outstanding() {
        let mut out = Outstanding::new(1);
        let ids: Vec<u64> = (0..5).map(|item| out.add(item)).collect();
        out.take(ids[2]).expect("outstanding");
        let mut found = Vec::new();
        let everything = IdRange {
            first: 0,
            last: u64::MAX,
        };
        assert_eq!(out.take_range(everything, |_, item| found.push(item)), []);
        assert_eq!(found, [0, 1, 3, 4]);
        assert_eq!(out.count(), 0);
        assert_eq!(out.take(ids[0]), Err(Verdict::Settled));
        let backwards = IdRange { first: 2, last: 1 };
        assert_eq!(out.take_range(backwards, |_, _| ())[0].verdict, Verdict::Unknown);
    }

    #[test]
    fn what_went_stale_is_told_so() {
        let mut out = Outstanding::new(1);
        let ids: Vec<u64> = (0..4).map(|item| out.add(item)).collect();
        out.make_stale(|item| item % 2 == 0);
        assert_eq!(out.take(ids[0]), Err(Verdict::Stale));
        assert_eq!(out.take(ids[1]), Ok(1));
        let (first, last) = (ids[0], ids[3]);
        let fault = out.take_range(IdRange { first, last }, |_, _| ())[0];
        assert_eq!(
            (fault.verdict, fault.ids.first, fault.ids.last),
            (Verdict::Stale, ids[2], ids[2])
        );
    }

    #[test]
    fn what_is_settled_together_is_settled_for_later_acks() {
        let mut out = Outstanding::new(1);
        let ids: Vec<u64> = (0..4).map(|item| out.add(item)).collect();
        out.take(ids[1]).expect("outstanding");
        assert_eq!(out.settle(|item| *item < 3), [0, 2]);
        assert_eq!((out.count(), out.take(ids[0])), (1, Err(Verdict::Settled)));
        assert_eq!((out.take(ids[2]), out.take(ids[3])), (Err(Verdict::Settled), Ok(3)));
    }

    #[test]
    fn one_event_that_is_never_acked_does_not_hold_the_rest() {
        let mut out = Outstanding::new(1);
        let stuck = out.add(0);
        for item in 1..100_000 {
            let id = out.add(item);
            out.take(id).expect("outstanding");
        }
        assert!(out.recent.len() <= RECENT && out.old.len() == 1);
        assert_eq!(out.take(stuck + 1), Err(Verdict::Settled));
        assert_eq!(out.take(stuck), Ok(0));
        assert_eq!(out.take(stuck), Err(Verdict::Settled));
    }

    proptest! {
        #[test]
        fn each_id_is_taken_once(steps in vec((any::<bool>(), 0u64..100), 1..300)) {
            let mut out = Outstanding::new(3);
            let mut model = BTreeMap::new();
            let first = u64::from(3u32) << 32 | 1;
            for (add, number) in steps {
                if add {
                    let id = out.add(number);
                    prop_assert_eq!(model.insert(id, number), None);
                } else {
                    let id = first + number;
                    prop_assert_eq!(out.take(id).ok(), model.remove(&id));
                }
                prop_assert_eq!(out.count(), model.len());
            }
            prop_assert_eq!(out.items().collect::<Vec<_>>(), model.into_values().collect::<Vec<_>>());
        }
    }
}
