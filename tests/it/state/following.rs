//! Across the border from states to events: no gap, no duplicate, while events are being published.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tidings::proto::tidings::v1::{Cleanup, CreateTopicRequest, RestoreRequest, TopicSettings};

use super::{Store, create_topic, event, ids, orders, publish_to, snapshot, start_restore};
use crate::harness::clients::{order, request};

const KEYS: usize = 7;

#[tokio::test]
async fn states_and_events_join_without_a_gap_or_a_duplicate_while_events_are_published() {
    let store = Store::new();
    let server = store.serve().await;
    create_topic(&server, 3, Cleanup::Delete).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut publisher = server.publisher();
    let publishing = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let some = (count..count + 5).map(|n| event(n, "patched", &format!("k{}", n % KEYS)));
                publisher.publish(request(some)).await.expect("publish");
                count += 5;
            }
            count
        }
    });
    for round in 0..6 {
        let follow = RestoreRequest {
            follow: true,
            ..orders()
        };
        let mut restoring = start_restore(&server, follow).await.expect("restore");
        let restored = restoring.caught_up().await.expect("restore");
        let mut next: BTreeMap<i32, i64> = BTreeMap::new();
        for at in &restored.caught_up.positions {
            next.insert(at.partition, at.offset);
        }
        for state in &restored.states {
            let at = state.position.as_ref().expect("set");
            assert!(
                at.offset < next[&at.partition],
                "round {round}: a state from behind the border"
            );
        }
        for event in restoring.events(200).await {
            let at = event.position.expect("set");
            assert_eq!(
                Some(at.offset),
                next.get(&at.partition).copied(),
                "round {round}: partition {}",
                at.partition
            );
            next.insert(at.partition, at.offset + 1);
        }
        snapshot(&server).await;
    }
    stop.store(true, Ordering::Relaxed);
    let count = publishing.await.expect("published");
    let newest = (count - KEYS..count)
        .map(|n| format!("k{}={n}", n % KEYS))
        .collect::<Vec<_>>();
    assert_eq!(super::restore(&server).await.ids(), ids(&newest.join(" ")));
}

#[tokio::test]
async fn a_restore_that_follows_goes_on_with_topics_that_come_later() {
    let store = Store::new();
    let server = store.serve().await;
    publish_to(&server, "shop.a", vec![order("1", "x")]).await;
    let follow = RestoreRequest {
        topics: vec!["shop.*".to_owned()],
        follow: true,
        ..Default::default()
    };
    let mut restoring = start_restore(&server, follow).await.expect("restore");
    assert_eq!(restoring.caught_up().await.expect("restore").ids(), ids("x=1"));
    let settings = TopicSettings {
        partitions: Some(1),
        ..Default::default()
    };
    let create = CreateTopicRequest {
        name: "shop.b".to_owned(),
        settings: Some(settings),
    };
    server.topics().create_topic(create).await.expect("create");
    publish_to(&server, "shop.b", vec![order("2", "y")]).await;
    let event = restoring.events(1).await.remove(0);
    assert_eq!(event.event.expect("an event").id, "2");
}
