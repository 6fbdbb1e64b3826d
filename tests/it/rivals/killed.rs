//! A server that is killed while a stream takes events at full speed.

use std::collections::HashSet;

use super::*;
use crate::{LOG, harness::Backend};

const EVENTS: usize = 40_000;
/// Acked events that may come again: half as many again as a commit has, and what the stream had.
const MOST_AGAIN: usize = 2_000;
const CREDIT: i64 = 500;
const SESSION: Duration = Duration::from_secs(2);
/// Beside the session: a second as promised, and what a machine needs that is busy with other tests.
const LEEWAY: Duration = Duration::from_secs(3);
const CONFIG: &str = "
    [log.kafka.properties]
    'session.timeout.ms' = 2000
    'heartbeat.interval.ms' = 300
";

/// What the client has acked, and how much of that came again.
#[derive(Default)]
struct Acked {
    ids: HashSet<String>,
    again: usize,
}

impl Acked {
    /// Takes and acks until so many are acked.
    async fn take_until(&mut self, stream: &mut Subscription, count: usize) {
        while self.ids.len() < count {
            let got = stream.at_least(1).await;
            stream.ack(&got);
            for id in ids(&got) {
                self.again += usize::from(!self.ids.insert(id));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_at_full_speed_few_acked_events_come_again_and_the_first_comes_soon() {
    let config = match LOG {
        Backend::Embedded => "",
        Backend::Kafka => CONFIG,
    };
    let mut server = with_partitions(4, config).await;
    publish(&server, 0..EVENTS).await;
    let mut acked = Acked::default();
    for round in 1..=3 {
        let mut stream = server.subscribe(having(CREDIT)).await;
        acked.take_until(&mut stream, round * EVENTS / 4).await;
        let (before, had) = (acked.again, acked.ids.len());
        server.kill().await;
        let killed = Instant::now();
        server = server.restart().await;
        let mut stream = server.subscribe(having(CREDIT)).await;
        acked.take_until(&mut stream, had + 1).await;
        let first = killed.elapsed();
        acked.take_until(&mut stream, had + 5_000).await;
        stream.close().await;
        let again = acked.again - before;
        eprintln!("killed: {again} acked events came again, the first new one after {first:?}");
        assert!(again <= MOST_AGAIN, "{again} acked events came again");
        assert!(first < SESSION + LEEWAY, "the first came after {first:?}");
    }
    let mut stream = server.subscribe(having(CREDIT)).await;
    acked.take_until(&mut stream, EVENTS).await;
}
