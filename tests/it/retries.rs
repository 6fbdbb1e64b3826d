//! Events that fail: how long they wait, what they hold up, what is remembered of them, and when they are given up.

pub(crate) mod broken;
mod given_up;
mod leases;
mod left_topics;
mod overflow;
mod sparse;

use std::time::{Duration, Instant};

use tidings::proto::tidings::v1::{
    Ack, Action, CreateTopicRequest, Delivery, GetGroupRequest, Nack, OnConflict, Open, Retry, TopicSettings,
    subscribe_request::Frame as Sent,
};
use tonic::Code;

use crate::harness::{
    Server,
    clients::{ORDERS, Subscription, ids, open, order},
    status::refused,
};

/// A server with the orders in one partition.
pub(crate) async fn with_one_partition(config: &str) -> Server {
    let server = Server::start_with(config).await;
    let settings = TopicSettings {
        partitions: Some(1),
        ..Default::default()
    };
    let request = CreateTopicRequest {
        name: ORDERS.to_owned(),
        settings: Some(settings),
    };
    server.topics().create_topic(request).await.expect("create the topic");
    server
}

pub(crate) fn seconds(seconds: f64) -> Option<prost_types::Duration> {
    prost_types::Duration::try_from(Duration::from_secs_f64(seconds)).ok()
}

/// No jitter to speak of: the same delay each time.
pub(crate) fn every(delay: f64) -> Retry {
    Retry {
        initial: seconds(delay),
        factor: 1.0,
        maximum: seconds(delay),
        jitter: 0.001,
        ..Default::default()
    }
}

fn retrying(retry: Retry) -> Open {
    Open {
        retry: Some(retry),
        ..open("group")
    }
}

pub(crate) fn nack(delivery: &Delivery, delay: Option<prost_types::Duration>) -> Sent {
    Sent::Nack(Nack {
        delivery_ids: vec![delivery.id],
        delay,
        ..Default::default()
    })
}

pub(crate) fn to_dead_letters(delivery: &Delivery, reason: &str) -> Sent {
    Sent::Nack(Nack {
        delivery_ids: vec![delivery.id],
        action: Action::DeadLetter.into(),
        reason: reason.to_owned(),
        ..Default::default()
    })
}

/// Acks, and waits until that is committed.
pub(crate) async fn commit(stream: &mut Subscription, deliveries: &[Delivery]) {
    stream.send(Sent::Ack(Ack {
        delivery_ids: deliveries.iter().map(|delivery| delivery.id).collect(),
        sequence: 1,
        ..Default::default()
    }));
    let result = stream.ack_result().await;
    assert!(result.committed && result.faults.is_empty(), "{result:?}");
}

async fn committed(server: &Server) -> i64 {
    let group = "group".to_owned();
    let group = server.groups().get_group(GetGroupRequest { group }).await;
    let group = group.expect("the group").into_inner().group.expect("a group");
    group.partitions.iter().filter_map(|row| row.committed).sum()
}

#[tokio::test]
async fn a_failed_event_waits_and_holds_up_its_key_and_no_other() {
    let server = with_one_partition("").await;
    let delay = Duration::from_millis(800);
    let mut stream = server.subscribe(retrying(every(delay.as_secs_f64()))).await;
    server
        .publish(vec![
            order("a1", "a"),
            order("a2", "a"),
            order("b1", "b"),
            order("b2", "b"),
        ])
        .await;
    let first = stream.deliveries(2).await;
    assert_eq!(ids(&first), ["a1", "b1"]);
    let nacked = Instant::now();
    stream.send(nack(&first[0], None));
    stream.ack(&first[1..]);
    let other = stream.deliveries(1).await;
    assert_eq!(ids(&other), ["b2"]);
    assert!(nacked.elapsed() < delay, "the other key did not wait");
    let again = stream.deliveries(1).await;
    assert!(nacked.elapsed() >= delay.mul_f64(0.99), "{:?}", nacked.elapsed());
    assert_eq!(ids(&again), ["a1"]);
    assert_eq!((again[0].attempt, again[0].failures), (2, 1));
    stream.ack(&again);
    let next = stream.deliveries(1).await;
    assert_eq!((ids(&next), next[0].attempt), (vec!["a2".to_owned()], 1));
}

#[tokio::test]
async fn delays_grow_by_the_factor_and_a_nacks_own_delay_wins() {
    let server = with_one_partition("").await;
    let growing = Retry {
        initial: seconds(0.2),
        factor: 4.0,
        maximum: seconds(60.0),
        jitter: 0.001,
        ..Default::default()
    };
    let mut stream = server.subscribe(retrying(growing)).await;
    server.publish(vec![order("a1", "a")]).await;
    let mut got = stream.deliveries(1).await;
    for (delay, at_least, at_most) in [(None, 0.19, 2.0), (None, 0.79, 4.0), (seconds(0.0), 0.0, 2.0)] {
        let nacked = Instant::now();
        stream.send(nack(&got[0], delay));
        got = stream.deliveries(1).await;
        let waited = nacked.elapsed().as_secs_f64();
        assert!((at_least..at_most).contains(&waited), "{waited} s");
    }
    assert_eq!((got[0].attempt, got[0].failures), (4, 3));
}

#[tokio::test]
async fn a_groups_policy_is_its_own_or_that_of_the_configuration_for_its_name() {
    let config = "
        [delivery.retry]
        max_attempts = 7
        [[delivery.groups]]
        group = 'billing.**'
        max_attempts = 3
        lease = '30s'
    ";
    let server = Server::start_with(config).await;
    let plain = server.subscribe(open("shipping")).await.opened;
    let billing = server.subscribe(open("billing.invoices")).await.opened;
    let attempts = |retry: Option<Retry>| retry.expect("a policy").max_attempts;
    assert_eq!((attempts(plain.retry), attempts(billing.retry)), (Some(7), Some(3)));
    assert_eq!((plain.lease, billing.lease), (seconds(300.0), seconds(30.0)));
    let own = Retry {
        max_attempts: Some(0),
        ..Default::default()
    };
    let _first = server.subscribe(retrying(own)).await;
    let kept = server.subscribe(open("group")).await.opened.retry.expect("a policy");
    assert_eq!((kept.max_attempts, kept.initial), (Some(0), seconds(1.0)));
    let other = retrying(every(2.0));
    let refusal = refused(
        server.open_refused(other.clone()).await,
        Code::FailedPrecondition,
        "GROUP_CONFLICT",
    );
    assert!(refusal.message().contains("retry"), "{}", refusal.message());
    let replacing = Open {
        on_conflict: OnConflict::Replace.into(),
        ..other
    };
    let replaced = server.subscribe(replacing).await.opened.retry.expect("a policy");
    assert_eq!((replaced.max_attempts, replaced.initial), (Some(0), seconds(2.0)));
}

#[tokio::test]
async fn failures_are_remembered_after_kill_9() {
    let mut server = with_one_partition("").await;
    server
        .publish((0..3).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let mut stream = server.subscribe(retrying(every(0.05))).await;
    let mut got = stream.deliveries(3).await;
    let last = got.pop().expect("three");
    for _ in 0..2 {
        stream.send(nack(&got[0], None));
        let again = stream.deliveries(1).await;
        got[0] = again[0].clone();
    }
    commit(&mut stream, std::slice::from_ref(&last)).await;
    server.kill().await;
    let server = server.restart().await;
    let mut stream = server.subscribe(open("group")).await;
    let again = stream.deliveries(2).await;
    let told = |delivery: &Delivery| (delivery.attempt, delivery.failures);
    assert_eq!(ids(&again), ["0", "1"]);
    assert_eq!((told(&again[0]), told(&again[1])), ((4, 2), (1, 0)));
}
