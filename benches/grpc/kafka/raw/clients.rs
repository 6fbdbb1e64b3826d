//! A producer and a consumer, each with the settings of a user who wants what the bus promises.

use std::{hint::black_box, sync::Arc, time::Duration};

use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _},
    message::{BorrowedMessage, DeliveryResult, Header, Headers as _, Message as _, OwnedHeaders},
    producer::{BaseRecord, ProducerContext, ThreadedProducer},
    util::IntoOpaque,
};
use tokio::sync::Semaphore;

use crate::{
    Result,
    event::BATCH,
    log_alone::{PARTITIONS, records},
};

/// Different records, as many as the streamed requests have.
const RECORDS: u64 = 64 * BATCH;

pub(super) struct Clients {
    brokers: String,
    topic: String,
    records: Vec<RawRecord>,
}

/// A record as the bus writes it, in pieces.
pub(super) struct RawRecord {
    key: Vec<u8>,
    value: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
}

/// Lets as many more be sent as were answered.
struct Room(Arc<Semaphore>);

impl Clients {
    pub(super) fn new(brokers: &str, topic: &str) -> Result<Self> {
        Ok(Self {
            brokers: brokers.to_owned(),
            topic: topic.to_owned(),
            records: raw_records(RECORDS)?,
        })
    }

    /// Returns when all are acknowledged; no more than `in_flight` are not.
    pub(super) async fn produce(&self, events: u64, settings: &[(&str, &str)], in_flight: usize) -> Result<()> {
        let room = Arc::new(Semaphore::new(in_flight));
        let producer: ThreadedProducer<_> =
            producer_config(&self.brokers, settings).create_with_context(Room(Arc::clone(&room)))?;
        for record in self.records.iter().cycle().take(usize::try_from(events)?) {
            room.acquire().await?.forget();
            let sent = producer.send(record.to_send(&self.topic, ()));
            sent.map_err(|(error, _)| error)?;
        }
        let _ = room.acquire_many(u32::try_from(in_flight)?).await?;
        Ok(())
    }

    /// The topic from its beginning on.
    pub(super) fn consume(&self, events: u64) -> Result<()> {
        let consumer = consumer(&self.brokers, &self.topic, Offset::Beginning)?;
        let mut bytes = 0;
        for _ in 0..events {
            let message = consumer.poll(Duration::from_secs(10)).ok_or("nothing more comes")??;
            bytes += size(&message);
        }
        black_box(bytes);
        Ok(())
    }
}

pub(super) fn producer_config(brokers: &str, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random");
    for (name, value) in settings.iter().copied() {
        config.set(name, value);
    }
    config
}

/// Of all partitions, in no group.
pub(super) fn consumer(brokers: &str, topic: &str, from: Offset) -> Result<BaseConsumer> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "raw-clients")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, from)?;
    }
    consumer.assign(&list)?;
    Ok(consumer)
}

pub(super) fn raw_records(count: u64) -> Result<Vec<RawRecord>> {
    let raw = |record: tidings::log::NewRecord| {
        let headers = record.headers.iter().map(|(name, value)| {
            let name = String::from_utf8(name.to_vec())?;
            Ok((name, value.unwrap_or_default().to_vec()))
        });
        Ok(RawRecord {
            key: record.key.unwrap_or_default().to_vec(),
            value: record.value.unwrap_or_default().to_vec(),
            headers: headers.collect::<Result<_>>()?,
        })
    };
    records(0, count)?.into_iter().map(raw).collect()
}

impl RawRecord {
    pub(super) fn to_send<'a, O: IntoOpaque>(&'a self, topic: &'a str, opaque: O) -> BaseRecord<'a, [u8], [u8], O> {
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for (key, value) in &self.headers {
            let value = Some(value);
            headers = headers.insert(Header { key, value });
        }
        BaseRecord::with_opaque_to(topic, opaque)
            .key(self.key.as_slice())
            .payload(self.value.as_slice())
            .headers(headers)
    }
}

/// Looks at all of it, as whoever reads an event must.
fn size(message: &BorrowedMessage<'_>) -> usize {
    let headers = message.headers().map_or(0, |headers| {
        let sizes = headers
            .iter()
            .map(|header| header.key.len() + header.value.map_or(0, <[u8]>::len));
        sizes.sum()
    });
    headers + message.key().map_or(0, <[u8]>::len) + message.payload().map_or(0, <[u8]>::len)
}

impl ClientContext for Room {}

impl ProducerContext for Room {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "a record was not written");
        self.0.add_permits(1);
    }
}
