//! What is bounded: what topics keep, and the files that are open.

use std::{fs, path::Path, time::Duration};

use tidings::log::{Log, LogTime, NewRecord, TopicSettings};

use super::{append, at, open, read_all, record, settings, topic};
use crate::log::reason;

fn bytes_in(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            if path.is_dir() {
                bytes_in(&path)
            } else {
                path.metadata().unwrap().len()
            }
        })
        .sum()
}

/// Files of this directory that this process has open, removed ones too.
fn open_files(dir: &Path) -> Vec<String> {
    let links = fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let texts = links.map(|link| link.to_string_lossy().into_owned());
    texts.filter(|link| link.starts_with(dir.to_str().unwrap())).collect()
}

/// A checkpoint in the background may have a file open for the moment.
async fn until_closed(dir: &Path, name: &str) {
    let closed = async {
        while open_files(dir).iter().any(|file| file.contains(name)) {
            tokio::task::yield_now().await;
        }
    };
    crate::log::soon(closed).await;
}

fn kilobyte() -> NewRecord {
    record("t", "x".repeat(1000))
}

#[tokio::test]
async fn retention_by_size_frees_space_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).await;
    let limited = TopicSettings {
        retention_bytes: Some(100_000),
        ..settings(1)
    };
    log.create_topic(&topic("t"), limited).await.unwrap();
    for _ in 0..100 {
        append(&*log, vec![kilobyte(); 10]).await;
    }
    let before = bytes_in(&dir.path().join("topics"));
    let freed = log.retain(LogTime(0)).await.unwrap();
    let after = bytes_in(&dir.path().join("topics"));
    assert!(
        before > 1_000_000 && freed > 850_000 && (100_000..150_000).contains(&after),
        "{freed} {before} {after}"
    );
    until_closed(dir.path(), "(deleted)").await;
    let bounds = log.bounds(&[at("t", 0)]).await.unwrap()[0];
    assert!(bounds.start > 850 && bounds.end == 1000, "{bounds:?}");
    assert_eq!(
        read_all(&*log, &at("t", 0), bounds.start).await.len() as i64,
        1000 - bounds.start
    );
    let gone = crate::log::next(&mut log.read(&at("t", 0), 0, None)).await;
    assert_eq!(reason(gone), tidings::error::Reason::PositionGone);
    log.close().await;
    let log = open(dir.path()).await;
    assert_eq!(log.bounds(&[at("t", 0)]).await.unwrap()[0], bounds);
}

#[tokio::test]
async fn retention_by_age_takes_all_that_is_old_and_offsets_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).await;
    let limited = TopicSettings {
        retention: Some(Duration::from_secs(60)),
        ..settings(1)
    };
    log.create_topic(&topic("t"), limited).await.unwrap();
    append(&*log, vec![kilobyte(); 50]).await;
    let time = read_all(&*log, &at("t", 0), 0).await[49].time.0;
    assert_eq!(log.retain(LogTime(time + 60_000)).await.unwrap(), 0);
    assert!(log.retain(LogTime(time + 60_001)).await.unwrap() > 50_000);
    let bounds = log.bounds(&[at("t", 0)]).await.unwrap()[0];
    assert_eq!((bounds.start, bounds.end), (50, 50));
    assert_eq!(append(&*log, vec![kilobyte()]).await[0].offset, 50);
    log.close().await;
    let log = open(dir.path()).await;
    let records = read_all(&*log, &at("t", 0), 50).await;
    assert_eq!((records.len(), records[0].offset), (1, 50));
}

#[tokio::test]
async fn a_thousand_partitions_need_few_open_files() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).await;
    log.create_topic(&topic("t"), settings(1000)).await.unwrap();
    for _ in 0..3 {
        let records = (0..1000).map(|n| NewRecord {
            partition: Some(n),
            ..record("t", n.to_string())
        });
        append(&*log, records.collect()).await;
        assert!(open_files(dir.path()).len() <= 10, "{:?}", open_files(dir.path()));
    }
    for partition in [0, 1, 500, 999] {
        let records = read_all(&*log, &at("t", partition), 0).await;
        assert_eq!(crate::log::values(&records), vec![partition.to_string(); 3]);
    }
    log.close().await;
    assert!(open_files(dir.path()).is_empty(), "{:?}", open_files(dir.path()));
    open(dir.path()).await;
    assert!(open_files(dir.path()).len() <= 10);
}

#[tokio::test]
async fn a_deleted_topic_frees_its_space_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).await;
    log.create_topic(&topic("t"), settings(1)).await.unwrap();
    append(&*log, vec![kilobyte(); 500]).await;
    log.delete_topic(&topic("t")).await.unwrap();
    assert_eq!(bytes_in(&dir.path().join("topics")), 0);
    until_closed(dir.path(), "/topics/").await;
}
