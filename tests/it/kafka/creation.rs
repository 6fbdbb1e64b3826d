//! Processes that need the same topic at once.

use futures_util::future::join;
use tidings::log::{Log as _, kafka::KafkaLog};

use crate::{
    harness::{
        backend::{open_kafka, unique_prefix},
        kafka::Broker,
    },
    log::{append, at, read_all, record, settings, soon, topic, values},
};

/// Whoever was second may hear of the topic before the brokers that it asks know it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_that_need_a_topic_at_once_one_makes_it_and_both_write() {
    let broker = Broker::shared().await;
    let prefix = unique_prefix();
    let logs = [
        open_kafka(broker.address(), &prefix).await,
        open_kafka(broker.address(), &prefix).await,
    ];
    for round in 0..20 {
        let name = format!("t{round}");
        let ensured = async |log: &KafkaLog, value: &'static str| {
            let is_made = log.ensure_topic(&topic(&name), settings(1)).await.unwrap();
            append(log, vec![record(&name, value)]).await;
            is_made
        };
        let (one, other) = soon(join(ensured(&logs[0], "one"), ensured(&logs[1], "other"))).await;
        assert!(one != other, "one of them made {name}");
        let mut there = values(&read_all(&*logs[0], &at(&name, 0), 0).await);
        there.sort();
        assert_eq!(there, ["one", "other"]);
    }
}
