//! A log that is opened again has what it had.

use tidings::{
    error::Reason,
    log::{Commit, Log, embedded::EmbeddedLog},
};

use super::{append, at, open, read_all, record, settings, small, topic, values};
use crate::log::{group, reason};

async fn fill(log: &EmbeddedLog, calls: std::ops::Range<usize>) {
    for call in calls {
        let records = (0..20).map(|n| {
            let partition = Some(n % 3);
            tidings::log::NewRecord {
                partition,
                ..record("t", format!("{call}-{n}-{}", "x".repeat(100)))
            }
        });
        append(log, records.collect()).await;
    }
}

async fn all(log: &EmbeddedLog) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for partition in 0..3 {
        let records = read_all(log, &at("t", partition), 0).await;
        assert!(records.iter().enumerate().all(|(n, record)| record.offset == n as i64));
        all.push(values(&records));
    }
    all
}

#[tokio::test]
async fn a_closed_log_has_all_when_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut before = Vec::new();
    for round in 0..5 {
        let log = open(dir.path()).await;
        if round == 0 {
            log.create_topic(&topic("t"), settings(3)).await.unwrap();
        } else {
            assert_eq!(all(&log).await, before);
            let committed = log.committed(&group("g"), &[at("t", 1)]).await.unwrap();
            assert_eq!(committed[0].as_ref().unwrap().offset, round);
        }
        fill(&log, 0..40).await;
        let commit = Commit {
            partition: at("t", 1),
            offset: round + 1,
            note: String::new(),
        };
        log.commit(&group("g"), vec![commit]).await.unwrap();
        before = all(&log).await;
        log.close().await;
    }
}

#[tokio::test]
async fn a_deleted_topic_stays_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).await;
    log.create_topic(&topic("t"), settings(3)).await.unwrap();
    fill(&log, 0..40).await;
    log.delete_topic(&topic("t")).await.unwrap();
    log.create_topic(&topic("t"), settings(3)).await.unwrap();
    append(&*log, vec![record("t", "new")]).await;
    log.close().await;
    let log = open(dir.path()).await;
    assert_eq!(values(&read_all(&*log, &at("t", 0), 0).await), ["new"]);
    assert_eq!(std::fs::read_dir(dir.path().join("topics")).unwrap().count(), 1);
}

#[tokio::test]
async fn a_second_opening_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path()).await;
    let error = EmbeddedLog::open(small(dir.path())).await.err().unwrap();
    assert_eq!(error.reason(), Reason::LogUnavailable);
    assert!(error.text().contains("is open in another process"), "{error}");
    log.close().await;
    open(dir.path()).await;
    assert_eq!(reason(log.topics().await), Reason::LogUnavailable);
}
