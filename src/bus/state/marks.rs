//! Events that delete all keys of a topic: what they mean in the partition where they lie, and in the others.
//!
//! In its own partition such an event deletes what lies before it. In the others there is no before but the log's clock: it
//! deletes what was appended at an earlier millisecond.

use super::manifest::Mark;
use crate::log::LogTime;

/// The newest of each partition.
pub(super) struct Marks(Vec<Option<Mark>>);

impl Marks {
    pub(super) fn new(partitions: usize) -> Self {
        Self(vec![None; partitions])
    }

    pub(super) fn note(&mut self, partition: i32, mark: Option<Mark>) {
        let known = usize::try_from(partition).ok().and_then(|place| self.0.get_mut(place));
        if let (Some(known), Some(mark)) = (known, mark) {
            let is_newer = known.is_none_or(|known| known.offset < mark.offset);
            *known = if is_newer { Some(mark) } else { *known };
        }
    }

    /// Records of this partition that are older count no more, because of the other partitions.
    pub(super) fn before(&self, partition: i32) -> LogTime {
        let others = self.0.iter().enumerate();
        let others = others.filter(|(place, _)| usize::try_from(partition) != Ok(*place));
        let times = others.filter_map(|(_, mark)| mark.as_ref().map(|mark| mark.time));
        times.max().unwrap_or(LogTime(i64::MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_counts_by_time_in_the_other_partitions() {
        let mut marks = Marks::new(3);
        let mark = |offset, time| {
            Some(Mark {
                offset,
                time: LogTime(time),
            })
        };
        assert_eq!(marks.before(0), LogTime(i64::MIN));
        marks.note(0, mark(5, 50));
        marks.note(0, mark(3, 30));
        marks.note(1, mark(9, 20));
        marks.note(7, mark(9, 99));
        assert_eq!([0, 1, 2].map(|partition| marks.before(partition).0), [20, 50, 50]);
    }
}
