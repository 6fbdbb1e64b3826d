//! `tidings snapshots` and `tidings restore`, for people and for scripts.

use tidings::proto::tidings::v1::Cleanup;

use super::{Store, create_topic, event};
use crate::harness::{Server, clients::ORDERS};

async fn with_orders(store: &Store) -> Server {
    let server = store.serve().await;
    create_topic(&server, 1, Cleanup::Delete).await;
    server
        .publish(vec![
            event(1, "created", "a"),
            event(2, "created", "b"),
            event(3, "patched", "a"),
        ])
        .await;
    server
}

#[tokio::test]
async fn a_snapshot_is_taken_shown_listed_restored_and_deleted() {
    let store = Store::new();
    let server = with_orders(&store).await;
    let taken = server
        .json(["snapshots", "create", ORDERS, "--reason", "why", "--request-id", "r"])
        .await;
    let name = taken[0]["name"].as_str().expect("a name").to_owned();
    assert_eq!(
        (&taken[0]["state"], &taken[0]["keys"]),
        (&"SNAPSHOT_STATE_READY".into(), &"2".into())
    );
    let again = server.json(["snapshots", "create", ORDERS, "--request-id", "r"]).await;
    assert_eq!(again, taken);
    assert_eq!(server.json(["snapshots", "show", ORDERS]).await, taken);
    assert_eq!(server.json(["snapshots", "list"]).await[0]["name"], name.as_str());
    let states = server.json(["restore", ORDERS]).await;
    let mut ids: Vec<&str> = states
        .iter()
        .map(|event| event["id"].as_str().expect("an id"))
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, ["2", "3"]);
    let deleted = server.run(["snapshots", "delete", &name, "--reason", "old"]).await;
    assert!(deleted.status.success());
    assert!(server.json(["snapshots", "list", ORDERS]).await.is_empty());
    let gone = server.run(["snapshots", "show", &name]).await;
    assert_eq!(gone.status.code(), Some(2));
}

#[tokio::test]
async fn people_read_tables_and_what_was_restored_from_where() {
    let store = Store::new();
    let server = with_orders(&store).await;
    let taken = server.run(["snapshots", "create", ORDERS]).await;
    let text = String::from_utf8_lossy(&taken.stdout).into_owned();
    assert!(
        text.contains("keys           2") && text.contains("PARTITION"),
        "{text}"
    );
    let listed = server.run(["snapshots", "list"]).await;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(text.contains("SNAPSHOT") && text.contains("ready"), "{text}");
    server.publish(vec![event(4, "deleted", "b")]).await;
    let restored = server.run(["restore", ORDERS]).await;
    let (text, talk) = (
        String::from_utf8_lossy(&restored.stdout),
        String::from_utf8_lossy(&restored.stderr),
    );
    assert!(
        text.contains("[a]  io.shop.orders.patched") && !text.contains("[b]"),
        "{text}"
    );
    assert!(
        talk.contains("from snapshot") && talk.contains("restored 1 keys; 1 events were read"),
        "{talk}"
    );
    let changed = server.run(["restore", ORDERS, "--since", "earliest"]).await;
    let text = String::from_utf8_lossy(&changed.stdout).into_owned();
    assert!(text.contains("[b]  deleted"), "{text}");
    let scripts = server.json(["restore", ORDERS, "--since", "earliest"]).await;
    assert!(
        scripts
            .iter()
            .any(|line| line["change"] == "deleted" && line["key"] == "b"),
        "{scripts:?}"
    );
}

#[tokio::test]
async fn a_restore_that_is_not_whole_fails_where_that_is_asked_for() {
    let store = Store::new();
    let server = crate::gaps::forgetful_with(&store.config("")).await;
    let (server, _) = crate::gaps::forget(server).await;
    let restored = server.run(["restore", ORDERS, "--output", "json"]).await;
    assert!(restored.status.success());
    let talk = String::from_utf8_lossy(&restored.stderr).into_owned();
    assert!(talk.contains("events are gone"), "{talk}");
    let refused = server.run(["restore", ORDERS, "--whole"]).await;
    assert!(!refused.status.success());
}
