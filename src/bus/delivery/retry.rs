//! The retry policy of a group: how long a failed event waits, and when it is given up.

use std::time::Duration;

use super::{Tries, Why};

/// `0` attempts or abandons = for ever.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    /// The delay before the second attempt.
    pub initial: Duration,
    /// Each further delay is the one before times this; at least 1.
    pub factor: f64,
    /// No delay is longer.
    pub maximum: Duration,
    /// Each delay is spread by up to this share of itself; 0 to 1.
    pub jitter: f64,
    /// Failures after which an event becomes a dead letter.
    pub max_attempts: u32,
    /// Broken streams after which an event becomes a dead letter.
    pub max_abandons: u32,
}

impl RetryPolicy {
    /// How long an event waits after its `failures`th failure; `spread` from 0 to 1 is the luck of the draw.
    pub fn delay(&self, failures: u32, spread: f64) -> Duration {
        if self.initial.is_zero() {
            return Duration::ZERO;
        }
        let times = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.initial.as_secs_f64() * self.factor.powi(times);
        let spread = 1.0 + self.jitter * (2.0 * spread - 1.0);
        let seconds = grown.min(self.maximum.as_secs_f64()) * spread;
        Duration::try_from_secs_f64(seconds).map_or(self.maximum, |delay| delay.min(self.maximum))
    }

    /// Whether an event has failed, or streams broke while they had it, too often.
    pub fn verdict(&self, tries: &Tries) -> Option<Why> {
        if self.max_attempts > 0 && tries.failures >= self.max_attempts {
            Some(Why::Attempts)
        } else if self.max_abandons > 0 && tries.abandons >= self.max_abandons {
            Some(Why::Abandoned)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy {
            initial: Duration::from_secs(1),
            factor: 2.0,
            maximum: Duration::from_secs(60),
            jitter: 0.5,
            max_attempts: 3,
            max_abandons: 0,
        }
    }

    #[test]
    fn delays_double_up_to_the_maximum() {
        let delays = [1, 2, 3, 7, 8, 1_000, u32::MAX].map(|failures| policy().delay(failures, 0.5).as_secs());
        assert_eq!(delays, [1, 2, 4, 60, 60, 60, 60]);
    }

    #[test]
    fn jitter_spreads_a_delay_by_its_share_and_never_over_the_maximum() {
        let delays = [0.0, 0.5, 1.0].map(|spread| policy().delay(2, spread).as_millis());
        assert_eq!(delays, [1_000, 2_000, 3_000]);
        assert_eq!(policy().delay(20, 1.0).as_secs(), 60);
    }

    #[test]
    fn zero_is_for_ever() {
        let tries = |failures, abandons| Tries {
            failures,
            abandons,
            ..Tries::default()
        };
        assert_eq!(policy().verdict(&tries(2, u32::MAX)), None);
        assert_eq!(policy().verdict(&tries(3, 0)), Some(Why::Attempts));
    }

    proptest! {
        #[test]
        fn a_delay_is_never_longer_than_the_maximum(
            initial in 0u64..1 << 40,
            factor in 1.0f64..1e9,
            maximum in 0u64..1 << 40,
            (jitter, spread) in (0.0f64..=1.0, 0.0f64..=1.0),
            failures: u32,
        ) {
            let maximum = Duration::from_millis(maximum);
            let policy = RetryPolicy { initial: Duration::from_millis(initial), factor, maximum, jitter, ..policy() };
            prop_assert!(policy.delay(failures, spread) <= maximum);
        }
    }
}
