//! A store that is damaged or away: found, told, and nothing wrong is restored.

use std::{fs, path::Path};

use tidings::proto::tidings::v1::{Cleanup, RestoreRequest, Snapshot, SnapshotState, Start, start::At};
use tonic::Code;

use super::{
    Store, create_topic, event, ids, list, of_orders, orders, publish_large, restore, show, snapshot, try_restore,
    try_snapshot,
};
use crate::{
    LOG,
    harness::{
        Backend, Server,
        status::{has_retry_info, refused},
    },
};

/// A topic with two snapshots and events behind each.
async fn with_two_snapshots(store: &Store) -> (Server, Snapshot, Snapshot) {
    let server = store.serve().await;
    create_topic(&server, 1, Cleanup::Delete).await;
    server
        .publish(vec![event(1, "created", "a"), event(2, "created", "b")])
        .await;
    let older = snapshot(&server).await;
    server
        .publish(vec![
            event(3, "patched", "a"),
            event(4, "deleted", "b"),
            event(5, "created", "c"),
        ])
        .await;
    let newer = snapshot(&server).await;
    server.publish(vec![event(6, "patched", "c")]).await;
    (server, older, newer)
}

fn flip_a_byte(file: &Path) {
    let mut bytes = fs::read(file).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(file, bytes).expect("writable");
}

#[tokio::test]
async fn a_damaged_snapshot_is_passed_over_for_the_one_before_it_and_that_is_told() {
    for (what, damage) in [
        ("a chunk", flip_a_byte as fn(&Path)),
        ("a chunk", |file| fs::remove_file(file).expect("removed")),
        ("a chunk", |file| fs::write(file, "").expect("written")),
        ("the manifest", flip_a_byte),
        ("the manifest", |file| fs::write(file, "").expect("written")),
    ] {
        let store = Store::new();
        let (server, older, newer) = with_two_snapshots(&store).await;
        let file = if what == "a chunk" { "00000-000000" } else { "manifest" };
        damage(&store.of(&newer).join(file));
        let restored = restore(&server).await;
        assert_eq!(restored.ids(), ids("a=3 c=6"), "{what}");
        let source = &restored.last().sources[0];
        let unusable: Vec<&str> = source.unusable.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(unusable, [newer.name.as_str()], "{what}");
        assert!(!source.unusable[0].reason.is_empty());
        let logged = server.logged("a snapshot cannot be used; the one before it is").await;
        assert_eq!(logged["snapshot"], newer.name.as_str());
        if what == "the manifest" {
            assert_eq!(restored.source(), older.name);
            let shown = show(&server, &newer.name).await.expect("told as damaged");
            assert_eq!((shown.state(), shown.error.is_empty()), (SnapshotState::Damaged, false));
            let names: Vec<SnapshotState> = list(&server).await.iter().map(Snapshot::state).collect();
            assert_eq!(names, [SnapshotState::Damaged, SnapshotState::Ready]);
        }
        // The next one stands on what is whole.
        let next = snapshot(&server).await;
        assert_eq!((next.keys, restore(&server).await.ids()), (2, ids("a=3 c=6")));
    }
}

#[tokio::test]
async fn where_no_snapshot_is_whole_the_log_is_read_from_its_start() {
    let store = Store::new();
    let (server, older, newer) = with_two_snapshots(&store).await;
    for snapshot in [&older, &newer] {
        flip_a_byte(&store.of(snapshot).join("00000-000000"));
    }
    let restored = restore(&server).await;
    assert_eq!(restored.ids(), ids("a=3 c=6"));
    assert_eq!(restored.last().sources[0].unusable.len(), 2);
}

#[tokio::test]
async fn damage_that_is_found_midway_repeats_no_key_and_leaves_none_out() {
    let store = Store::new();
    let server = store.serve().await;
    create_topic(&server, 1, Cleanup::Delete).await;
    publish_large(&server, 6_000, 1_000).await;
    let taken = snapshot(&server).await;
    let mut chunks: Vec<_> = fs::read_dir(store.of(&taken))
        .expect("there")
        .map(|file| file.expect("a file").path())
        .collect();
    chunks.sort();
    assert!(chunks.len() > 3, "{chunks:?}");
    flip_a_byte(&chunks[1]);
    let restored = restore(&server).await;
    assert_eq!((restored.ids().len(), restored.states.len()), (6_000, 6_000));
    assert_eq!(restored.last().sources[0].unusable[0].name, taken.name);
    // A snapshot that stands on it is whole all the same.
    assert_eq!(snapshot(&server).await.keys, 6_000);
    let again = restore(&server).await;
    assert_eq!(
        (again.ids(), again.last().sources[0].unusable.len()),
        (restored.ids(), 0)
    );
}

#[tokio::test]
async fn while_the_store_is_away_calls_say_so_and_what_was_there_is_there_again() {
    let store = Store::new();
    let (server, _, newer) = with_two_snapshots(&store).await;
    let away = store.path().with_extension("away");
    fs::rename(store.path(), &away).expect("moved");
    for a_file_is_there in [false, true] {
        if a_file_is_there {
            fs::write(store.path(), "no directory").expect("written");
        }
        let taken = try_snapshot(&server, of_orders()).await;
        let status = refused(taken, Code::Unavailable, "STORE_UNAVAILABLE");
        assert!(has_retry_info(&status), "{status:?}");
        refused(
            try_restore(&server, orders()).await,
            Code::Unavailable,
            "STORE_UNAVAILABLE",
        );
        refused(show(&server, &newer.name).await, Code::Unavailable, "STORE_UNAVAILABLE");
    }
    // Nothing of the store is needed here.
    let since = RestoreRequest {
        since: Some(Start {
            at: Some(At::Earliest(())),
        }),
        ..orders()
    };
    assert_eq!(
        try_restore(&server, since).await.expect("restore").ids(),
        ids("a=3 c=6")
    );
    fs::remove_file(store.path()).expect("removed");
    fs::rename(&away, store.path()).expect("moved");
    let restored = restore(&server).await;
    assert_eq!(
        (restored.ids(), restored.source()),
        (ids("a=3 c=6"), newer.name.as_str())
    );
    assert_eq!(snapshot(&server).await.keys, 2);
}

#[tokio::test]
async fn without_a_store_of_its_own_a_server_on_kafka_takes_no_snapshots_and_restores_from_the_log() {
    let server = Server::start().await;
    create_topic(&server, 1, Cleanup::Delete).await;
    server.publish(vec![event(1, "created", "a")]).await;
    if LOG == Backend::Kafka {
        let status = refused(
            try_snapshot(&server, of_orders()).await,
            Code::FailedPrecondition,
            "STORE_NOT_SET",
        );
        assert!(status.message().contains("snapshots.store"), "{}", status.message());
    } else {
        let taken = snapshot(&server).await;
        let beside = server
            .data()
            .join("snapshots/snapshots")
            .join(taken.name.replace('@', "/"));
        assert!(beside.join("manifest").exists());
    }
    assert_eq!(restore(&server).await.ids(), ids("a=1"));
}
