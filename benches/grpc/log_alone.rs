//! The embedded log without a bus before it: the same records, appended and scanned through `Log`.

use std::{collections::VecDeque, path::Path, sync::Arc};

use futures_util::StreamExt as _;
use tidings::{
    convention,
    log::{
        Cleanup, Log, NewRecord, Receipt, TopicPartition, TopicSettings,
        embedded::{EmbeddedLog, Options},
    },
    name::Topic,
    proto::event::from_proto,
};

use crate::{
    Result,
    event::{self, BATCH, TOPIC},
    load::{CALLERS, Load},
    process::Meter,
    report::Sample,
};

pub(crate) const PARTITIONS: i32 = 4;
/// Batches on their way, as on the publish stream.
const IN_FLIGHT: usize = 32;

/// What the load asks of the log: appends, or a scan of what was appended before.
pub(crate) async fn run(load: Load, directory: &Path) -> Result<Sample> {
    let log: Arc<dyn Log> = EmbeddedLog::open(Options::new(directory)).await?;
    let settings = TopicSettings {
        partitions: PARTITIONS,
        retention: None,
        retention_bytes: None,
        cleanup: Cleanup::Delete,
    };
    log.create_topic(&Topic::new(TOPIC)?, settings).await?;
    let sample = match load {
        Load::PublishStream => append(&log, load.events(), (BATCH, IN_FLIGHT)).await?,
        Load::Unary => append(&log, load.events(), (1, CALLERS)).await?,
        Load::Read | Load::Group => {
            append(&log, load.events(), (BATCH, IN_FLIGHT)).await?;
            scan(&log, load.events()).await?
        }
    };
    log.close().await;
    Ok(sample)
}

async fn append(log: &Arc<dyn Log>, events: u64, (batch, in_flight): (u64, usize)) -> Result<Sample> {
    let batches: Vec<Vec<NewRecord>> = (0..64)
        .map(|number| records(number * batch, batch))
        .collect::<Result<_>>()?;
    let meter = Meter::start("self".to_owned())?;
    // Handed over one after the other, awaited many at a time.
    let mut receipts = VecDeque::new();
    for number in 0..events / batch {
        if receipts.len() == in_flight {
            durable(receipts.pop_front()).await?;
        }
        let records = batches[usize::try_from(number)? % batches.len()].clone();
        receipts.push_back(log.append(records).await?);
    }
    while !receipts.is_empty() {
        durable(receipts.pop_front()).await?;
    }
    meter.read(events)
}

async fn durable(receipt: Option<Receipt>) -> Result<()> {
    let outcomes = receipt.ok_or("a receipt for each append")?.await;
    match outcomes.into_iter().find_map(std::result::Result::err) {
        None => Ok(()),
        Some(unwritten) => Err(unwritten.error.to_string().into()),
    }
}

async fn scan(log: &Arc<dyn Log>, events: u64) -> Result<Sample> {
    let partitions = partitions()?;
    let bounds = log.bounds(&partitions).await?;
    let meter = Meter::start("self".to_owned())?;
    let mut count = 0;
    for (partition, bounds) in partitions.iter().zip(bounds) {
        let mut batches = log.read(partition, bounds.start, Some(bounds.end));
        while let Some(batch) = batches.next().await {
            count += batch?.records.len() as u64;
        }
    }
    assert_eq!(count, events, "what was appended is read");
    meter.read(events)
}

fn partitions() -> Result<Vec<TopicPartition>> {
    let topic = Topic::new(TOPIC)?;
    Ok((0..PARTITIONS)
        .map(|partition| TopicPartition {
            topic: topic.clone(),
            partition,
        })
        .collect())
}

pub(crate) fn records(first: u64, count: u64) -> Result<Vec<NewRecord>> {
    let record = |number: u64| {
        let event = from_proto(event::event(number)).map_err(|faults| format!("{faults:?}"))?;
        let encoded = convention::encode(&event);
        Ok(NewRecord {
            topic: Topic::new(TOPIC)?,
            partition: None,
            key: event.subject().map(|subject| subject.as_bytes().clone()),
            value: encoded.value,
            headers: encoded.headers,
        })
    };
    (first..first + count).map(record).collect()
}
