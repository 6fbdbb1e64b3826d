//! Names and fields that break a rule: refused with the field, and never a way out of the store.

use tidings::proto::tidings::v1::{
    Cleanup, CreateSnapshotRequest, DeleteSnapshotRequest, GetSnapshotRequest, ListSnapshotsRequest,
};
use tonic::Code;

use super::{Store, client, create_topic, event, of_orders, snapshot, try_snapshot};
use crate::harness::{
    Server,
    clients::ORDERS,
    status::{fields, refused},
    tidings, within,
};

#[tokio::test]
async fn names_that_are_none_are_refused_and_reach_no_file() {
    let store = Store::new();
    let server = store.serve().await;
    create_topic(&server, 1, Cleanup::Delete).await;
    server.publish(vec![event(1, "created", "a")]).await;
    let taken = snapshot(&server).await;
    let id = taken.name.split_once('@').expect("a name").1;
    for name in [
        String::new(),
        "..".to_owned(),
        "../../etc/passwd".to_owned(),
        format!("..@{id}"),
        format!("{ORDERS}@../{ORDERS}/{id}"),
        format!("{ORDERS}@{}", id.to_uppercase()),
        format!("{ORDERS}/{id}"),
        format!("{ORDERS}@"),
        "x".repeat(10_000),
    ] {
        let get = GetSnapshotRequest { name: name.clone() };
        let got = client(&server).get_snapshot(get).await;
        assert_eq!(
            fields(&refused(got, Code::InvalidArgument, "REQUEST_INVALID")),
            ["name"],
            "{name}"
        );
        let delete = DeleteSnapshotRequest {
            name: name.clone(),
            reason: "x".to_owned(),
            ..Default::default()
        };
        let deleted = client(&server).delete_snapshot(delete).await;
        assert_eq!(
            fields(&refused(deleted, Code::InvalidArgument, "REQUEST_INVALID")),
            ["name"],
            "{name}"
        );
    }
    assert!(store.of(&taken).join("manifest").exists());
}

#[tokio::test]
async fn fields_that_break_a_rule_are_named() {
    let server = Server::start_with(&Store::new().config("")).await;
    let create = |topic: &str, reason: &str, request_id: &str| CreateSnapshotRequest {
        topic: topic.to_owned(),
        reason: reason.to_owned(),
        request_id: request_id.to_owned(),
    };
    for (request, reason, field) in [
        (create("", "", ""), "TOPIC_INVALID", "topic"),
        (create("a/b", "", ""), "TOPIC_INVALID", "topic"),
        (create("..", "", ""), "TOPIC_INVALID", "topic"),
        (create("a", &"x".repeat(1_001), ""), "REQUEST_INVALID", "reason"),
        (create("a", "", &"x".repeat(129)), "REQUEST_INVALID", "request_id"),
    ] {
        let status = refused(try_snapshot(&server, request).await, Code::InvalidArgument, reason);
        assert_eq!(fields(&status), [field]);
    }
    refused(
        try_snapshot(&server, create("unknown", "", "")).await,
        Code::NotFound,
        "TOPIC_NOT_FOUND",
    );
    let name = format!("a@{}", "0".repeat(32));
    let delete = |name: &str, reason: &str| DeleteSnapshotRequest {
        name: name.to_owned(),
        reason: reason.to_owned(),
        ..Default::default()
    };
    for (request, field) in [(delete(&name, " "), "reason"), (delete("a", "why"), "name")] {
        let deleted = client(&server).delete_snapshot(request).await;
        assert_eq!(
            fields(&refused(deleted, Code::InvalidArgument, "REQUEST_INVALID")),
            [field]
        );
    }
    for (size, token) in [(-1, ""), (0, "!"), (0, "YQ")] {
        let request = ListSnapshotsRequest {
            page_size: size,
            page_token: token.to_owned(),
            ..Default::default()
        };
        let listed = client(&server).list_snapshots(request).await;
        refused(listed, Code::InvalidArgument, "PAGE_INVALID");
    }
}

#[tokio::test]
async fn a_store_that_is_none_is_refused_at_the_start_with_its_key() {
    let directory = tempfile::tempdir().expect("a directory");
    for (config, key) in [
        ("store = \"ftp://host/path\"", "snapshots.store"),
        ("store = \"s3://user:word@bucket\"", "snapshots.store"),
        (
            "store = \"s3://bucket\"\n[snapshots.options]\naws_regoin = \"eu\"",
            "snapshots.options.aws_regoin",
        ),
        ("memory = \"1MiB\"", "snapshots.memory"),
    ] {
        let file = directory.path().join("tidings.toml");
        std::fs::write(&file, format!("[snapshots]\n{config}\n")).expect("written");
        let mut serve = tidings();
        serve
            .arg("serve")
            .arg("--config")
            .arg(&file)
            .arg("--data")
            .arg(directory.path().join("data"));
        serve
            .args(["--listen", "127.0.0.1:0"])
            .env("TIDINGS_SERVER__OPS", "127.0.0.1:0");
        let output = within("a server to give up", serve.output()).await.expect("run it");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(key), "{config}: {text}");
        assert!(!text.contains("word"), "{text}");
    }
}

#[tokio::test]
async fn snapshots_that_are_not_there_are_not_found() {
    let store = Store::new();
    let server = store.serve().await;
    create_topic(&server, 1, Cleanup::Delete).await;
    for name in [
        ORDERS.to_owned(),
        "unknown".to_owned(),
        format!("{ORDERS}@{}", "0".repeat(32)),
    ] {
        let got = client(&server)
            .get_snapshot(GetSnapshotRequest { name: name.clone() })
            .await;
        let status = refused(got, Code::NotFound, "SNAPSHOT_NOT_FOUND");
        assert!(status.message().contains("tidings snapshots"), "{}", status.message());
    }
    assert!(try_snapshot(&server, of_orders()).await.is_ok());
}
