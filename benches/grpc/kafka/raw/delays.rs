//! Latency of the raw clients: a producer that waits for nothing, and a consumer in no group.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Message as _, Offset,
    consumer::BaseConsumer,
    message::DeliveryResult,
    producer::{Producer as _, ProducerContext, ThreadedProducer},
};

use super::clients::{consumer, producer_config, raw_records};
use crate::{
    Result,
    latency::{EVENTS, due},
};

/// When what was sent (nanoseconds from the start on) was acknowledged.
struct Answers {
    started: Instant,
    delays: Arc<Mutex<Vec<u64>>>,
}

/// Delays in nanoseconds, as JSON: until the answer, and until the delivery.
pub(super) async fn measure(brokers: &str, topic: &str) -> Result<String> {
    let started = Instant::now();
    let answered = Arc::<Mutex<Vec<u64>>>::default();
    let answers = Answers {
        started,
        delays: Arc::clone(&answered),
    };
    let producer: ThreadedProducer<_> = producer_config(brokers, &[("linger.ms", "0")]).create_with_context(answers)?;
    let run = format!("run-{}-", fastrand::u64(..));
    let (consumer, tag) = (consumer(brokers, topic, Offset::Beginning)?, run.clone());
    let consuming = tokio::task::spawn_blocking(move || consume(&consumer, &tag, started));
    let records = raw_records(EVENTS)?;
    let begin = Instant::now();
    for (number, record) in (0..).zip(&records) {
        due(begin, number).await;
        let sent = nanos(started);
        let value = format!("{run}{sent:020}{}", "x".repeat(1024 - 20 - run.len()));
        let mut record = record.to_send(topic, usize::try_from(sent)?);
        record.payload = Some(value.as_bytes());
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(Duration::from_secs(10))?;
    let delivered = consuming.await??;
    let answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(serde_json::to_string(&[&*answered, &delivered])?)
}

/// The delays of this run's records; the topic has others, too.
fn consume(consumer: &BaseConsumer, run: &str, started: Instant) -> Result<Vec<u64>> {
    let mut delays = Vec::new();
    while delays.len() < usize::try_from(EVENTS)? {
        let message = consumer.poll(Duration::from_secs(10)).ok_or("nothing more comes")??;
        let now = nanos(started);
        let value = message.payload().and_then(|value| value.strip_prefix(run.as_bytes()));
        if let Some(sent) = value.and_then(|value| value.get(..20)) {
            delays.push(now - std::str::from_utf8(sent)?.parse::<u64>()?);
        }
    }
    Ok(delays)
}

fn nanos(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

impl ClientContext for Answers {}

impl ProducerContext for Answers {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: usize) {
        assert!(result.is_ok(), "a record was not written");
        let mut delays = self.delays.lock().unwrap_or_else(PoisonError::into_inner);
        delays.push(nanos(self.started) - sent as u64);
    }
}
