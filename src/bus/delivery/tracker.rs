//! The ack tracker of one partition: which offsets are settled, and so how far the group may commit.

use std::ops::Range;

use super::bits::Bits;

/// How far above the committed offset an offset may be settled. No window may be wider.
pub const SPAN: i64 = 16_384;

/// Settled offsets above the committed one. An offset is settled once it is acked or otherwise terminal, or has no record
/// at all. The committed offset never passes one that is not settled.
#[derive(Clone, Debug)]
pub(super) struct Tracker {
    /// Everything below is settled.
    committed: i64,
    /// Everything from here on has not arrived.
    next: i64,
    /// From `next` on: what was settled before it arrived here.
    settled: Bits,
}

/// What an arrival is to its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// It is to be delivered.
    New,
    /// It was settled before it arrived, in a life before this one.
    Settled,
    /// It arrived before.
    Before,
}

impl Tracker {
    /// A partition of which everything below `committed` is settled, and these runs too: from `committed` on, up to
    /// `SPAN` above it. Nothing arrived yet, and what is settled need not ever arrive.
    pub(super) fn resume(committed: i64, runs: &[Range<i64>]) -> Self {
        let end = committed.saturating_add(SPAN + 1);
        let mut settled = Bits::new(committed);
        for run in runs {
            settled.fill(run.start.max(committed)..run.end.min(end));
        }
        Self {
            committed,
            next: committed,
            settled,
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

    /// Offsets settled above the committed one, of those that arrived or were passed over.
    pub(super) fn settled_above(&self) -> i64 {
        self.settled.count(&(self.committed..self.next))
    }

    /// All that is settled from the committed offset on, in order, also what did not arrive yet. A run begins with the
    /// committed offset itself only where that did not arrive.
    pub(super) fn runs(&self) -> impl Iterator<Item = Range<i64>> {
        self.settled.runs(self.committed)
    }

    /// A record arrived; offsets that were passed over have no record and count as settled.
    pub(super) fn arrive(&mut self, offset: i64) -> Arrived {
        if offset < self.next {
            return Arrived::Before;
        }
        self.skip_to(offset);
        self.next = offset + 1;
        if self.settled.is_set(offset) {
            self.advance();
            Arrived::Settled
        } else {
            Arrived::New
        }
    }

    /// There is no record from the next offset up to `next` (exclusive).
    pub(super) fn skip_to(&mut self, next: i64) {
        if next <= self.next {
            return;
        }
        if self.committed == self.next {
            (self.committed, self.next) = (next, next);
            self.settled.forget_below(next);
        } else {
            self.settled.fill(self.next..next);
            self.next = next;
            self.advance();
        }
    }

    /// Settles an offset that arrived. `false` if it is settled already or never arrived.
    pub(super) fn settle(&mut self, offset: i64) -> bool {
        if offset < self.committed || offset >= self.next || self.settled.is_set(offset) {
            return false;
        }
        self.settled.set(offset);
        if offset == self.committed {
            self.advance();
        }
        true
    }

    /// Everything below an offset is settled, whether it arrived or not; what arrives of it from now on arrived before.
    pub(super) fn settle_below(&mut self, offset: i64) {
        if offset > self.committed {
            self.committed = offset;
            self.next = self.next.max(offset);
            self.advance();
        }
    }

    /// Moves the committed offset over everything settled that arrived, and forgets what is behind it.
    fn advance(&mut self) {
        self.committed = self.settled.first_clear(self.committed).min(self.next);
        self.settled.forget_below(self.committed);
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, iter};

    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn acks_out_of_order_move_the_offset_only_when_the_first_comes() {
        let mut tracker = Tracker::resume(10, &[]);
        for offset in 10..14 {
            assert_eq!(tracker.arrive(offset), Arrived::New);
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
        let mut tracker = Tracker::resume(0, &[]);
        tracker.arrive(0);
        assert!(tracker.settle(0));
        assert!(!tracker.settle(0));
        assert!(!tracker.settle(1));
        assert!(!tracker.settle(-1));
    }

    #[test]
    fn holes_do_not_stop_the_offset() {
        let mut tracker = Tracker::resume(0, &[]);
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

    #[test]
    fn what_was_settled_before_is_passed_over_when_it_arrives() {
        let mut tracker = Tracker::resume(10, &[12..14, 15..16, 300..400]);
        assert_eq!((tracker.next(), tracker.span(), tracker.settled_above()), (10, 0, 0));
        let arrived: Vec<Arrived> = (10..13).map(|offset| tracker.arrive(offset)).collect();
        assert_eq!(arrived, [Arrived::New, Arrived::New, Arrived::Settled]);
        assert_eq!(tracker.arrive(12), Arrived::Before);
        assert_eq!((tracker.span(), tracker.settled_above()), (3, 1));
        assert!(!tracker.settle(12) && !tracker.settle(13) && !tracker.settle(15));
        assert!(tracker.settle(10) && tracker.settle(11));
        assert_eq!((tracker.committed(), tracker.next()), (13, 13));
        assert_eq!(tracker.runs().collect::<Vec<_>>(), [13..14, 15..16, 300..400]);
        assert_eq!(tracker.arrive(13), Arrived::Settled);
        assert_eq!(tracker.committed(), 14);
        tracker.skip_to(350);
        assert_eq!((tracker.committed(), tracker.span()), (350, 0));
        assert!(tracker.runs().eq(iter::once(350..400)));
        assert_eq!(tracker.arrive(1000), Arrived::New);
        assert_eq!((tracker.committed(), tracker.runs().count()), (1000, 0));
    }

    #[test]
    fn what_is_settled_below_an_offset_need_not_have_arrived() {
        let mut tracker = Tracker::resume(10, &[25..26, 26..27]);
        (10..15).for_each(|offset| assert_eq!(tracker.arrive(offset), Arrived::New));
        assert!(tracker.settle(13));
        tracker.settle_below(9);
        tracker.settle_below(13);
        assert_eq!((tracker.committed(), tracker.next(), tracker.span()), (14, 15, 1));
        assert!(!tracker.settle(12) && tracker.settle(14));
        tracker.settle_below(25);
        assert_eq!((tracker.committed(), tracker.next()), (25, 25));
        assert_eq!(tracker.arrive(24), Arrived::Before);
        assert_eq!((tracker.arrive(25), tracker.committed()), (Arrived::Settled, 26));
        tracker.settle_below(i64::MAX);
        assert_eq!((tracker.committed(), tracker.runs().count()), (i64::MAX, 0));
    }

    proptest! {
        /// Against a model: arrivals with holes and acks in any order, some offsets settled before.
        #[test]
        fn committed_is_the_lowest_offset_that_is_not_settled(
            start in 0i64..100,
            before in vec((-20i64..600, 0i64..100), 0..6),
            steps in vec((any::<bool>(), 0i64..200), 1..400),
        ) {
            let before: Vec<_> = before.iter().map(|(at, length)| start + at..start + at + length).collect();
            let mut settled: BTreeSet<i64> = before.iter().cloned().flatten().filter(|at| *at >= start).collect();
            let top = settled.last().map_or(0, |last| last + 1);
            let mut tracker = Tracker::resume(start, &before);
            let mut open = BTreeSet::new();
            let mut next = start;
            for (arrives, number) in steps {
                if arrives {
                    let offset = next + if number < 150 { 0 } else { number - 150 };
                    let is_new = !settled.contains(&offset);
                    prop_assert_eq!(tracker.arrive(offset), if is_new { Arrived::New } else { Arrived::Settled });
                    prop_assert_eq!(tracker.arrive(offset), Arrived::Before);
                    settled.extend(next..offset);
                    if is_new {
                        open.insert(offset);
                    }
                    next = offset + 1;
                } else {
                    let offset = start + number;
                    let was_open = open.remove(&offset);
                    prop_assert_eq!(tracker.settle(offset), was_open);
                    if was_open {
                        settled.insert(offset);
                    }
                }
                let lowest = open.first().copied().unwrap_or(next);
                prop_assert_eq!(tracker.committed(), lowest);
                prop_assert_eq!(tracker.next(), next);
                prop_assert_eq!(tracker.settled_above(), next - lowest - open.len() as i64);
                let runs: Vec<_> = tracker.runs().collect();
                prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert!(runs.into_iter().flatten().eq(settled.range(lowest..).copied()));
                prop_assert!(tracker.settled.words() as i64 <= (next.max(top) - lowest) / 64 + 2);
            }
        }
    }
}
