//! Streams that break while they have events.

use super::*;

/// It may be the event that breaks them.
#[tokio::test]
async fn an_event_that_two_streams_broke_over_is_sent_alone() {
    let server = with_one_partition("").await;
    server
        .publish((0..5).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    for attempt in 1..=2 {
        let mut broken = server.subscribe(open("group")).await;
        let got = broken.deliveries(5).await;
        assert!(
            got.iter()
                .all(|delivery| delivery.attempt == attempt && delivery.failures == 0)
        );
        drop(broken);
    }
    let mut stream = server.subscribe(open("group")).await;
    for n in 0..5 {
        let alone = stream.deliveries(1).await;
        assert_eq!((ids(&alone), alone[0].attempt), (vec![n.to_string()], 3));
        stream.ack(&alone);
    }
}

#[tokio::test]
async fn closing_counts_as_no_break() {
    let server = with_one_partition("").await;
    server
        .publish((0..5).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    for _ in 0..3 {
        let mut stream = server.subscribe(open("group")).await;
        stream.deliveries(5).await;
        stream.close().await;
    }
    let mut stream = server.subscribe(open("group")).await;
    assert_eq!(stream.deliveries(5).await.len(), 5, "together");
}
