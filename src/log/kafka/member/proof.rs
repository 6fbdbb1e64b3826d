//! The proof that a member is still one, where librdkafka does not notice.
//!
//! With the classic protocol a client that hears nothing from its group says after the session timeout that its partitions
//! are lost. With KIP-848 it says so only once it is connected again, and others may have them by then: here the member asks
//! its coordinator again and again, and counts as put out when there is no answer for nearly a session.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout};

use super::{Seat, client::Client, client::is_kip848, fence::Fence, questions};
use crate::log::kafka::Options;

const PERIOD: Duration = Duration::from_secs(1);
/// Brokers must not give members of KIP-848 a shorter session (`group.consumer.session.timeout.ms`) than 6 s, less the time
/// between two heartbeats.
const DEADLINE: Duration = Duration::from_millis(4500);

pub(super) struct Proof {
    is_needed: bool,
    next: Instant,
    /// When the last question was asked that was answered.
    proven: Instant,
}

impl Proof {
    pub(super) fn new(options: &Options) -> Self {
        let now = Instant::now();
        Self {
            is_needed: is_kip848(options),
            next: now + PERIOD,
            proven: now,
        }
    }

    /// Ready when there was a proof, or none for too long: then `false`. Cancelled, it goes on where it was.
    pub(super) async fn next(&mut self, client: &Arc<Client>, fence: &Fence, seat: &Seat) -> bool {
        if !self.is_needed {
            return std::future::pending().await;
        }
        sleep_until(self.next).await;
        let asked_at = Instant::now();
        let Some(partition) = fence.with(|table| table.any().cloned()) else {
            // Nothing to lose.
            (self.proven, self.next) = (asked_at, asked_at + PERIOD);
            return true;
        };
        let partitions = [partition];
        let answer = timeout(
            self.proven + DEADLINE - asked_at,
            questions::committed_once(seat, client, &partitions),
        );
        let is_proven = matches!(answer.await, Ok(Ok(_)));
        let now = Instant::now();
        self.next = now + PERIOD;
        if is_proven {
            self.proven = asked_at;
        }
        now < self.proven + DEADLINE
    }
}
