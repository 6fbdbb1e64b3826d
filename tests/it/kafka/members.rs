//! Members of a group on Kafka: two logs in one process stand for two replicas.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use rdkafka::{
    ClientConfig,
    consumer::{Consumer as _, StreamConsumer},
};
use tidings::{
    error::Reason,
    log::{
        Change, Commit, Log, Membership, TopicPartition,
        kafka::{KafkaLog, Options},
    },
};

use tokio::task::spawn_blocking;

use crate::{
    harness::{
        backend::{open_kafka, unique_prefix},
        kafka::{Broker, Version},
    },
    log::{at, group, next, reason, settings, soon, topic},
};

/// A member's session, and what a busy machine takes.
const SESSION: Duration = Duration::from_secs(10);

fn commit(partition: &TopicPartition, offset: i64) -> Vec<Commit> {
    vec![Commit {
        partition: partition.clone(),
        offset,
        note: "n".to_owned(),
    }]
}

/// A replica on the broker, with properties of librdkafka.
async fn replica(broker: &Broker, prefix: &str, properties: &[(&str, &str)]) -> Arc<KafkaLog> {
    let mut options = Options::new(broker.address());
    (options.topic_prefix, options.group_id) = (prefix.to_owned(), format!("{prefix}{{group}}"));
    options.properties = (properties.iter())
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let log = KafkaLog::open(options).await.unwrap();
    let mut health = log.health();
    soon(health.wait_for(Result::is_ok)).await.unwrap();
    log
}

const KIP848: &[(&str, &str)] = &[("group.protocol", "consumer")];
const RANGE: &[(&str, &str)] = &[("partition.assignment.strategy", "range")];

/// What the member is assigned, in turn, until it has so many; it lets go of what is revoked.
pub(super) async fn assigned(membership: &mut Membership, count: usize) -> BTreeSet<TopicPartition> {
    let mut held = BTreeSet::new();
    while held.len() < count {
        match next(&mut membership.changes).await {
            Change::Assigned(assigned) => held.extend(assigned.into_iter().map(|assigned| assigned.partition)),
            Change::Revoked { partitions, .. } => held.retain(|partition| !partitions.contains(partition)),
            other => panic!("{other:?}"),
        }
    }
    held
}

/// Members share, hand over what is released, and take over what a leaving one had, whatever the protocol.
async fn members_share(properties: &[(&str, &str)]) {
    let (broker, prefix) = (Broker::shared().await, unique_prefix());
    let (one, two) = (
        replica(broker, &prefix, properties).await,
        replica(broker, &prefix, properties).await,
    );
    one.create_topic(&topic("t"), settings(4)).await.unwrap();
    let mut first = one.join(&group("g"), &[topic("t")]).await.unwrap();
    assigned(&mut first, 4).await;
    let mut second = two.join(&group("g"), &[topic("t")]).await.unwrap();
    let Change::Revoked { partitions, release } = next(&mut first.changes).await else {
        panic!("not revoked");
    };
    first.member.commit(commit(&partitions[0], 7)).await.unwrap();
    let early = second.member.commit(commit(&partitions[0], 3)).await;
    assert_eq!(reason(early), Reason::GroupInUse);
    drop(release);
    let taken = assigned(&mut second, 2).await;
    let late = first.member.commit(commit(&taken.first().unwrap().clone(), 1)).await;
    assert_eq!(reason(late), Reason::GroupInUse);
    let of_first = two.committed(&group("g"), &partitions[..1]).await.unwrap();
    assert_eq!(of_first[0].as_ref().map(|committed| committed.offset), Some(7));
    drop(first);
    let left = Instant::now();
    let mut has = taken;
    while has.len() < 4 {
        has.extend(assigned(&mut second, 1).await);
    }
    assert!(left.elapsed() < Duration::from_secs(4), "it took {:?}", left.elapsed());
    one.close().await;
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_by_the_eager_protocol() {
    members_share(RANGE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_by_the_protocol_of_kip_848() {
    members_share(KIP848).await;
}

/// What is committed under a lost membership is refused, and the next life goes on where the group stands.
async fn a_session_ends_and_another_begins(properties: &[(&str, &str)]) {
    let (mut broker, prefix) = (Broker::start(&[]).await, unique_prefix());
    let log = replica(&broker, &prefix, properties).await;
    log.create_topic(&topic("t"), settings(2)).await.unwrap();
    let mut member = log.join(&group("g"), &[topic("t")]).await.unwrap();
    assigned(&mut member, 2).await;
    member.member.commit(commit(&at("t", 0), 5)).await.unwrap();
    broker.stop().await;
    let stopped = Instant::now();
    let Change::Lost(lost) = next(&mut member.changes).await else {
        panic!("not lost");
    };
    assert_eq!(lost, [at("t", 0), at("t", 1)]);
    assert!(stopped.elapsed() < SESSION, "it took {:?}", stopped.elapsed());
    assert_eq!(
        reason(member.member.commit(commit(&at("t", 0), 6)).await),
        Reason::GroupInUse
    );
    broker.start_again().await;
    let Change::Assigned(again) = next(&mut member.changes).await else {
        panic!("not assigned");
    };
    assert_eq!(again.len(), 2);
    assert_eq!(again[0].committed.as_ref().map(|committed| committed.offset), Some(5));
    member.member.commit(commit(&at("t", 0), 6)).await.unwrap();
    log.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_for_longer_than_a_session_ends_it() {
    a_session_ends_and_another_begins(&[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_ends_a_membership_of_kip_848() {
    a_session_ends_and_another_begins(KIP848).await;
}

/// The commit is on its way to a broker that does not answer: it ends with the membership, and never counts for the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_on_its_way_ends_with_the_membership() {
    let (broker, prefix) = (Broker::start(&[]).await, unique_prefix());
    let log = replica(&broker, &prefix, &[]).await;
    log.create_topic(&topic("t"), settings(1)).await.unwrap();
    let mut membership = log.join(&group("g"), &[topic("t")]).await.unwrap();
    assigned(&mut membership, 1).await;
    broker.freeze();
    let member = Arc::clone(&membership.member);
    let under_way = tokio::spawn(async move { member.commit(commit(&at("t", 0), 5)).await });
    let change = next(&mut membership.changes).await;
    assert!(matches!(change, Change::Lost(_)), "{change:?}");
    assert_eq!(reason(soon(under_way).await.unwrap()), Reason::LogUnavailable);
    broker.thaw();
    let Change::Assigned(again) = next(&mut membership.changes).await else {
        panic!("not assigned");
    };
    let known = again[0].committed.as_ref().map(|committed| committed.offset);
    assert!(known.is_none() || known == Some(5), "{known:?}");
    membership.member.commit(commit(&at("t", 0), 1)).await.unwrap();
    log.close().await;
    let other = replica(&broker, &prefix, &[]).await;
    let at_the_end = other.committed(&group("g"), &[at("t", 0)]).await.unwrap();
    assert_eq!(at_the_end[0].as_ref().map(|committed| committed.offset), Some(1));
    other.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_and_partitions_that_come_are_taken_up_soon() {
    let (broker, prefix) = (Broker::shared().await, unique_prefix());
    let (one, two) = (replica(broker, &prefix, &[]).await, replica(broker, &prefix, &[]).await);
    let mut member = one.join(&group("g"), &[topic("t"), topic("u")]).await.unwrap();
    two.create_topic(&topic("t"), settings(1)).await.unwrap();
    let created = Instant::now();
    assert_eq!(assigned(&mut member, 1).await, BTreeSet::from([at("t", 0)]));
    assert!(
        created.elapsed() < Duration::from_secs(4),
        "it took {:?}",
        created.elapsed()
    );
    two.alter_topic(&topic("t"), settings(3)).await.unwrap();
    let grown = Instant::now();
    assert_eq!(assigned(&mut member, 2).await, BTreeSet::from([at("t", 1), at("t", 2)]));
    assert!(
        grown.elapsed() < Duration::from_secs(4),
        "it took {:?}",
        grown.elapsed()
    );
}

/// The group goes on at the start of the new topic, even if nobody else noticed that it is another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_created_again_is_another() {
    let (broker, prefix) = (Broker::shared().await, unique_prefix());
    let log = open_kafka(broker.address(), &prefix).await;
    log.create_topic(&topic("t"), settings(1)).await.unwrap();
    let mut member = log.join(&group("g"), &[topic("t")]).await.unwrap();
    assigned(&mut member, 1).await;
    member.member.commit(commit(&at("t", 0), 5)).await.unwrap();
    log.delete_topic(&topic("t")).await.unwrap();
    log.create_topic(&topic("t"), settings(1)).await.unwrap();
    let change = next(&mut member.changes).await;
    assert!(matches!(change, Change::Deleted(_)), "{change:?}");
    let Change::Assigned(again) = next(&mut member.changes).await else {
        panic!("not assigned");
    };
    assert_eq!(again[0].committed, None);
    member.member.commit(commit(&at("t", 0), 1)).await.unwrap();
}

/// Another program's consumer, in the group that the bus would call `g`.
async fn foreign(broker: &Broker, prefix: &str, protocol: &str) -> StreamConsumer {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set("group.id", format!("{prefix}g"))
        .set("group.protocol", protocol)
        .create()
        .unwrap();
    consumer.subscribe(&[&format!("{prefix}t")]).unwrap();
    let has_partitions = async {
        while consumer.assignment().unwrap().count() == 0 {
            let _ = tokio::time::timeout(Duration::from_millis(50), consumer.recv()).await;
        }
    };
    soon(has_partitions).await;
    consumer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_other_consumers_use_is_refused() {
    for (version, protocol) in [
        (Version::Four, "classic"),
        (Version::Three, "classic"),
        (Version::Four, "consumer"),
    ] {
        let (broker, prefix) = (Broker::shared_of(version).await, unique_prefix());
        let log = replica(broker, &prefix, &[]).await;
        log.create_topic(&topic("t"), settings(1)).await.unwrap();
        let other = foreign(broker, &prefix, protocol).await;
        let error = log.join(&group("g"), &[topic("t")]).await.err().expect("it is refused");
        assert_eq!(error.reason(), Reason::GroupInUse);
        assert!(error.text().contains(&format!("group.id {prefix}g ")), "{error}");
        spawn_blocking(move || drop(other)).await.unwrap();
        let mut member = log.join(&group("g"), &[topic("t")]).await.unwrap();
        assigned(&mut member, 1).await;
    }
}

/// The broker says so when the second asks to join.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_of_another_protocol_fails_the_membership() {
    let (broker, prefix) = (Broker::shared().await, unique_prefix());
    let (one, two) = (
        replica(broker, &prefix, &[]).await,
        replica(broker, &prefix, RANGE).await,
    );
    one.create_topic(&topic("t"), settings(1)).await.unwrap();
    let mut first = one.join(&group("g"), &[topic("t")]).await.unwrap();
    assigned(&mut first, 1).await;
    let mut second = two.join(&group("g"), &[topic("t")]).await.unwrap();
    let Change::Failed(error) = next(&mut second.changes).await else {
        panic!("not failed");
    };
    assert_eq!(error.reason(), Reason::GroupInUse);
    assert!(second.changes.next().await.is_none());
    first.member.commit(commit(&at("t", 0), 1)).await.unwrap();
}
