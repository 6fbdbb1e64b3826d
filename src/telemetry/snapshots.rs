//! One look at the bus for all instruments that are read together.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::bus::{Bus, Observed};

/// What is read within so long tells of the same moment. Nobody can have the bus looked at more often.
const TOGETHER: Duration = Duration::from_millis(100);

pub(super) struct Snapshots {
    bus: Bus,
    last: Mutex<Option<(Instant, Arc<Observed>)>>,
}

impl Snapshots {
    pub(super) fn of(bus: Bus) -> Self {
        let last = Mutex::default();
        Self { bus, last }
    }

    /// What the bus has now, or had a moment ago.
    pub(super) fn latest(&self) -> Arc<Observed> {
        // Nothing is left half done here, so a poisoned lock is whole.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((at, observed)) if at.elapsed() < TOGETHER => Arc::clone(observed),
            _ => {
                let observed = Arc::new(self.bus.observe());
                *last = Some((Instant::now(), Arc::clone(&observed)));
                observed
            }
        }
    }
}
