//! Snapshots: taken once whatever happens to the caller, shown while they are taken, listed, retired, deleted.

use std::time::Duration;

use tidings::proto::tidings::v1::{
    Cleanup, CreateSnapshotRequest, DeleteSnapshotRequest, ListSnapshotsRequest, SnapshotState,
};
use tonic::{Code, Request, Status};

use super::{
    Store, client, create_topic, event, ids, list, of_orders, publish_large, publish_to, restore, show, snapshot,
    try_snapshot,
};
use crate::harness::{
    SOON, Server,
    clients::{ORDERS, order},
    eventually,
    status::{refused, resource},
    within,
};

fn request(id: &str) -> CreateSnapshotRequest {
    CreateSnapshotRequest {
        request_id: id.to_owned(),
        ..of_orders()
    }
}

async fn delete(server: &Server, name: &str, request_id: &str) -> Result<(), Status> {
    let request = DeleteSnapshotRequest {
        name: name.to_owned(),
        reason: "no longer needed".to_owned(),
        request_id: request_id.to_owned(),
    };
    within("a deletion", client(server).delete_snapshot(request))
        .await
        .map(|_| ())
}

#[tokio::test]
async fn a_snapshot_says_what_it_holds() {
    let store = Store::new();
    let server = store.serve().await;
    create_topic(&server, 2, Cleanup::Delete).await;
    server
        .publish((0..6).map(|n| event(n, "created", &format!("k{}", n % 3))).collect())
        .await;
    let taken = snapshot(&server).await;
    assert_eq!(
        (taken.state(), taken.topic.as_str(), taken.keys),
        (SnapshotState::Ready, ORDERS, 3)
    );
    assert_eq!(
        (taken.reason.as_str(), taken.principal.as_str(), taken.base.as_str()),
        ("test", "anonymous", "")
    );
    assert_eq!(taken.partitions.iter().map(|held| held.offset).sum::<i64>(), 6);
    assert_eq!(taken.partitions.iter().map(|held| held.keys).sum::<i64>(), 3);
    assert!(taken.bytes > 0 && taken.create_time.is_some() && taken.finish_time.is_some());
    assert_eq!(show(&server, &taken.name).await.expect("there"), taken);
    assert_eq!(show(&server, ORDERS).await.expect("there"), taken);
    // It is the store's, not the server's.
    let server = server.restart().await;
    assert_eq!(show(&server, &taken.name).await.expect("there"), taken);
}

#[tokio::test]
async fn the_same_request_takes_one_snapshot() {
    let store = Store::new();
    let server = store.serve().await;
    create_topic(&server, 1, Cleanup::Delete).await;
    server.publish(vec![event(1, "created", "a")]).await;
    let first = try_snapshot(&server, request("once")).await.expect("taken");
    assert_eq!(try_snapshot(&server, request("once")).await.expect("the same"), first);
    let server = server.restart().await;
    assert_eq!(try_snapshot(&server, request("once")).await.expect("the same"), first);
    let other = try_snapshot(&server, request("again")).await.expect("taken");
    assert_ne!(other.name, first.name);
    assert_eq!(list(&server).await.len(), 2);
}

#[tokio::test]
async fn it_goes_on_where_its_caller_is_gone_and_nobody_takes_another_meanwhile() {
    let store = Store::new();
    let server = Server::start_with(&store.config("memory = \"4MiB\"")).await;
    create_topic(&server, 1, Cleanup::Delete).await;
    publish_large(&server, 25_000, 1_000).await;
    let mut impatient = Request::new(request("long"));
    impatient.set_timeout(Duration::from_millis(300));
    assert!(
        client(&server).create_snapshot(impatient).await.is_err(),
        "it takes longer"
    );
    let active = list(&server).await.remove(0);
    assert_eq!(
        (active.state(), active.finish_time.is_some()),
        (SnapshotState::Creating, false)
    );
    let status = refused(
        try_snapshot(&server, of_orders()).await,
        Code::FailedPrecondition,
        "SNAPSHOT_ACTIVE",
    );
    assert_eq!(resource(&status), active.name);
    refused(
        delete(&server, &active.name, "").await,
        Code::FailedPrecondition,
        "SNAPSHOT_ACTIVE",
    );
    let shown = show(&server, &active.name).await.expect("it is being taken");
    assert_eq!(
        (shown.state(), shown.reason.as_str()),
        (SnapshotState::Creating, "test")
    );
    // How far it is comes with its signs of life.
    eventually(SOON, "progress", async || {
        let shown = show(&server, &active.name).await.expect("there");
        (shown.total_events == 25_000).then_some(())
    })
    .await;
    let taken = try_snapshot(&server, request("long"))
        .await
        .expect("the same call waits for it");
    assert_eq!(
        (taken.state(), taken.name, taken.keys),
        (SnapshotState::Ready, active.name, 25_000)
    );
}

#[tokio::test]
async fn old_snapshots_are_retired_by_count_and_by_age_and_never_the_newest() {
    let store = Store::new();
    let server = Server::start_with(&store.config("keep = 2")).await;
    create_topic(&server, 1, Cleanup::Delete).await;
    let mut names = Vec::new();
    for id in 0..4 {
        server.publish(vec![event(id, "created", "a")]).await;
        names.push(snapshot(&server).await.name);
    }
    names.reverse();
    let listed =
        async |server: &Server| -> Vec<String> { list(server).await.into_iter().map(|one| one.name).collect() };
    eventually(SOON, "two snapshots", async || {
        (listed(&server).await == names[..2]).then_some(())
    })
    .await;
    drop(server);
    let server = Server::start_with(&store.config("max_age = \"1ms\"")).await;
    publish_to(&server, "other", vec![order("1", "a")]).await;
    let other = |id: &str| CreateSnapshotRequest {
        topic: "other".to_owned(),
        request_id: id.to_owned(),
        ..Default::default()
    };
    try_snapshot(&server, other("1")).await.expect("taken");
    let newest = try_snapshot(&server, other("2")).await.expect("taken");
    eventually(SOON, "one snapshot", async || {
        let of_other = listed(&server)
            .await
            .into_iter()
            .filter(|name| name.starts_with("other@"));
        (of_other.collect::<Vec<_>>() == [newest.name.clone()]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_deleted_snapshot_is_gone_and_who_did_it_is_written_down() {
    let store = Store::new();
    let server = store.serve().await;
    create_topic(&server, 1, Cleanup::Delete).await;
    server.publish(vec![event(1, "created", "a")]).await;
    let (older, newer) = (snapshot(&server).await, snapshot(&server).await);
    delete(&server, &newer.name, "once").await.expect("deleted");
    delete(&server, &newer.name, "once").await.expect("the same answer");
    refused(
        delete(&server, &newer.name, "again").await,
        Code::NotFound,
        "SNAPSHOT_NOT_FOUND",
    );
    refused(show(&server, &newer.name).await, Code::NotFound, "SNAPSHOT_NOT_FOUND");
    assert!(!store.of(&newer).exists());
    assert_eq!(show(&server, ORDERS).await.expect("there").name, older.name);
    let restored = restore(&server).await;
    assert_eq!((restored.ids(), restored.source()), (ids("a=1"), older.name.as_str()));
    let acts = server.read_all("tidings.audit").await;
    let acts = acts.iter().filter_map(|read| read.event.as_ref());
    let acts: Vec<_> = acts.filter(|act| !act.r#type.starts_with("tidings.topics.")).collect();
    let [act] = &acts[..] else {
        panic!("not one act: {acts:?}")
    };
    assert_eq!(act.r#type, "tidings.snapshots.deleted");
    let data = format!("{:?}", act.data);
    assert!(data.contains(&newer.name), "{data}");
    // An answer that was given holds where its snapshot is gone.
    let gone = try_snapshot(&server, request("x")).await.expect("taken");
    delete(&server, &gone.name, "").await.expect("deleted");
    refused(
        try_snapshot(&server, request("x")).await,
        Code::NotFound,
        "SNAPSHOT_NOT_FOUND",
    );
}

#[tokio::test]
async fn snapshots_are_listed_by_topic_the_newest_first_page_by_page() {
    let store = Store::new();
    let server = store.serve().await;
    let mut expected = Vec::new();
    for topic in ["a", "b", "c"] {
        publish_to(&server, topic, vec![order("1", "x")]).await;
        let mut names = Vec::new();
        for _ in 0..3 {
            let request = CreateSnapshotRequest {
                topic: topic.to_owned(),
                ..Default::default()
            };
            names.insert(0, try_snapshot(&server, request).await.expect("taken").name);
        }
        expected.extend(names);
    }
    for (topic, size, expected) in [
        ("", 2, &expected[..]),
        ("", 100, &expected[..]),
        ("b", 1, &expected[3..6]),
    ] {
        let mut request = ListSnapshotsRequest {
            topic: topic.to_owned(),
            page_size: size,
            page_token: String::new(),
        };
        let mut names = Vec::new();
        loop {
            let page = client(&server)
                .list_snapshots(request.clone())
                .await
                .expect("a page")
                .into_inner();
            assert!(page.snapshots.len() <= usize::try_from(size).expect("positive"));
            names.extend(page.snapshots.into_iter().map(|snapshot| snapshot.name));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(names, expected, "{topic:?} by {size}");
    }
}
