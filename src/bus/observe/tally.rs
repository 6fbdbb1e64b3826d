//! What became of a group's events since this server started: whole numbers that only rise.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::bus::{dead_letters::LetterReason, group::Delivery};

/// Counts, shared by all tasks that the group has had.
#[derive(Debug, Default)]
pub struct Tally {
    /// Events that clients were sent.
    pub deliveries: Count,
    /// Those of them that were not the event's first.
    pub redeliveries: Count,
    pub acks: Count,
    /// Nacks that ask for another attempt, and leases that were over.
    pub failures: Count,
    /// Events that streams had when they broke.
    pub abandons: Count,
    dead_letters: [Count; LetterReason::ALL.len()],
}

impl Tally {
    pub fn dead_letters(&self, reason: LetterReason) -> &Count {
        &self.dead_letters[reason as usize]
    }

    /// A client has taken these.
    pub(in crate::bus) fn sent(&self, deliveries: &[Delivery]) {
        let again = deliveries.iter().filter(|delivery| delivery.attempt > 1).count();
        self.deliveries.add(deliveries.len());
        self.redeliveries.add(again);
    }
}

#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(in crate::bus) fn add(&self, more: usize) {
        if more > 0 {
            self.0.fetch_add(more as u64, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_count_of_its_own() {
        let tally = Tally::default();
        for (more, reason) in LetterReason::ALL.into_iter().enumerate() {
            tally.dead_letters(reason).add(more);
        }
        let counts = LetterReason::ALL.map(|reason| tally.dead_letters(reason).get());
        assert_eq!(counts, [0, 1, 2, 3, 4, 5]);
    }
}
