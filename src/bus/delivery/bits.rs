//! A bitmap of offsets, which grows at its end and is forgotten at its beginning.

use std::{collections::VecDeque, iter, ops::Range};

const WORD: i64 = 64;

/// Which offsets from `origin` on are set. Those before it are not to be asked for.
#[derive(Clone, Debug)]
pub(super) struct Bits {
    /// Bit `i` of word `w` stands for the offset `origin + 64 w + i`.
    words: VecDeque<u64>,
    origin: i64,
}

impl Bits {
    pub(super) fn new(origin: i64) -> Self {
        Self {
            words: VecDeque::new(),
            origin,
        }
    }

    pub(super) fn is_set(&self, offset: i64) -> bool {
        let (word, bit) = self.place(offset);
        self.words.get(word).is_some_and(|word| word >> bit & 1 == 1)
    }

    pub(super) fn set(&mut self, offset: i64) {
        self.fill(offset..offset.saturating_add(1));
    }

    /// Sets all of a range. It takes memory up to the range's end.
    pub(super) fn fill(&mut self, range: Range<i64>) {
        if range.is_empty() {
            return;
        }
        let (last, _) = self.place(range.end - 1);
        if self.words.len() <= last {
            self.words.resize(last + 1, 0);
        }
        let (first, _) = self.place(range.start);
        for index in first..=last {
            let mask = self.mask(index, &range);
            if let Some(word) = self.words.get_mut(index) {
                *word |= mask;
            }
        }
    }

    /// How many of a range are set.
    pub(super) fn count(&self, range: &Range<i64>) -> i64 {
        let (first, _) = self.place(range.start);
        let words = self.words.iter().enumerate().skip(first);
        words
            .take_while(|(index, _)| self.start_of(*index) < range.end)
            .map(|(index, word)| i64::from((word & self.mask(index, range)).count_ones()))
            .sum()
    }

    /// The first offset from this one on that is not set.
    pub(super) fn first_clear(&self, from: i64) -> i64 {
        self.find(from, u64::MAX).unwrap_or(from.max(self.end()))
    }

    /// What is set from this offset on, in runs as long as can be.
    pub(super) fn runs(&self, mut from: i64) -> impl Iterator<Item = Range<i64>> {
        iter::from_fn(move || {
            let start = self.find(from, 0)?;
            from = self.first_clear(start);
            // The bitmap may reach over the last offset that there can be.
            (start < from).then_some(start..from)
        })
    }

    /// Forgets what lies below this offset.
    pub(super) fn forget_below(&mut self, offset: i64) {
        while offset - self.origin >= WORD && self.words.pop_front().is_some() {
            self.origin += WORD;
        }
        if self.words.is_empty() {
            self.origin = offset;
        }
    }

    /// How many words are kept.
    #[cfg(test)]
    pub(super) fn words(&self) -> usize {
        self.words.len()
    }

    /// The bits from the origin on, eight to a byte, without zeros at the end.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
        bytes
    }

    pub(super) fn from_bytes(origin: i64, bytes: &[u8]) -> Self {
        let word = |chunk: &[u8]| chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        Self {
            words: bytes.chunks(8).map(word).collect(),
            origin,
        }
    }

    /// The first offset from this one on whose bit differs from that of `all`.
    fn find(&self, from: i64, all: u64) -> Option<i64> {
        let (first, bit) = self.place(from);
        let differ = |index: usize, word: &u64| match index {
            index if index == first => (word ^ all) >> bit << bit,
            _ => word ^ all,
        };
        let mut words = self.words.iter().enumerate().skip(first);
        words.find_map(|(index, word)| {
            let differ = differ(index, word);
            (differ != 0).then(|| self.start_of(index).saturating_add(i64::from(differ.trailing_zeros())))
        })
    }

    /// The bits of a word that a range covers.
    fn mask(&self, index: usize, range: &Range<i64>) -> u64 {
        let start = self.start_of(index);
        let below = |offset: i64| match offset.saturating_sub(start) {
            ..=0 => 0,
            bits @ 1..WORD => (1 << bits) - 1,
            WORD.. => u64::MAX,
        };
        below(range.end) & !below(range.start)
    }

    fn start_of(&self, index: usize) -> i64 {
        let from_origin = i64::try_from(index).unwrap_or(i64::MAX).saturating_mul(WORD);
        self.origin.saturating_add(from_origin)
    }

    fn end(&self) -> i64 {
        self.start_of(self.words.len())
    }

    fn place(&self, offset: i64) -> (usize, u32) {
        let from_origin = offset - self.origin;
        (
            usize::try_from(from_origin / WORD).unwrap_or(usize::MAX),
            u32::try_from(from_origin % WORD).unwrap_or(0),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        /// Against a set of offsets.
        #[test]
        fn a_bitmap_is_a_set_of_offsets(
            origin in -100i64..100,
            fills in vec((0i64..400, 0i64..150), 0..12),
            from in 0i64..600,
            length in 0i64..300,
        ) {
            let mut bits = Bits::new(origin);
            let mut set = BTreeSet::new();
            for (start, length) in fills {
                let range = origin + start..origin + start + length;
                bits.fill(range.clone());
                set.extend(range);
            }
            let from = origin + from;
            let range = from..from + length;
            prop_assert_eq!(bits.count(&range), set.range(range).count() as i64);
            prop_assert_eq!(bits.is_set(from), set.contains(&from));
            prop_assert_eq!(bits.first_clear(from), (from..).find(|offset| !set.contains(offset)).unwrap_or(0));
            let runs: Vec<_> = bits.runs(from).collect();
            prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
            let above: Vec<i64> = set.range(from..).copied().collect();
            prop_assert_eq!(runs.into_iter().flatten().collect::<Vec<_>>(), above.clone());

            let same = Bits::from_bytes(origin, &bits.to_bytes());
            prop_assert_eq!(same.runs(origin).flatten().collect::<Vec<_>>(), set.into_iter().collect::<Vec<_>>());
            bits.forget_below(from);
            prop_assert_eq!(bits.runs(from).flatten().collect::<Vec<_>>(), above);
        }
    }
}
