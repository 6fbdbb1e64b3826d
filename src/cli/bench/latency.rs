//! Latencies in buckets: 32 for each power of two, so that a quantile is off by 3 % at most.

use std::time::Duration;

const PER_POWER: u64 = 32;
const BUCKETS: usize = (PER_POWER * 60) as usize;

/// A histogram of durations; fixed size, however many.
#[derive(Clone)]
pub(super) struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            buckets: vec![0; BUCKETS],
            count: 0,
            max: 0,
        }
    }
}

impl Latencies {
    /// Notes `count` events that took this long.
    pub(super) fn note(&mut self, nanos: u64, count: u64) {
        self.buckets[bucket(nanos)] += count;
        self.count += count;
        self.max = self.max.max(nanos);
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (own, other) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += other;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// The duration that this share took at most; 0 without events.
    pub(super) fn quantile(&self, share: f64) -> Duration {
        let rank = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        let found = self.buckets.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        let nanos = found.map_or(self.max, highest).min(self.max);
        Duration::from_nanos(nanos)
    }
}

/// Small values have a bucket each; then 32 buckets share a power of two.
fn bucket(nanos: u64) -> usize {
    let power = u64::from((nanos / PER_POWER).checked_ilog2().map_or(0, |power| power + 1));
    let within = if power == 0 {
        nanos
    } else {
        (nanos >> (power - 1)) - PER_POWER
    };
    usize::try_from(power * PER_POWER + within)
        .unwrap_or(BUCKETS)
        .min(BUCKETS - 1)
}

/// The highest value of a bucket.
fn highest(bucket: usize) -> u64 {
    let (power, within) = (bucket as u64 / PER_POWER, bucket as u64 % PER_POWER);
    match power {
        0 => within,
        power => ((PER_POWER + within + 1) << (power - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_values() {
        for nanos in (0..10_000).chain([1 << 20, 123_456_789, 9_876_543_210]) {
            let high = highest(bucket(nanos));
            assert!(high >= nanos && high <= nanos + nanos / 32, "{nanos} in {high}");
            assert!(nanos == 0 || highest(bucket(nanos) - 1) < nanos, "{nanos}");
        }
    }

    #[test]
    fn quantiles_are_close() {
        let mut latencies = Latencies::default();
        let mut second = Latencies::default();
        (1..=500).for_each(|n| latencies.note(n * 1_000, 1));
        (501..=1000).for_each(|n| second.note(n * 1_000, 1));
        latencies.add(&second);
        for (share, micros) in [(0.5, 500), (0.99, 990), (1.0, 1000)] {
            let found = latencies.quantile(share).as_nanos() as f64 / 1e3;
            assert!((found / f64::from(micros) - 1.0).abs() < 0.04, "{share}: {found}");
        }
        assert_eq!(Latencies::default().quantile(0.5), Duration::ZERO);
    }
}
