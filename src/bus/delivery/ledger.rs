//! The credit ledger of one stream: what may still be sent.

/// Credit granted, or left. `bytes: None` = bytes are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    pub events: i64,
    pub bytes: Option<i64>,
}

/// Who gives credit back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CreditMode {
    /// The client, with Credit frames.
    #[default]
    Explicit,
    /// The server, when an event is settled.
    OnSettle,
}

/// An event may be sent while events > 0 and bytes > 0; bytes may fall below zero by one event, so that a large one never
/// stalls. Credit never rises over the maximum.
#[derive(Clone, Debug)]
pub struct Ledger {
    left: Credit,
    max: Credit,
    mode: CreditMode,
}

impl Ledger {
    /// `max.bytes` must be set; it counts only where `opening.bytes` does.
    pub fn new(opening: Credit, max: Credit, mode: CreditMode) -> Self {
        let mut ledger = Self {
            left: Credit {
                events: 0,
                bytes: opening.bytes.map(|_| 0),
            },
            max,
            mode,
        };
        ledger.grant(opening);
        ledger
    }

    pub fn left(&self) -> Credit {
        self.left
    }

    pub fn mode(&self) -> CreditMode {
        self.mode
    }

    pub fn may_send(&self) -> bool {
        self.left.events > 0 && self.left.bytes.is_none_or(|bytes| bytes > 0)
    }

    /// An event of this size was sent.
    pub fn charge(&mut self, size: u32) {
        self.left.events -= 1;
        if let Some(bytes) = &mut self.left.bytes {
            *bytes -= i64::from(size);
        }
    }

    /// More from the client.
    pub fn grant(&mut self, credit: Credit) {
        self.left.events = self.left.events.saturating_add(credit.events).min(self.max.events);
        if let (Some(left), Some(more)) = (&mut self.left.bytes, credit.bytes) {
            *left = left.saturating_add(more).min(self.max.bytes.unwrap_or(i64::MAX));
        }
    }

    /// An event of this size was settled.
    pub fn settled(&mut self, size: u32) {
        if self.mode == CreditMode::OnSettle {
            self.refund(size);
        }
    }

    /// An event of this size was charged and is not sent after all.
    pub fn refund(&mut self, size: u32) {
        self.grant(Credit {
            events: 1,
            bytes: Some(i64::from(size)),
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn credit(events: i64, bytes: i64) -> Credit {
        Credit {
            events,
            bytes: Some(bytes),
        }
    }

    #[test]
    fn a_large_event_is_sent_while_any_byte_is_left_and_then_holds_the_stream() {
        let mut ledger = Ledger::new(credit(10, 1), credit(100, 1000), CreditMode::Explicit);
        assert!(ledger.may_send());
        ledger.charge(500);
        assert!(!ledger.may_send());
        ledger.grant(credit(0, 499));
        assert!(!ledger.may_send());
        ledger.grant(credit(0, 1));
        assert!(ledger.may_send());
        assert_eq!(ledger.left(), credit(9, 1));
    }

    #[test]
    fn without_bytes_only_events_count() {
        let opening = Credit { events: 1, bytes: None };
        let mut ledger = Ledger::new(opening, credit(100, 10), CreditMode::Explicit);
        ledger.charge(u32::MAX);
        assert!(!ledger.may_send());
        ledger.grant(credit(1, 5));
        assert!(ledger.may_send());
        assert_eq!(ledger.left().bytes, None);
    }

    #[test]
    fn grants_are_clamped() {
        let ledger = Ledger::new(credit(i64::MAX, i64::MAX), credit(7, 70), CreditMode::Explicit);
        assert_eq!(ledger.left(), credit(7, 70));
    }

    proptest! {
        #[test]
        fn what_is_sent_never_exceeds_what_was_granted_by_more_than_one_event(
            steps in vec((0u8..3, 0i64..50, 1u32..400), 1..300),
        ) {
            let mut ledger = Ledger::new(credit(0, 0), credit(1_000_000, 1_000_000), CreditMode::Explicit);
            let (mut events, mut bytes, mut largest) = (0i64, 0i64, 0i64);
            for (step, number, size) in steps {
                if step == 0 {
                    ledger.grant(credit(number, number * 10));
                    events += number;
                    bytes += number * 10;
                } else if ledger.may_send() {
                    ledger.charge(size);
                    events -= 1;
                    bytes -= i64::from(size);
                    largest = largest.max(i64::from(size));
                }
                prop_assert_eq!(ledger.left(), credit(events, bytes));
                prop_assert!(events >= 0 && bytes > -largest.max(1));
            }
        }
    }
}
