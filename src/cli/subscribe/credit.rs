//! How much credit to give, so that the server always has some and never sends beyond `--max`.

use crate::proto::tidings::v1::Credit;

const BYTES: i64 = 16 << 20;

/// Credit in events that the server may hold, left or outstanding.
#[derive(Debug)]
pub(super) struct Ledger {
    window: i64,
    held: i64,
}

impl Ledger {
    pub(super) fn new(window: i64) -> Self {
        Self { window, held: 0 }
    }

    /// The first grant. `remaining`: events until the end.
    pub(super) fn open(&mut self, remaining: Option<u64>) -> Credit {
        Credit {
            events: self.top_up(remaining),
            bytes: BYTES,
        }
    }

    /// After so many events of so many bytes were settled; `None` if nothing is to be said.
    pub(super) fn settled(&mut self, events: i64, bytes: i64, remaining: Option<u64>) -> Option<Credit> {
        self.held -= events;
        let events = self.top_up(remaining);
        (events > 0 || bytes > 0).then_some(Credit { events, bytes })
    }

    fn top_up(&mut self, remaining: Option<u64>) -> i64 {
        let remaining = remaining.map_or(i64::MAX, |count| i64::try_from(count).unwrap_or(i64::MAX));
        let grant = (self.window.min(remaining) - self.held).max(0);
        self.held += grant;
        grant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_granted_than_remains() {
        let mut ledger = Ledger::new(10);
        assert_eq!(ledger.open(Some(12)).events, 10);
        // 4 settled and counted: 8 remain, 6 are held.
        assert_eq!(ledger.settled(4, 0, Some(8)).map(|credit| credit.events), Some(2));
        // 3 settled of which none counts (they will come again).
        assert_eq!(ledger.settled(3, 0, Some(8)).map(|credit| credit.events), Some(3));
        assert_eq!(ledger.settled(8, 0, Some(0)), None);
    }

    #[test]
    fn without_an_end_the_window_is_kept_full() {
        let mut ledger = Ledger::new(10);
        assert_eq!(ledger.open(None).events, 10);
        assert_eq!(ledger.settled(10, 99, None), Some(Credit { events: 10, bytes: 99 }));
    }
}
