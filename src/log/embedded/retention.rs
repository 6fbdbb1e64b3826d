//! Retention: whole segments that are too old, or more than a partition keeps, are forgotten and their files removed at once.
//!
//! The new start is written to the journal first; then the files go. A file that a crash leaves behind goes at the next start.

use std::sync::Arc;

use super::{
    fault,
    partition::{Inner, Partition},
    sheet::Segment,
    state::{Op, TopicState},
    writer::Writer,
};
use crate::error::Result;

impl Writer {
    /// Deletes what retention says at this time, in milliseconds since 1970. Says how many bytes came free.
    pub(crate) fn retain(&mut self, now: i64) -> Result<u64> {
        let mut cuts = Vec::new();
        for partition in self.shared.partitions() {
            let Some(topic) = self.retained_topic(&partition) else {
                continue;
            };
            // So that what is old enough lies in a segment.
            if !self.flush(&partition) {
                return self.ready().map(|()| 0);
            }
            let count = surplus(&partition.lock(), &topic, now);
            if count > 0 {
                cuts.push((partition, count));
            }
        }
        self.cut(&cuts)
    }

    fn retained_topic(&self, partition: &Partition) -> Option<TopicState> {
        let topic = self
            .shared
            .read_state(|state| state.topics.get(&partition.topic).cloned())?;
        let is_limited = topic.retention_ms.is_some() || topic.retention_bytes.is_some();
        (is_limited && !topic.compact).then_some(topic)
    }

    fn cut(&mut self, cuts: &[(Arc<Partition>, usize)]) -> Result<u64> {
        if cuts.is_empty() {
            return Ok(0);
        }
        let op = |(partition, count): &(Arc<Partition>, usize)| Op::Trim {
            id: partition.topic,
            partition: partition.number,
            start: start_after(&partition.lock(), *count),
        };
        let ops = cuts.iter().map(op).collect();
        self.write(&[], ops).map_err(|unsure| fault::again(&unsure.error))?;
        Ok(cuts
            .iter()
            .map(|(partition, count)| self.remove_segments(partition, *count))
            .sum())
    }

    fn remove_segments(&mut self, partition: &Partition, count: usize) -> u64 {
        let removed: Vec<Segment> = {
            let mut inner = partition.lock();
            inner.start = start_after(&inner, count);
            if count == inner.segments.len() {
                inner.index.clear();
            }
            inner.segments.drain(..count).collect()
        };
        for segment in &removed {
            let name = segment.name(partition.topic, partition.number);
            self.segments.dirty.remove(&name);
            for path in [self.shared.layout.segment(name), self.shared.layout.index(name)] {
                // An index may be missing; what cannot be removed goes at the next start.
                let _ = self.shared.files.remove(&path);
            }
        }
        let end = removed.last().map_or(0, |segment| segment.end);
        let (topic, number) = (partition.topic, partition.number);
        self.shared
            .handles
            .forget(|name| name.topic == topic && name.partition == number && name.base < end);
        removed.iter().map(|segment| segment.len).sum()
    }
}

/// How many of the oldest segments may go.
fn surplus(inner: &Inner, topic: &TopicState, now: i64) -> usize {
    let oldest = topic
        .retention_ms
        .map(|age| now.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX)));
    let too_old = oldest.map_or(0, |oldest| {
        let young = inner.segments.iter().position(|segment| segment.last_time >= oldest);
        young.unwrap_or(inner.segments.len())
    });
    let mut bytes: u64 = inner.segments.iter().map(|segment| segment.len).sum();
    let mut too_many = 0;
    for segment in &inner.segments {
        bytes -= segment.len;
        if topic.retention_bytes.is_none_or(|keep| bytes < keep) {
            break;
        }
        too_many += 1;
    }
    too_old.max(too_many)
}

/// Where the partition starts without its first segments.
fn start_after(inner: &Inner, count: usize) -> i64 {
    match inner.segments.get(count) {
        Some(segment) => segment.base,
        None => inner.segments.last().map_or(inner.start, |segment| segment.end),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::log::{Cleanup, TopicSettings};

    fn partition(lens: &[u64]) -> Inner {
        let segment = |(n, len): (usize, &u64)| Segment {
            base: n as i64 * 10,
            generation: 0,
            len: *len,
            end: n as i64 * 10 + 10,
            first_time: n as i64 * 100,
            last_time: n as i64 * 100 + 99,
            indexed: 0,
            index_place: 0,
        };
        Inner {
            segments: lens.iter().enumerate().map(segment).collect(),
            ..Inner::default()
        }
    }

    fn topic(retention_ms: Option<u64>, retention_bytes: Option<u64>) -> TopicState {
        let settings = TopicSettings {
            partitions: 1,
            retention: None,
            retention_bytes,
            cleanup: Cleanup::Delete,
        };
        TopicState {
            retention_ms,
            ..TopicState::new("t".into(), &settings, 0)
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_enough_and_no_segment_too_many(lens in vec(1..100_u64, 0..20), keep in 0..500_u64) {
            let inner = partition(&lens);
            let cut = surplus(&inner, &topic(None, Some(keep)), 0);
            let kept: u64 = lens[cut..].iter().sum();
            let all: u64 = lens.iter().sum();
            prop_assert!(kept >= keep.min(all));
            prop_assert!(cut == lens.len() || kept - lens[cut] < keep);
        }

        #[test]
        fn only_segments_without_a_young_record_go(count in 0..20_usize, age in 0..3000_u64, now in 0..3000_i64) {
            let inner = partition(&vec![1; count]);
            let cut = surplus(&inner, &topic(Some(age), None), now);
            for (n, segment) in inner.segments.iter().enumerate() {
                prop_assert_eq!(n < cut, segment.last_time < now - age as i64);
            }
        }
    }

    #[test]
    fn a_partition_cut_whole_starts_at_its_end() {
        let inner = partition(&[1, 1]);
        assert_eq!([0, 1, 2].map(|count| start_after(&inner, count)), [0, 10, 20]);
    }
}
