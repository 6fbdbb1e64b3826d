//! The pulse: whether this process runs. One that was stopped for about a session may have lost its partitions to others
//! without noticing, and must send nothing more of them.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::Options;

const BEAT: Duration = Duration::from_millis(200);
/// librdkafka's names, and our defaults.
const SESSION: (&str, u64) = ("session.timeout.ms", 6_000);
const HEARTBEAT: (&str, u64) = ("heartbeat.interval.ms", 500);

pub(super) struct Pulse {
    beats: Mutex<Beats>,
    naps: watch::Sender<u64>,
}

impl Pulse {
    pub(super) fn new(options: &Options) -> Self {
        let of = |(name, default)| {
            let set = options.property(name).and_then(|text| text.parse().ok());
            Duration::from_millis(set.unwrap_or(default))
        };
        let beats = Beats::new(of(SESSION), of(HEARTBEAT), Instant::now());
        Self {
            beats: Mutex::new(beats),
            naps: watch::Sender::new(0),
        }
    }

    /// How often the process was stopped for too long, whether or not that was found out yet.
    pub(super) fn naps(&self) -> u64 {
        self.lock().naps(Instant::now())
    }

    /// Ready when there were more naps than these.
    pub(super) async fn nap_after(&self, naps: u64) {
        // The sender is `self`.
        let _ = self.naps.subscribe().wait_for(|now| *now > naps).await;
    }

    /// Beats until `stop`.
    pub(super) async fn run(&self, stop: CancellationToken) {
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = beats.tick() => self.beat(),
            }
        }
    }

    fn beat(&self) {
        let naps = self.lock().beat(Instant::now());
        let is_news = |known: &mut u64| std::mem::replace(known, naps) != naps;
        if self.naps.send_if_modified(is_news) {
            tracing::warn!("this process did not run for about a session; its groups are joined anew");
        }
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, Beats> {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Beats {
    last: Instant,
    /// Without a beat for so long, it was a nap: a session, less the heartbeats that were due.
    longest: Duration,
    naps: u64,
}

impl Beats {
    fn new(session: Duration, heartbeat: Duration, now: Instant) -> Self {
        Self {
            last: now,
            longest: session.saturating_sub(2 * heartbeat).max(session / 2),
            naps: 0,
        }
    }

    fn beat(&mut self, now: Instant) -> u64 {
        self.naps = self.naps(now);
        self.last = now;
        self.naps
    }

    fn naps(&self, now: Instant) -> u64 {
        self.naps + u64::from(now.saturating_duration_since(self.last) >= self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_stopped_for_about_a_session_has_napped() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut beats = Beats::new(Duration::from_secs(6), Duration::from_millis(500), start);
        assert_eq!(beats.beat(at(4)), 0);
        assert_eq!(beats.naps(at(9)), 1, "before anybody found out");
        assert_eq!(beats.beat(at(9)), 1);
        assert_eq!((beats.naps(at(10)), beats.beat(at(11))), (1, 1));
    }
}
