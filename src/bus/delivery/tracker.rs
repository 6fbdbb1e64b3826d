//! The ack tracker of one partition: which offsets are settled, and so how far the group may commit.

use std::collections::VecDeque;

const WORD: i64 = 64;

/// Settled offsets above the committed one, as a bitmap. An offset is settled once it is acked or otherwise terminal, or
/// has no record at all. The committed offset never passes one that is not settled.
#[derive(Clone, Debug)]
pub(super) struct Tracker {
    /// Everything below is settled.
    committed: i64,
    /// Everything from here on has not arrived.
    next: i64,
    /// Bit `i` of word `w` stands for the offset `origin + 64 w + i`.
    words: VecDeque<u64>,
    origin: i64,
}

impl Tracker {
    /// A partition of which everything below `committed` is settled.
    pub(super) fn new(committed: i64) -> Self {
        Self {
            committed,
            next: committed,
            words: VecDeque::new(),
            origin: committed,
        }
    }

    /// The offset that may be committed: everything below is settled.
    pub(super) fn committed(&self) -> i64 {
        self.committed
    }

    /// The offset that should arrive next.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// Offsets from the committed one to the next to arrive.
    pub(super) fn span(&self) -> i64 {
        self.next - self.committed
    }

    /// Offsets settled above the committed one.
    pub(super) fn settled_above(&self) -> i64 {
        self.words.iter().map(|word| i64::from(word.count_ones())).sum::<i64>() - (self.committed - self.origin)
    }

    /// A record arrived; offsets that were passed over have no record and count as settled. One that arrived before is
    /// passed over: `false`.
    pub(super) fn arrive(&mut self, offset: i64) -> bool {
        if offset < self.next {
            return false;
        }
        self.skip_to(offset);
        self.extend_to(offset + 1);
        true
    }

    /// There is no record from the next offset up to `next` (exclusive).
    pub(super) fn skip_to(&mut self, next: i64) {
        if next <= self.next {
            return;
        }
        if self.committed == self.next {
            *self = Self::new(next);
            return;
        }
        let holes = self.next..next;
        self.extend_to(next);
        for hole in holes {
            self.mark(hole);
        }
        self.advance();
    }

    /// Settles an offset that arrived. `false` if it is settled already or never arrived.
    pub(super) fn settle(&mut self, offset: i64) -> bool {
        if offset < self.committed || offset >= self.next || self.is_marked(offset) {
            return false;
        }
        self.mark(offset);
        if offset == self.committed {
            self.advance();
        }
        true
    }

    fn extend_to(&mut self, next: i64) {
        self.next = next;
        let words = (next - self.origin + WORD - 1) / WORD;
        self.words.resize(usize::try_from(words).unwrap_or(0), 0);
    }

    fn place(&self, offset: i64) -> (usize, u32) {
        let from_origin = offset - self.origin;
        (
            usize::try_from(from_origin / WORD).unwrap_or(usize::MAX),
            u32::try_from(from_origin % WORD).unwrap_or(0),
        )
    }

    fn is_marked(&self, offset: i64) -> bool {
        let (word, bit) = self.place(offset);
        self.words.get(word).is_some_and(|word| word >> bit & 1 == 1)
    }

    fn mark(&mut self, offset: i64) {
        let (word, bit) = self.place(offset);
        if let Some(word) = self.words.get_mut(word) {
            *word |= 1 << bit;
        }
    }

    /// Moves the committed offset over everything settled, and forgets the words behind it.
    fn advance(&mut self) {
        while self.committed < self.next {
            let (word, bit) = self.place(self.committed);
            let Some(settled) = self.words.get(word).map(|word| (word >> bit).trailing_ones()) else {
                break;
            };
            if settled == 0 {
                break;
            }
            self.committed = (self.committed + i64::from(settled)).min(self.next);
        }
        while self.committed - self.origin >= WORD && self.words.pop_front().is_some() {
            self.origin += WORD;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn acks_out_of_order_move_the_offset_only_when_the_first_comes() {
        let mut tracker = Tracker::new(10);
        for offset in 10..14 {
            assert!(tracker.arrive(offset));
        }
        assert!(tracker.settle(12));
        assert!(tracker.settle(11));
        assert_eq!((tracker.committed(), tracker.settled_above()), (10, 2));
        assert!(tracker.settle(10));
        assert_eq!(
            (tracker.committed(), tracker.span(), tracker.settled_above()),
            (13, 1, 0)
        );
    }

    #[test]
    fn an_ack_counts_once_and_only_for_what_arrived() {
        let mut tracker = Tracker::new(0);
        tracker.arrive(0);
        assert!(tracker.settle(0));
        assert!(!tracker.settle(0));
        assert!(!tracker.settle(1));
        assert!(!tracker.settle(-1));
    }

    #[test]
    fn holes_do_not_stop_the_offset() {
        let mut tracker = Tracker::new(0);
        tracker.arrive(5);
        assert_eq!(tracker.committed(), 5);
        tracker.arrive(200);
        assert_eq!(tracker.committed(), 5);
        tracker.settle(5);
        assert_eq!(tracker.committed(), 200);
        tracker.skip_to(300);
        tracker.settle(200);
        assert_eq!((tracker.committed(), tracker.span()), (300, 0));
    }

    proptest! {
        /// Against a model: arrivals with holes and acks in any order.
        #[test]
        fn committed_is_the_lowest_offset_that_is_not_settled(
            start in 0i64..100,
            steps in vec((any::<bool>(), 0i64..200), 1..400),
        ) {
            let mut tracker = Tracker::new(start);
            let mut open = BTreeSet::new();
            let mut next = start;
            for (arrives, number) in steps {
                if arrives {
                    let offset = next + if number < 150 { 0 } else { number - 150 };
                    prop_assert!(tracker.arrive(offset));
                    open.insert(offset);
                    next = offset + 1;
                } else {
                    let offset = start + number;
                    prop_assert_eq!(tracker.settle(offset), open.remove(&offset));
                }
                let lowest = open.first().copied().unwrap_or(next);
                prop_assert_eq!(tracker.committed(), lowest);
                prop_assert_eq!(tracker.next(), next);
                prop_assert_eq!(tracker.settled_above(), next - lowest - open.len() as i64);
                prop_assert!(tracker.words.len() as i64 <= tracker.span() / WORD + 2);
            }
        }
    }
}
