//! `Tab`: bytes that several streams have and have not settled, against what they may have together.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// What is on it changes wherever one of its streams does; who waits for room looks again.
#[derive(Debug)]
pub struct Tab {
    held: AtomicI64,
    most: AtomicI64,
}

impl Default for Tab {
    fn default() -> Self {
        Self {
            held: AtomicI64::new(0),
            most: AtomicI64::new(i64::MAX),
        }
    }
}

impl Tab {
    pub fn limit(&self, most: i64) {
        self.most.store(most, Ordering::Relaxed);
    }

    pub fn held(&self) -> i64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether one more event may be sent: as with credit, one may be beyond the limit, so that a large one never stalls.
    fn has_room(&self) -> bool {
        self.held() < self.most.load(Ordering::Relaxed)
    }
}

/// What one stream has, and where it counts too. Dropped, it has nothing any more.
#[derive(Debug, Default)]
pub struct Share {
    tabs: Vec<Arc<Tab>>,
    bytes: i64,
}

impl Share {
    pub fn of(tabs: Vec<Arc<Tab>>) -> Self {
        Self { tabs, bytes: 0 }
    }

    pub fn bytes(&self) -> i64 {
        self.bytes
    }

    /// Whether anybody else counts here.
    pub fn is_bounded(&self) -> bool {
        !self.tabs.is_empty()
    }

    pub fn has_room(&self) -> bool {
        self.tabs.iter().all(|tab| tab.has_room())
    }

    pub fn add(&mut self, bytes: i64) {
        self.bytes += bytes;
        for tab in &self.tabs {
            tab.held.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub fn clear(&mut self) {
        self.add(-self.bytes);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_count_together_until_they_are_dropped() {
        let tab = Arc::new(Tab::default());
        tab.limit(100);
        let (mut one, mut other) = (Share::of(vec![Arc::clone(&tab)]), Share::of(vec![Arc::clone(&tab)]));
        one.add(60);
        assert!(other.has_room());
        other.add(70);
        assert!(!one.has_room() && !other.has_room());
        one.add(-20);
        assert_eq!((one.bytes(), tab.held()), (40, 110));
        drop(other);
        assert!(one.has_room());
        one.clear();
        assert_eq!(tab.held(), 0);
        assert!(Share::default().has_room() && !Share::default().is_bounded());
    }
}
