//! Memory for reading topics, shared by all who read one: each has a little for sure and takes more while there is some.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is handed out.
const UNIT: usize = 64 << 10;
/// What everybody has for sure, in units.
const FIRST: u32 = 8;

/// All there is. Cloning it is cheap.
#[derive(Clone)]
pub(super) struct Memory(Arc<Semaphore>);

/// What one reader has of it, given back when it is dropped.
pub(super) struct Share {
    memory: Memory,
    permit: OwnedSemaphorePermit,
}

impl Memory {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / UNIT).max(FIRST as usize))))
    }

    /// Waits for what everybody has for sure. Those who have more give it back soon, because they get no more meanwhile.
    pub(super) async fn share(&self) -> Share {
        let permit = Arc::clone(&self.0).acquire_many_owned(FIRST).await;
        Share {
            memory: self.clone(),
            permit: permit.expect("never closed"),
        }
    }
}

impl Share {
    /// Whether so much may be held; takes what is missing, if there is some.
    pub(super) fn has_room_for(&mut self, bytes: usize) -> bool {
        let units = bytes.div_ceil(UNIT);
        let missing = units.saturating_sub(self.permit.num_permits());
        if missing == 0 {
            return true;
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        match Arc::clone(&self.memory.0).try_acquire_many_owned(missing) {
            Ok(more) => {
                self.permit.merge(more);
                true
            }
            Err(_) => false,
        }
    }

    /// Nothing is held any more: all but what is there for sure goes back.
    pub(super) fn give_back(&mut self) {
        let more = self.permit.num_permits().saturating_sub(FIRST as usize);
        drop(self.permit.split(more));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_has_more_gives_it_back_to_who_comes() {
        let memory = Memory::new(16 * UNIT);
        let mut greedy = memory.share().await;
        assert!(greedy.has_room_for(3 * UNIT) && greedy.has_room_for(16 * UNIT));
        assert!(!greedy.has_room_for(16 * UNIT + 1));
        let mut comes = tokio_test(memory.share());
        assert!(comes.is_none());
        greedy.give_back();
        comes = tokio_test(memory.share());
        assert!(comes.is_some() && !greedy.has_room_for(9 * UNIT));
        drop(comes);
        assert!(greedy.has_room_for(16 * UNIT));
    }

    /// What it gives at once.
    fn tokio_test<T>(future: impl Future<Output = T>) -> Option<T> {
        use futures_util::FutureExt as _;
        future.now_or_never()
    }
}
