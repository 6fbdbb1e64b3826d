//! A producer that fails for good is replaced, and what it had is told.

use std::mem::ManuallyDrop;

use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, Producer as _},
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use tidings::log::{Log as _, NewRecord, Placed};

use crate::{
    harness::backend::open_kafka,
    log::{append, at, read_all, record, soon, values},
};

/// The mock of a cluster answers so once, which a real one does only if it has lost records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_fatal_error_another_producer_goes_on_in_order() {
    let mut config = ClientConfig::new();
    config.set("test.mock.num.brokers", "1");
    // Never taken down: librdkafka aborts now and then when a mock goes before its clients' connections.
    let ground: ManuallyDrop<BaseProducer> = ManuallyDrop::new(config.create().unwrap());
    let mock = ground.client().mock_cluster().unwrap();
    mock.create_topic("t", 1, 1).unwrap();
    let log = open_kafka(&mock.bootstrap_servers(), "").await;
    soon(log.health().wait_for(Result::is_ok)).await.unwrap();
    append(&*log, vec![record("t", "before")]).await;
    mock.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER],
    );
    let failed: Vec<NewRecord> = (0..10).map(|number| record("t", format!("{number}"))).collect();
    let outcomes = soon(soon(log.append(failed)).await.unwrap()).await;
    assert_eq!(outcomes.len(), 10, "each is told of");
    assert!(outcomes.iter().any(Result::is_err), "{outcomes:?}");
    let placed: Vec<Placed> = soon(append(&*log, vec![record("t", "after 1"), record("t", "after 2")])).await;
    assert_eq!(placed[1].offset, placed[0].offset + 1);
    let there = values(&read_all(&*log, &at("t", 0), 0).await);
    assert_eq!(there.first().map(String::as_str), Some("before"));
    assert_eq!(there[there.len() - 2..], ["after 1".to_owned(), "after 2".to_owned()]);
}
