//! What a store promises, on a local directory.

use futures_util::TryStreamExt as _;

use super::*;

fn store() -> (tempfile::TempDir, Objects) {
    let directory = tempfile::tempdir().expect("a directory");
    let objects = Objects::in_directory(directory.path().join("store")).expect("a store");
    (directory, objects)
}

async fn listed(objects: &Objects, below: &str) -> Vec<String> {
    let listed = objects.list(&ObjectPath::new(below)).await.expect("a list");
    let mut paths: Vec<String> = listed
        .map_ok(|listed| format!("{} {}", listed.path, listed.size))
        .try_collect()
        .await
        .expect("a list");
    paths.sort();
    paths
}

#[tokio::test]
async fn objects_are_put_listed_read_and_deleted() {
    let (_directory, objects) = store();
    let (one, two) = (ObjectPath::new("a").join("b").join("1"), ObjectPath::new("a").join("2"));
    assert_eq!(objects.get(&one, 10).await.expect("read"), None);
    assert!(listed(&objects, "a").await.is_empty());
    objects.put(&one, "first".into()).await.expect("put");
    objects.put(&one, "second".into()).await.expect("put");
    assert_eq!(
        objects.create(&one, "third".into()).await.expect("put"),
        Created::Exists
    );
    assert_eq!(objects.create(&two, "x".into()).await.expect("put"), Created::New);
    assert_eq!(objects.get(&one, 10).await.expect("read"), Some("second".into()));
    assert_eq!(objects.get_range(&one, 1..4).await.expect("read"), Some("eco".into()));
    assert_eq!(listed(&objects, "a").await, ["a/2 1", "a/b/1 6"]);
    assert_eq!(objects.folders(&ObjectPath::new("a")).await.expect("a list"), ["b"]);
    objects.delete(&one).await.expect("deleted");
    objects.delete(&one).await.expect("deleted");
    assert_eq!(objects.get_range(&one, 0..1).await.expect("read"), None);
    assert!(objects.read(&one).await.expect("read").is_none());
}

#[tokio::test]
async fn an_object_that_is_streamed_is_there_whole_or_not_at_all() {
    let (_directory, objects) = store();
    let path = ObjectPath::new("large");
    let piece = Bytes::from(vec![7; 3 << 20]);
    for outcome in ["dropped", "aborted", "finished"] {
        let mut writer = objects.writer(&path).await.expect("a writer");
        for _ in 0..4 {
            writer.write(piece.clone()).await.expect("written");
        }
        assert!(listed(&objects, "large").await.is_empty());
        assert!(objects.get(&path, u64::MAX).await.expect("read").is_none(), "{outcome}");
        match outcome {
            "aborted" => writer.abort().await,
            "finished" => writer.finish().await.expect("finished"),
            _ => drop(writer),
        }
    }
    let pieces = objects.read(&path).await.expect("read").expect("there");
    let pieces: Vec<Bytes> = pieces.try_collect().await.expect("read");
    assert_eq!(pieces.concat(), vec![7; 12 << 20]);
    let error = objects.get(&path, 1_000).await.expect_err("too large");
    assert_eq!(error.reason(), Reason::StoreDamaged);
}

#[tokio::test]
async fn a_directory_that_is_gone_is_no_empty_store() {
    let (directory, objects) = store();
    let path = ObjectPath::new("a");
    objects.put(&path, "x".into()).await.expect("put");
    std::fs::rename(directory.path().join("store"), directory.path().join("away")).expect("moved");
    std::fs::write(directory.path().join("store"), "a file").expect("written");
    for error in [
        objects.put(&path, "y".into()).await.expect_err("put"),
        objects.get(&path, 9).await.expect_err("get"),
        objects.get_range(&path, 0..1).await.expect_err("range"),
        objects.read(&path).await.map(|_| ()).expect_err("read"),
        objects.list(&path).await.map(|_| ()).expect_err("list"),
        objects.folders(&path).await.expect_err("folders"),
        objects.writer(&path).await.map(|_| ()).expect_err("writer"),
    ] {
        assert_eq!(error.reason(), Reason::StoreUnavailable, "{error}");
        assert!(error.retry_delay().is_some());
    }
}

#[tokio::test]
async fn all_below_a_path_is_deleted_and_what_was_not_finished_too() {
    let (directory, objects) = store();
    let below = ObjectPath::new("a").join("b");
    objects.put(&below.join("1"), "x".into()).await.expect("put");
    objects
        .put(&ObjectPath::new("a").join("c"), "x".into())
        .await
        .expect("put");
    std::fs::write(directory.path().join("store/a/b/2#1"), "half").expect("written");
    for _ in 0..2 {
        objects.delete_all(&below).await.expect("deleted");
        assert_eq!(listed(&objects, "a").await, ["a/c 1"]);
        assert!(!directory.path().join("store/a/b").exists());
    }
}

#[test]
fn what_a_crash_left_is_removed_when_it_is_old() {
    let directory = tempfile::tempdir().expect("a directory");
    let nested = directory.path().join("a/b");
    std::fs::create_dir_all(&nested).expect("made");
    for (name, hours) in [("old#1", 48), ("new#1", 1), ("whole", 48), ("odd#x", 48)] {
        let file = std::fs::File::create(nested.join(name)).expect("made");
        let modified = std::time::SystemTime::now() - Duration::from_secs(hours * 3_600);
        file.set_modified(modified).expect("set");
    }
    Objects::in_directory(directory.path().to_owned()).expect("a store");
    let mut left: Vec<_> = std::fs::read_dir(&nested)
        .expect("there")
        .map(|file| file.expect("a file").file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["new#1", "odd#x", "whole"]);
}

#[test]
fn what_is_no_store_is_refused_with_its_key() {
    let open = |url: &str, options: &[(&str, &str)]| {
        let options = options
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        Objects::open(&Options {
            url: url.to_owned(),
            options: options.collect(),
        })
    };
    for (url, options, field, rule) in [
        ("orders", &[][..], "snapshots.store", "URL"),
        ("ftp://host/path", &[], "snapshots.store", "URL"),
        ("https://host/path", &[], "snapshots.store", "begins with"),
        ("memory:///", &[], "snapshots.store", "begins with"),
        ("file://host/path", &[], "snapshots.store", "URL"),
        ("s3://user:word@bucket/path", &[], "snapshots.store", "credentials"),
        ("az://container/path?sig=x", &[], "snapshots.store", "credentials"),
        ("az://container/path", &[], "snapshots.store", "cannot be used"),
        (
            "s3://bucket",
            &[("region", "x"), ("regoin", "y")],
            "snapshots.options.regoin",
            "option",
        ),
        ("file:///path", &[("region", "x")], "snapshots.options.region", "option"),
    ] {
        let error = open(url, options).expect_err(url);
        let fault = &error.field_faults()[0];
        assert_eq!(fault.field, field, "{url}: {fault}");
        assert!(fault.rule.contains(rule), "{url}: {fault}");
    }
    let secret = open(
        "s3://bucket/a/b",
        &[
            ("aws_region", "r"),
            ("access_key_id", "id"),
            ("secret_access_key", "hidden"),
        ],
    )
    .expect("a store");
    assert!(!format!("{secret:?} {secret}").contains("hidden"));
}
