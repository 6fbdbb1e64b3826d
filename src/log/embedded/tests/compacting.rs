//! Compaction: what stays, what goes, and power lost at each of its steps.

use std::{collections::BTreeMap, sync::Arc};

use super::{append, at, disk::Disk, open, read_all, record, settings, text, topic};
use crate::log::{Cleanup, Log, NewRecord, Record, TopicSettings, embedded::EmbeddedLog};

async fn opened(disk: &Disk) -> Arc<EmbeddedLog> {
    let log = open(disk).await.unwrap();
    let compacted = TopicSettings {
        cleanup: Cleanup::Compact,
        ..settings(1)
    };
    log.create_topic(&topic("t"), compacted).await.unwrap();
    log
}

fn keyed(key: usize, value: Option<String>) -> NewRecord {
    let key = Some(format!("key {key}").into());
    NewRecord {
        key,
        value: value.map(Into::into),
        ..record("t", 0, String::new())
    }
}

/// 200 records of 10 keys.
async fn fill(log: &EmbeddedLog, round: usize) {
    for n in 0..200 {
        let value = format!("{round}-{n}-{}", "x".repeat(40));
        append(log, vec![keyed(n % 10, Some(value))])
            .await
            .unwrap()
            .remove(0)
            .unwrap();
    }
}

fn newest(records: &[Record]) -> BTreeMap<Vec<u8>, Option<String>> {
    let entry = |record: &Record| {
        (
            record.key.clone().unwrap().to_vec(),
            record.value.as_ref().map(|_| text(record)),
        )
    };
    records.iter().map(entry).collect()
}

async fn read(log: &EmbeddedLog) -> Vec<Record> {
    read_all(log, &at("t", 0)).await.unwrap()
}

#[tokio::test]
async fn of_each_key_the_newest_record_stays_at_its_offset() {
    let disk = Disk::default();
    let log = opened(&disk).await;
    fill(&log, 0).await;
    let before = read(&log).await;
    assert!(log.compact().await.unwrap() > 10_000);
    let after = read(&log).await;
    assert!(after.len() < 50, "{} records", after.len());
    assert_eq!(newest(&after), newest(&before));
    let by_offset: BTreeMap<i64, String> = before.iter().map(|record| (record.offset, text(record))).collect();
    assert!(after.iter().all(|record| by_offset[&record.offset] == text(record)));
    assert!(after.is_sorted_by(|a, b| a.offset < b.offset));
    assert_eq!(log.bounds(&[at("t", 0)]).await.unwrap()[0].end, 200);
    for round in 1..4 {
        fill(&log, round).await;
        log.compact().await.unwrap();
    }
    let last = read(&log).await;
    assert!(last.len() < 80, "{} records", last.len());
    log.close().await;
    let log = open(&disk.lose_power(&mut fastrand::Rng::with_seed(6))).await.unwrap();
    assert_eq!(
        read(&log).await.iter().map(text).collect::<Vec<_>>(),
        last.iter().map(text).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_null_value_deletes_its_key_and_goes_the_next_time() {
    let disk = Disk::default();
    let log = opened(&disk).await;
    fill(&log, 0).await;
    append(&log, vec![keyed(3, None)]).await.unwrap();
    let others = |n: usize| keyed(n % 3, Some("y".repeat(100)));
    for n in 0..30 {
        append(&log, vec![others(n)]).await.unwrap();
    }
    log.compact().await.unwrap();
    assert_eq!(
        newest(&read(&log).await)[&b"key 3"[..]],
        None,
        "kept once, so that readers see it"
    );
    for n in 0..200 {
        append(&log, vec![others(n)]).await.unwrap();
    }
    log.compact().await.unwrap();
    assert!(!newest(&read(&log).await).contains_key(&b"key 3"[..]));
}

#[tokio::test]
async fn a_reader_goes_on_over_holes_and_while_segments_are_replaced() {
    let disk = Disk::default();
    let log = opened(&disk).await;
    fill(&log, 0).await;
    let mut reader = log.read(&at("t", 0), 0, Some(200));
    let first = futures_util::StreamExt::next(&mut reader).await.unwrap().unwrap();
    assert!(first.next < 200);
    log.compact().await.unwrap();
    let mut next = first.next;
    while let Some(batch) = futures_util::StreamExt::next(&mut reader).await {
        let batch = batch.unwrap();
        assert!(batch.next > next && batch.records.iter().all(|record| record.offset >= next));
        next = batch.next;
    }
    assert_eq!(next, 200);
}

#[tokio::test]
async fn power_lost_at_any_step_of_compaction_loses_no_newest_record() {
    for step in 1.. {
        let disk = Disk::default();
        let log = opened(&disk).await;
        fill(&log, 0).await;
        let before = read(&log).await;
        disk.crash_at(disk.steps() + step);
        let compacted = log.compact().await;
        log.close().await;
        let has_crashed = disk.has_crashed();
        let log = open(&disk.lose_power(&mut fastrand::Rng::with_seed(step as u64)))
            .await
            .unwrap();
        assert_eq!(newest(&read(&log).await), newest(&before), "crash at step {step}");
        log.close().await;
        if !has_crashed {
            assert!(compacted.unwrap() > 0);
            break;
        }
    }
}
