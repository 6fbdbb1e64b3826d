//! Whether a client of librdkafka has lost sight of its cluster for good, so that another must take its place.
//!
//! A cluster whose controller has just lost sight of its brokers answers for a moment that it has none. librdkafka then
//! forgets all it knows, those of `bootstrap.servers` too, and may be left with nobody to ask: it waits for ever, and tells
//! of no error (<https://github.com/confluentinc/librdkafka/issues/5301>; 2.12 has it). Its statistics show it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tokio_util::sync::CancellationToken;

/// How often librdkafka tells its clients' statistics, in milliseconds.
pub(super) const EVERY_MS: &str = "3000";
/// Once may be in the middle of a change of brokers.
const ENOUGH: u32 = 2;

/// Of one client.
#[derive(Clone, Default)]
pub(super) struct Stranded {
    /// How often in a row its statistics told of no broker.
    without_brokers: Arc<AtomicU32>,
    stranded: CancellationToken,
}

impl Stranded {
    /// librdkafka's statistics, as JSON.
    pub(super) fn look(&self, statistics: &[u8]) {
        if knows_a_broker(statistics) {
            return self.without_brokers.store(0, Ordering::Relaxed);
        }
        if self.without_brokers.fetch_add(1, Ordering::Relaxed) + 1 >= ENOUGH && !self.is() {
            tracing::warn!("a client of Kafka does not know a single broker any more; another takes its place");
            self.stranded.cancel();
        }
    }

    pub(super) fn is(&self) -> bool {
        self.stranded.is_cancelled()
    }

    /// Ready once it is.
    pub(super) async fn comes(&self) {
        self.stranded.cancelled().await;
    }
}

/// Each broker has in it where the client has it from; handles of coordinators are no brokers.
fn knows_a_broker(statistics: &[u8]) -> bool {
    let sources: [&[u8]; 2] = [br#""source":"learned""#, br#""source":"configured""#];
    sources
        .into_iter()
        .any(|source| statistics.windows(source.len()).any(|there| there == source))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWS: &[u8] = br#"{ "brokers":{ "a:1/bootstrap": { "name":"a:1/bootstrap", "source":"configured" } } }"#;
    const ALONE: &[u8] =
        br#"{ "brokers":{ "GroupCoordinator": { "source":"logical" } , ":0/internal": { "source":"internal" } } }"#;

    #[test]
    fn a_client_that_twice_knew_no_broker_is_stranded() {
        let client = Stranded::default();
        for statistics in [
            ALONE,
            KNOWS,
            ALONE,
            br#"{ "brokers":{ "b:1/1": { "source":"learned" } } }"#,
            ALONE,
        ] {
            client.look(statistics);
            assert!(!client.is());
        }
        client.look(b"");
        assert!(client.is());
        client.look(KNOWS);
        assert!(client.is(), "whoever owns it may not have seen it yet");
    }
}
