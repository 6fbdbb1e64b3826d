//! Where a group stands in a partition, exactly: what is settled; and where it stands once a reset is taken back. Pure.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Everything below `offset` is settled, and these runs above it, in order and apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<i64>", from = "Vec<i64>")]
pub(in crate::bus) struct Standing {
    pub(in crate::bus) offset: i64,
    pub(in crate::bus) settled: Vec<Range<i64>>,
}

impl Standing {
    /// Of runs in any order, which may overlap.
    pub(in crate::bus) fn new(offset: i64, runs: impl IntoIterator<Item = Range<i64>>) -> Self {
        let mut runs: Vec<Range<i64>> = runs.into_iter().filter(|run| run.end > run.start.max(offset)).collect();
        runs.sort_by_key(|run| run.start);
        let mut standing = Self {
            offset,
            settled: Vec::new(),
        };
        for run in runs {
            if standing.settled.is_empty() && run.start <= standing.offset {
                standing.offset = standing.offset.max(run.end);
                continue;
            }
            match standing.settled.last_mut() {
                Some(last) if run.start <= last.end => last.end = last.end.max(run.end),
                _ => standing.settled.push(run),
            }
        }
        standing
    }

    /// Whether all is settled here that is settled there.
    pub(in crate::bus) fn covers(&self, other: &Self) -> bool {
        let has = |run: &Range<i64>| {
            let at = self.settled.partition_point(|own| own.end < run.end);
            run.end <= self.offset
                || self
                    .settled
                    .get(at)
                    .is_some_and(|own| own.start <= run.start.max(self.offset))
        };
        other.offset <= self.offset && other.settled.iter().all(has)
    }

    /// Whether the event at an offset is settled.
    pub(in crate::bus) fn has(&self, offset: i64) -> bool {
        let at = self.settled.partition_point(|run| run.end <= offset);
        offset < self.offset || self.settled.get(at).is_some_and(|run| run.start <= offset)
    }

    /// Behind everything that is settled.
    pub(in crate::bus) fn top(&self) -> i64 {
        self.settled.last().map_or(self.offset, |run| run.end)
    }

    /// Where the group stands again that stood at `self`, was moved to `moved_to`, and stands at `now`: what was settled since
    /// the move stays settled.
    pub(in crate::bus) fn restored(&self, moved_to: i64, now: &Self) -> Self {
        let since = moved_to..now.offset.max(moved_to);
        let above = now.settled.iter().cloned();
        Self::new(self.offset, self.settled.iter().cloned().chain([since]).chain(above))
    }
}

/// As it is stored, as there may be thousands of runs: the offset, then of each run how far it begins behind the one before, and its
/// length.
impl From<Standing> for Vec<i64> {
    fn from(standing: Standing) -> Self {
        let mut numbers = vec![standing.offset];
        let mut at = standing.offset;
        for run in standing.settled {
            numbers.extend([run.start - at, run.end - run.start]);
            at = run.end;
        }
        numbers
    }
}

/// Any numbers give a standing.
impl From<Vec<i64>> for Standing {
    fn from(numbers: Vec<i64>) -> Self {
        let (offset, runs) = numbers
            .split_first()
            .map_or((0, &[][..]), |(offset, runs)| (*offset, runs));
        let mut at = offset;
        let run = |pair: &[i64]| {
            let start = at.saturating_add(pair[0].max(0));
            at = start.saturating_add(pair[1].max(0));
            start..at
        };
        let runs: Vec<Range<i64>> = runs.chunks_exact(2).map(run).collect();
        Self::new(offset, runs)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// With one run above.
    fn at(offset: i64, (start, end): (i64, i64)) -> Standing {
        Standing::new(offset, std::iter::once(start..end))
    }

    #[test]
    fn undoing_a_reset_backwards_puts_the_group_where_it_was() {
        let before = at(100, (110, 120));
        assert_eq!(before.restored(20, &at(60, (70, 71))), before);
        assert_eq!(before.restored(20, &Standing::new(20, [])), before);
    }

    #[test]
    fn what_was_acked_beyond_since_stays_acked() {
        let before = at(100, (110, 120));
        let now = Standing::new(105, [107..109, 300..310]);
        assert_eq!(
            before.restored(20, &now),
            Standing {
                offset: 105,
                settled: vec![107..109, 110..120, 300..310],
            }
        );
    }

    #[test]
    fn undoing_a_skip_sends_what_was_skipped_and_nothing_that_was_acked_behind_it() {
        let before = Standing::new(100, []);
        let restored = before.restored(50_000, &Standing::new(90_000, []));
        assert_eq!(
            restored,
            Standing {
                offset: 100,
                settled: std::iter::once(50_000..90_000).collect(),
            }
        );
        assert_eq!(restored.top(), 90_000);
    }

    fn standing() -> impl Strategy<Value = Standing> {
        let run = (0i64..200, 0i64..30).prop_map(|(start, length)| start..start + length);
        (0i64..100, vec(run, 0..6)).prop_map(|(offset, runs)| Standing::new(offset, runs))
    }

    fn settled(standing: &Standing, from: i64) -> BTreeSet<i64> {
        let above = standing.settled.iter().cloned().flatten();
        (from..standing.offset).chain(above).collect()
    }

    proptest! {
        #[test]
        fn a_standing_is_read_as_it_was_stored_and_any_numbers_give_one(
            standing in standing(), numbers in vec(any::<i64>(), 0..9),
        ) {
            let stored = serde_json::to_string(&standing).expect("numbers");
            prop_assert_eq!(serde_json::from_str::<Standing>(&stored).expect("numbers"), standing);
            let _ = Standing::from(numbers);
        }

        /// Against sets of offsets.
        #[test]
        fn restored_is_what_was_settled_before_and_what_was_settled_since(
            before in standing(), now in standing(), moved_to in 0i64..150,
        ) {
            let now = Standing { offset: now.offset.max(moved_to), ..now };
            let now = Standing::new(now.offset, now.settled);
            let restored = before.restored(moved_to, &now);
            let expected: BTreeSet<i64> = settled(&before, 0).union(&settled(&now, moved_to)).copied().collect();
            prop_assert_eq!(settled(&restored, 0), expected);
            prop_assert!(restored.offset >= before.offset);
            let runs = &restored.settled;
            prop_assert!(runs.first().is_none_or(|run| run.start > restored.offset));
            prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
