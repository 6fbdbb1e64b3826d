//! A server that dies while it takes a snapshot leaves those that were there, and no half one.

use std::fs;

use tidings::proto::tidings::v1::{Cleanup, CreateSnapshotRequest, SnapshotState};

use super::{Store, client, create_topic, event, list, of_orders, publish_large, restore, snapshot, try_snapshot};
use crate::harness::{SOON, Server, clients::ORDERS, eventually};

#[tokio::test]
async fn a_server_that_is_killed_midway_leaves_the_snapshot_before_and_the_same_call_takes_another() {
    let store = Store::new();
    let server = Server::start_with(&store.config("memory = \"4MiB\"")).await;
    create_topic(&server, 1, Cleanup::Delete).await;
    server.publish(vec![event(900_000, "created", "first")]).await;
    let before = snapshot(&server).await;
    publish_large(&server, 25_000, 1_000).await;
    let request = CreateSnapshotRequest {
        request_id: "killed".to_owned(),
        ..of_orders()
    };
    let mut state = client(&server);
    let taking = tokio::spawn({
        let request = request.clone();
        async move { state.create_snapshot(request).await }
    });
    // Some of its chunks are written.
    let begun = eventually(SOON, "the first chunks", async || {
        let all = fs::read_dir(store.path().join("snapshots").join(ORDERS)).expect("there");
        let of_new = all
            .map(|one| one.expect("a directory").path())
            .find(|path| *path != store.of(&before))?;
        (fs::read_dir(&of_new).ok()?.count() > 1).then_some(of_new)
    })
    .await;
    assert!(!begun.join("manifest").exists(), "it was finished already");
    let server = server.restart().await;
    assert!(taking.await.expect("no panic").is_err());
    // On Kafka the dead one is believed to live for a while.
    let listed = list(&server)
        .await
        .into_iter()
        .filter(|one| one.state() == SnapshotState::Ready);
    let names: Vec<String> = listed.map(|one| one.name).collect();
    assert_eq!(names, std::slice::from_ref(&before.name), "nothing half is ready");
    let restored = restore(&server).await;
    assert_eq!(
        (restored.states.len(), restored.source()),
        (25_001, before.name.as_str())
    );
    let taken = eventually(2 * SOON, "a snapshot", async || {
        try_snapshot(&server, request.clone()).await.ok()
    })
    .await;
    assert_eq!((taken.keys, taken.state()), (25_001, SnapshotState::Ready));
    assert!(!begun.exists() || store.of(&taken) == begun, "what was left is removed");
    assert_eq!(restore(&server).await.source(), taken.name);
}

#[tokio::test]
async fn a_server_that_is_stopped_midway_ends_in_time_and_says_so() {
    let store = Store::new();
    let mut server = Server::start_with(&store.config("memory = \"4MiB\"")).await;
    create_topic(&server, 1, Cleanup::Delete).await;
    publish_large(&server, 25_000, 1_000).await;
    let mut state = client(&server);
    let taking = tokio::spawn(async move { state.create_snapshot(of_orders()).await });
    eventually(SOON, "a snapshot that is being taken", async || {
        (!list(&server).await.is_empty()).then_some(())
    })
    .await;
    assert!(server.stop().await.success());
    assert!(taking.await.expect("no panic").is_err());
    let server = server.restart().await;
    assert!(list(&server).await.is_empty());
    assert_eq!(snapshot(&server).await.keys, 25_000);
}
