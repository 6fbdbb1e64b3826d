//! `Ration`: how often something is told of each of many, and of all together. What is too much is counted.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

const MINUTE: Duration = Duration::from_secs(60);
/// Of one, and of all, in a minute.
const EACH: u32 = 10;
const ALL: u32 = 100;

/// What was told in this minute.
pub struct Ration {
    since: Instant,
    told: u32,
    /// At most as many as are told.
    each: FxHashMap<String, u32>,
    untold: u64,
}

impl Ration {
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            told: 0,
            each: FxHashMap::default(),
            untold: 0,
        }
    }

    /// Whether this may be told; then, how many were not told since the last one that was.
    pub fn take(&mut self, who: &str, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= MINUTE {
            (self.since, self.told) = (now, 0);
            self.each.clear();
        }
        let is_too_much = self.told >= ALL || self.each.get(who).is_some_and(|told| *told >= EACH);
        if is_too_much {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        *self.each.entry(who.to_owned()).or_default() += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_one_nor_many_tell_too_much_and_what_is_untold_is_counted() {
        let start = Instant::now();
        let mut ration = Ration::new(start);
        let told = |ration: &mut Ration, now| (0..1_000).filter(|_| ration.take("one", now).is_some()).count();
        assert_eq!(told(&mut ration, start), 10);
        assert_eq!(ration.take("other", start), Some(990));
        let many = (0..1_000)
            .filter(|n| ration.take(&n.to_string(), start).is_some())
            .count();
        assert_eq!(many, 89);
        let later = start + MINUTE;
        assert_eq!(ration.take("one", later), Some(911));
        assert_eq!(told(&mut ration, later), 9);
    }
}
