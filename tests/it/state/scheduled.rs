//! Snapshots that are taken by themselves.

use tidings::proto::tidings::v1::Cleanup;

use super::{Store, create_topic, event, list, publish_to, restore, show};
use crate::harness::{
    SOON, Server,
    clients::{ORDERS, order},
    eventually,
};

#[tokio::test]
async fn topics_that_match_get_a_snapshot_when_something_has_come() {
    let store = Store::new();
    let config = store.config("[[snapshots.schedule]]\ntopic = \"**.resource\"\ninterval = \"1s\"");
    let server = Server::start_with(&config).await;
    create_topic(&server, 1, Cleanup::Delete).await;
    publish_to(&server, "other", vec![order("1", "x")]).await;
    for id in 0..3 {
        server.publish(vec![event(id, "created", "a")]).await;
        let count = i64::try_from(id + 1).expect("small");
        let taken = eventually(SOON, "a snapshot of all that came", async || {
            let newest = show(&server, ORDERS).await.ok()?;
            (newest.partitions[0].offset == count).then_some(newest)
        })
        .await;
        assert_eq!(
            (taken.principal.as_str(), taken.reason.as_str()),
            ("schedule", "schedule")
        );
    }
    let topics: Vec<String> = list(&server).await.into_iter().map(|one| one.topic).collect();
    assert!(topics.iter().all(|topic| topic == ORDERS), "{topics:?}");
    assert_eq!(restore(&server).await.last().read_events, 0);
}
