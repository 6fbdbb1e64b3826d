//! Power lost at every step of appending, rolling, checkpointing, creating and deleting topics, retention and recovery.

use std::collections::BTreeMap;

use super::{append, at, disk::Disk, open, read_all, record, settings, text, topic};
use crate::{
    error::Result,
    log::{Commit, Log, embedded::EmbeddedLog},
    name::Group,
};

/// What was promised before the crash.
#[derive(Default)]
struct Promised {
    /// Acknowledged values by partition and offset.
    records: BTreeMap<(i32, i64), String>,
    handed_over: usize,
    committed: i64,
    /// `Some` once acknowledged: whether topic "other" exists.
    has_other: Option<bool>,
}

/// Works until done or crashed.
async fn work(log: &EmbeddedLog, promised: &mut Promised) -> Result<()> {
    log.create_topic(&topic("t"), settings(2)).await.or_else(exists)?;
    for round in 0..6 {
        for _ in 0..4 {
            let number = promised.handed_over;
            promised.handed_over += 3;
            let value = |n: usize| format!("{}-{}", number + n, "x".repeat(150));
            let records = (0..3).map(|n| record("t", (n % 2) as i32, value(n))).collect();
            for (n, outcome) in append(log, records).await?.into_iter().enumerate() {
                let placed =
                    outcome.map_err(|unwritten| crate::error::Error::new(unwritten.error.reason(), "unwritten"))?;
                promised.records.insert((placed.partition, placed.offset), value(n));
            }
        }
        let commit = Commit {
            partition: at("t", 0),
            offset: promised.committed + 1,
            note: "note".into(),
        };
        log.commit(&group(), vec![commit]).await?;
        promised.committed += 1;
        promised.has_other = None;
        if round % 2 == 0 {
            log.create_topic(&topic("other"), settings(1)).await.or_else(exists)?;
            promised.has_other = Some(true);
            append(log, vec![record("other", 0, "x".repeat(300))]).await?;
        } else {
            log.delete_topic(&topic("other")).await?;
            promised.has_other = Some(false);
        }
    }
    Ok(())
}

fn exists(error: crate::error::Error) -> Result<()> {
    match error.reason() {
        crate::error::Reason::TopicExists => Ok(()),
        _ => Err(error),
    }
}

fn group() -> Group {
    Group::new("g").unwrap()
}

async fn check(log: &EmbeddedLog, promised: &Promised, context: &str) {
    let mut found = BTreeMap::new();
    for partition in 0..2 {
        let Ok(records) = read_all(log, &at("t", partition)).await else {
            assert!(promised.records.is_empty(), "{context}: the topic is gone");
            return;
        };
        for (offset, record) in records.iter().enumerate() {
            assert_eq!(record.offset, offset as i64, "{context}: a hole");
            found.insert((partition, record.offset), text(record));
        }
    }
    for (place, value) in &promised.records {
        assert_eq!(found.get(place), Some(value), "{context}: lost {place:?}");
    }
    assert!(
        found.len() <= promised.handed_over,
        "{context}: more than was handed over"
    );
    let committed = log.committed(&group(), &[at("t", 0)]).await.unwrap()[0].clone();
    let committed = committed.map_or(0, |committed| committed.offset);
    assert!(
        (promised.committed..=promised.committed + 1).contains(&committed),
        "{context}: committed {committed}"
    );
    if let Some(has_other) = promised.has_other {
        let exists = log.topic(&topic("other")).await.unwrap().is_some();
        // The step after the last acknowledged one may have been done.
        assert!(
            exists == has_other || !promised.handed_over.is_multiple_of(12) || committed > promised.committed,
            "{context}"
        );
    }
}

/// Crashes at this step, loses power, recovers, and checks; then again after more work.
async fn crash(step: usize, random: &mut fastrand::Rng, is_power_loss: bool) {
    let context = format!("crash at step {step}");
    let disk = Disk::default();
    disk.crash_at(step);
    let mut promised = Promised::default();
    if let Ok(log) = open(&disk).await {
        let _ = work(&log, &mut promised).await;
        log.close().await;
    }
    let disk = if is_power_loss {
        disk.lose_power(random)
    } else {
        disk.keep_all()
    };
    let log = open(&disk).await.unwrap_or_else(|error| panic!("{context}: {error}"));
    check(&log, &promised, &context).await;
    let end = promised.handed_over;
    log.create_topic(&topic("t"), settings(2))
        .await
        .or_else(exists)
        .unwrap();
    let outcomes = append(&log, vec![record("t", 0, "after".into())]).await.unwrap();
    let placed = outcomes[0]
        .as_ref()
        .unwrap_or_else(|_| panic!("{context}: cannot append"));
    promised.records.insert((0, placed.offset), "after".into());
    promised.handed_over = end + 1;
    promised.has_other = None;
    log.close().await;
    let log = open(&disk.lose_power(random))
        .await
        .unwrap_or_else(|error| panic!("{context}, again: {error}"));
    check(&log, &promised, &context).await;
}

async fn steps_of_work() -> usize {
    let disk = Disk::default();
    let log = open(&disk).await.unwrap();
    let mut promised = Promised::default();
    work(&log, &mut promised).await.unwrap();
    check(&log, &promised, "no crash").await;
    log.close().await;
    disk.steps()
}

#[tokio::test]
async fn power_lost_at_any_step_loses_nothing_acknowledged() {
    let mut random = fastrand::Rng::with_seed(1);
    let steps = steps_of_work().await;
    assert!(steps > 200, "{steps}");
    for step in 1..=steps + 1 {
        crash(step, &mut random, true).await;
    }
}

#[tokio::test]
async fn a_process_killed_at_any_step_loses_nothing_acknowledged() {
    let mut random = fastrand::Rng::with_seed(2);
    for step in (1..=steps_of_work().await + 1).step_by(2) {
        crash(step, &mut random, false).await;
    }
}

#[tokio::test]
async fn power_lost_at_any_step_of_recovery_loses_nothing_acknowledged() {
    let mut random = fastrand::Rng::with_seed(3);
    let steps = steps_of_work().await;
    for first in [steps / 3, steps / 2, steps - 30] {
        for second in 1.. {
            let disk = Disk::default();
            disk.crash_at(first);
            let mut promised = Promised::default();
            let log = open(&disk).await.unwrap();
            let _ = work(&log, &mut promised).await;
            log.close().await;
            let disk = disk.lose_power(&mut random);
            disk.crash_at(second);
            let opened = open(&disk).await;
            let has_crashed = disk.has_crashed();
            if let Ok(log) = opened {
                log.close().await;
            }
            let log = open(&disk.lose_power(&mut random))
                .await
                .unwrap_or_else(|error| panic!("{first}, {second}: {error}"));
            check(&log, &promised, &format!("crash at step {first}, then {second}")).await;
            if !has_crashed {
                break;
            }
        }
    }
}
