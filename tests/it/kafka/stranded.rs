//! A cluster that says for a moment that it has no brokers: librdkafka may forget them all for good, the log must not.

use tidings::log::{Change, Log as _};

use super::members::assigned;
use crate::{
    harness::{
        backend::{open_kafka, unique_prefix},
        kafka::Broker,
    },
    log::{append, at, group, next, record, settings, soon, topic, values},
};

/// Each has a client; about one of ten is left without a broker.
const GROUPS: usize = 30;

/// A broker that comes back after its controller has given it up tells of no brokers until it is taken in again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_without_brokers_for_a_moment_is_found_again() {
    let (broker, prefix) = (Broker::start(&[]).await, unique_prefix());
    let log = open_kafka(broker.address(), &prefix).await;
    soon(log.health().wait_for(Result::is_ok)).await.unwrap();
    log.create_topic(&topic("t"), settings(1)).await.unwrap();
    append(&*log, vec![record("t", "before")]).await;
    let mut reader = log.read(&at("t", 0), 0, None);
    assert_eq!(values(&next(&mut reader).await.unwrap().records), ["before"]);
    let mut members = Vec::new();
    for number in 0..GROUPS {
        let mut member = log.join(&group(&format!("g{number}")), &[topic("t")]).await.unwrap();
        assigned(&mut member, 1).await;
        members.push(member);
    }
    broker.freeze();
    for member in &mut members {
        let change = next(&mut member.changes).await;
        assert!(matches!(change, Change::Lost(_)), "{change:?}");
    }
    broker.thaw();
    for member in &mut members {
        assigned(member, 1).await;
    }
    soon(append(&*log, vec![record("t", "after")])).await;
    assert_eq!(values(&next(&mut reader).await.unwrap().records), ["after"]);
    drop(members);
    soon(log.close()).await;
}
