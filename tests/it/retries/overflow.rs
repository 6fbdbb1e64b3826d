//! Failures that fit into no note: they outlive a crash, and nothing of them is kept longer than it is needed.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use tidings::{
    log::{Log, TopicPartition},
    name::Topic,
    proto::tidings::v1::Credit,
};

use super::*;

const EVENTS: usize = 3_000;

fn many() -> Open {
    Open {
        credit: Some(Credit {
            events: 10_000,
            bytes: 0,
        }),
        ..open("group")
    }
}

/// The sizes of the rows of `tidings.control`, by key; `None` = it was removed.
async fn rows(log: &dyn Log) -> BTreeMap<String, Option<usize>> {
    let control = TopicPartition {
        topic: Topic::new("tidings.control").expect("valid"),
        partition: 0,
    };
    let bounds = log.bounds(std::slice::from_ref(&control)).await.expect("bounds")[0];
    let mut reader = log.read(&control, bounds.start, Some(bounds.end));
    let mut rows = BTreeMap::new();
    while let Some(batch) = reader.next().await {
        for record in batch.expect("a batch").records {
            let key = record.key.expect("a key").to_vec();
            let size = record.value.map(|value| value.len());
            let key = String::from_utf8(key).expect("text");
            if key.starts_with("tries/") {
                rows.insert(key, size);
            }
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_that_fit_into_no_note_outlive_kill_9_and_are_removed_once_they_fit() {
    let key = format!("tries/group/{ORDERS}/0");
    let server = with_one_partition("").await;
    for chunk in (0..EVENTS).collect::<Vec<_>>().chunks(1_000) {
        server
            .publish(chunk.iter().map(|n| order(&n.to_string(), &n.to_string())).collect())
            .await;
    }
    let mut stream = server.subscribe(many()).await;
    let got = stream.deliveries(EVENTS).await;
    let (last, others) = got.split_last().expect("many");
    stream.send(Sent::Nack(Nack {
        delivery_ids: others.iter().map(|delivery| delivery.id).collect(),
        delay: seconds(3_600.0),
        ..Default::default()
    }));
    commit(&mut stream, std::slice::from_ref(last)).await;
    let mut server = server;
    server.kill().await;
    let server = server.restart().await;
    let mut stream = server.subscribe(many()).await;
    let mut again = stream.deliveries(EVENTS - 1).await;
    assert!(
        again
            .iter()
            .all(|delivery| (delivery.attempt, delivery.failures) == (2, 1))
    );
    let few = again.split_off(EVENTS - 100);
    commit(&mut stream, &again).await;
    let kept =
        async |log: std::sync::Arc<dyn Log>| assert_eq!(rows(&*log).await, BTreeMap::from([(key.clone(), None)]));
    stream.close().await;
    let server = server.with_log(kept).await;
    let mut stream = server.subscribe(many()).await;
    let again = stream.deliveries(few.len()).await;
    assert!(
        again.iter().all(|delivery| delivery.failures == 1),
        "those that fit into a note"
    );
    commit(&mut stream, &again).await;
    assert_eq!(committed(&server).await, EVENTS as i64);
}
