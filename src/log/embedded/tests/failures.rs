//! Full disks, failed writes and failed syncs.

use std::{io::ErrorKind, sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{
    append, at,
    disk::{Disk, Step},
    open, open_with, read_all, record, settings, small, text, topic,
};
use crate::{
    error::Reason,
    log::{
        Log, LogTime, Outcome, Unwritten,
        embedded::{EmbeddedLog, Fsync, Options},
    },
};

async fn opened(disk: &Disk) -> Arc<EmbeddedLog> {
    let log = open(disk).await.unwrap();
    log.create_topic(&topic("t"), settings(1)).await.unwrap();
    log
}

async fn one(log: &EmbeddedLog, value: &str) -> Outcome {
    append(log, vec![record("t", 0, value.to_owned())])
        .await
        .unwrap()
        .remove(0)
}

fn unwritten(outcome: Outcome) -> (Reason, bool) {
    let Unwritten { may_be_written, error } = outcome.expect_err("it is not written");
    (error.reason(), may_be_written)
}

async fn texts(log: &EmbeddedLog) -> Vec<String> {
    read_all(log, &at("t", 0)).await.unwrap().iter().map(text).collect()
}

async fn until_healthy(log: &EmbeddedLog) {
    let mut health = log.health();
    let healthy = health.wait_for(Result::is_ok);
    tokio::time::timeout(Duration::from_secs(10), healthy)
        .await
        .expect("it recovers")
        .unwrap();
}

/// What is read now is read again after closing, and after power loss.
async fn holds_after_reopening(disk: &Disk, log: &EmbeddedLog) {
    let before = texts(log).await;
    log.close().await;
    let log = open(&disk.lose_power(&mut fastrand::Rng::with_seed(4))).await.unwrap();
    assert_eq!(texts(&log).await, before);
}

#[tokio::test]
async fn a_full_disk_refuses_and_goes_on_when_there_is_space() {
    let disk = Disk::default();
    let log = opened(&disk).await;
    one(&log, "before").await.unwrap();
    for _ in 0..3 {
        disk.set_full(true);
        for _ in 0..3 {
            assert_eq!(unwritten(one(&log, "lost").await), (Reason::LogFull, false));
        }
        disk.set_full(false);
        one(&log, "after").await.unwrap();
    }
    assert_eq!(texts(&log).await, ["before", "after", "after", "after"]);
    holds_after_reopening(&disk, &log).await;
}

#[tokio::test]
async fn a_segment_without_space_loses_nothing_and_holds_up_appends() {
    let disk = Disk::default();
    let log = opened(&disk).await;
    disk.fail(Step::Write, ".segment", ErrorKind::StorageFull, 1_000_000);
    let mut acked = Vec::new();
    loop {
        let value = format!("{}-{}", acked.len(), "x".repeat(200));
        match one(&log, &value).await {
            Ok(_) => acked.push(value),
            refused => {
                assert_eq!(unwritten(refused), (Reason::LogFull, false));
                break;
            }
        }
    }
    assert!(acked.len() > 1 && log.health().borrow().is_err());
    assert_eq!(texts(&log).await, acked);
    disk.mend();
    until_healthy(&log).await;
    one(&log, "after").await.unwrap();
    acked.push("after".into());
    assert_eq!(texts(&log).await, acked);
    holds_after_reopening(&disk, &log).await;
}

#[tokio::test]
async fn a_failed_sync_is_not_retried_and_the_log_recovers() {
    let disk = Disk::default();
    let log = opened(&disk).await;
    let mut kept = Vec::new();
    for round in 0..5 {
        for n in 0..round * 3 {
            one(&log, &format!("{round}-{n}")).await.unwrap();
            kept.push(format!("{round}-{n}"));
        }
        disk.fail(Step::Sync, ".journal", ErrorKind::Other, 1);
        let mut health = log.health();
        health.mark_unchanged();
        assert_eq!(unwritten(one(&log, "doubtful").await), (Reason::LogUnavailable, true));
        assert!(health.has_changed().unwrap(), "health told of it");
        until_healthy(&log).await;
        assert_eq!(texts(&log).await, kept);
        one(&log, "after").await.unwrap();
        kept.push("after".into());
    }
    assert_eq!(texts(&log).await, kept);
    holds_after_reopening(&disk, &log).await;
}

#[tokio::test]
async fn while_it_cannot_recover_the_log_refuses_and_says_why() {
    let disk = Disk::default();
    let log = opened(&disk).await;
    one(&log, "before").await.unwrap();
    disk.fail(Step::Sync, "", ErrorKind::Other, 1_000_000);
    assert_eq!(unwritten(one(&log, "doubtful").await), (Reason::LogUnavailable, true));
    assert_eq!(unwritten(one(&log, "refused").await), (Reason::LogUnavailable, false));
    assert!(log.health().borrow().is_err());
    disk.mend();
    until_healthy(&log).await;
    one(&log, "after").await.unwrap();
    assert_eq!(texts(&log).await, ["before", "after"]);
    holds_after_reopening(&disk, &log).await;
}

#[tokio::test]
async fn a_failed_sync_or_write_of_a_segment_loses_nothing() {
    for (step, name) in [
        (Step::Sync, ".segment"),
        (Step::Write, ".segment"),
        (Step::Rename, "manifest"),
        (Step::SyncDir, "journal"),
    ] {
        let disk = Disk::default();
        let log = opened(&disk).await;
        let mut kept = Vec::new();
        disk.fail(step, name, ErrorKind::Other, 3);
        while kept.len() < 60 {
            let value = format!("{}-{}", kept.len(), "x".repeat(100));
            match one(&log, &value).await {
                Ok(_) => kept.push(value),
                Err(refused) => assert!(!refused.may_be_written, "{step:?}: {}", refused.error),
            }
        }
        assert_eq!(texts(&log).await, kept, "{step:?} {name}");
        holds_after_reopening(&disk, &log).await;
    }
}

#[tokio::test]
async fn callers_at_once_share_fsyncs() {
    let disk = Disk::default();
    let log = opened(&disk).await;
    let before = disk.syncs();
    let calls = (0..64).map(|n| log.append(vec![record("t", 0, n.to_string())]));
    let receipts = join_all(calls).await.into_iter().map(|receipt| receipt.unwrap());
    assert!(join_all(receipts).await.iter().flatten().all(|outcome| outcome.is_ok()));
    assert!(disk.syncs() - before < 64, "{} fsyncs", disk.syncs() - before);
}

#[tokio::test]
async fn with_an_interval_records_are_synced_within_it() {
    let disk = Disk::default();
    let options = Options {
        fsync: Fsync::Interval(Duration::from_millis(5)),
        ..small()
    };
    let log = open_with(&disk, options.clone()).await.unwrap();
    log.create_topic(&topic("t"), settings(1)).await.unwrap();
    let before = disk.syncs();
    one(&log, "soon durable").await.unwrap();
    let synced = async {
        while disk.syncs() == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), synced)
        .await
        .expect("it is synced");
    let left = disk.lose_power(&mut fastrand::Rng::with_seed(5));
    let log = open_with(&left, options).await.unwrap();
    assert_eq!(texts(&log).await, ["soon durable"]);
}

#[tokio::test]
async fn power_lost_at_any_step_of_retention_loses_only_what_is_old() {
    for step in 1.. {
        let disk = Disk::default();
        let log = open(&disk).await.unwrap();
        let limited = crate::log::TopicSettings {
            retention_bytes: Some(2_000),
            ..settings(1)
        };
        log.create_topic(&topic("t"), limited).await.unwrap();
        for n in 0..300 {
            one(&log, &format!("{n}-{}", "x".repeat(200))).await.unwrap();
        }
        disk.crash_at(disk.steps() + step);
        let freed = log.retain(LogTime(0)).await;
        let has_crashed = disk.has_crashed();
        log.close().await;
        let log = open(&disk.lose_power(&mut fastrand::Rng::with_seed(step as u64)))
            .await
            .unwrap();
        let records = read_all(&log, &at("t", 0)).await.unwrap();
        assert!(records.windows(2).all(|pair| pair[0].offset + 1 == pair[1].offset));
        assert_eq!((records.last().unwrap().offset, records.len() >= 8), (299, true));
        if !has_crashed {
            assert!(freed.unwrap() > 30_000 && records[0].offset > 200);
            break;
        }
    }
}
