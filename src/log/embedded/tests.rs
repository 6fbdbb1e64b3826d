mod disk;
mod crashes;
mod failures;
mod compacting;

use std::{path::Path, sync::Arc};

use futures_util::StreamExt;

use self::disk::Disk;
use super::{EmbeddedLog, Options};
use crate::{
    error::Result,
    log::{Batch, Cleanup, Headers, Log, NewRecord, Outcome, Record, TopicPartition, TopicSettings},
    name::Topic,
};

/// Small files, so that a few records roll journals and segments.
fn small() -> Options {
    Options {
        journal_bytes: 2 << 10,
        segment_bytes: 1 << 10,
        cache_bytes: 1 << 10,
        open_files: 3,
        ..Options::new(Path::new("/data/log"))
    }
}

async fn open(disk: &Disk) -> Result<Arc<EmbeddedLog>> {
    open_with(disk, small()).await
}

async fn open_with(disk: &Disk, options: Options) -> Result<Arc<EmbeddedLog>> {
    EmbeddedLog::open_on(options, Arc::new(disk.clone()), None).await
}

fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

fn at(name: &str, partition: i32) -> TopicPartition {
    TopicPartition {
        topic: topic(name),
        partition,
    }
}

fn settings(partitions: i32) -> TopicSettings {
    TopicSettings {
        partitions,
        retention: None,
        retention_bytes: None,
        cleanup: Cleanup::Delete,
    }
}

fn record(name: &str, partition: i32, value: String) -> NewRecord {
    NewRecord {
        topic: topic(name),
        partition: Some(partition),
        key: None,
        value: Some(value.into()),
        headers: Headers::default(),
    }
}

async fn append(log: &EmbeddedLog, records: Vec<NewRecord>) -> Result<Vec<Outcome>> {
    Ok(log.append(records).await?.await)
}

async fn read_all(log: &EmbeddedLog, partition: &TopicPartition) -> Result<Vec<Record>> {
    let bounds = log.bounds(std::slice::from_ref(partition)).await?[0];
    let batches: Vec<Result<Batch>> = log.read(partition, bounds.start, Some(bounds.end)).collect().await;
    let batches = batches.into_iter().collect::<Result<Vec<_>>>()?;
    Ok(batches.into_iter().flat_map(|batch| batch.records).collect())
}

fn text(record: &Record) -> String {
    String::from_utf8(record.value.as_ref().expect("a value").to_vec()).expect("text")
}
