//! The brokers under test keep their word, without the bus: records go in and come out, however a broker is stopped.

use std::time::Duration;

use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    consumer::{Consumer, StreamConsumer},
    producer::{FutureProducer, FutureRecord},
};

use crate::harness::{
    SOON,
    kafka::{Broker, Version},
    within,
};

#[tokio::test]
async fn the_shared_brokers_keep_records() {
    for version in [Version::Four, Version::Three] {
        let broker = Broker::shared_of(version).await;
        create("kept", broker).await;
        produce("kept", broker).await;
        assert_eq!(read("kept", broker).await, b"value");
    }
}

#[tokio::test]
async fn a_broker_of_its_own_starts_again_with_what_it_kept() {
    let mut broker = Broker::start(&["log.retention.hours=1"]).await;
    create("kept", &broker).await;
    produce("kept", &broker).await;
    broker.stop().await;
    broker.start_again().await;
    assert_eq!(read("kept", &broker).await, b"value");
    broker.kill().await;
    broker.start_again().await;
    broker.freeze();
    let consumer = config(&broker).create::<StreamConsumer>().unwrap();
    assert!(consumer.fetch_metadata(None, Duration::from_millis(200)).is_err());
    broker.thaw();
    assert_eq!(read("kept", &broker).await, b"value");
}

/// Version 3 knows the new one as a preview only, which librdkafka does not take part in.
#[tokio::test]
async fn groups_form_by_the_old_protocol_and_on_version_4_by_the_new_one() {
    for (version, protocol) in [
        (Version::Three, "classic"),
        (Version::Four, "classic"),
        (Version::Four, "consumer"),
    ] {
        let broker = Broker::shared_of(version).await;
        create(protocol, broker).await;
        produce(protocol, broker).await;
        let mut config = config(broker);
        config
            .set("group.id", protocol)
            .set("group.protocol", protocol)
            .set("auto.offset.reset", "earliest");
        let member: StreamConsumer = config.create().unwrap();
        member.subscribe(&[protocol]).unwrap();
        within("a record", member.recv()).await.unwrap();
    }
}

fn config(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", broker.address())
        .set("group.id", "harness");
    config
}

pub(super) async fn create(topic: &str, broker: &Broker) {
    let admin: AdminClient<DefaultClientContext> = config(broker).create().unwrap();
    let topics = [NewTopic::new(topic, 1, TopicReplication::Fixed(1))];
    let options = AdminOptions::new();
    let created = admin.create_topics(&topics, &options);
    within("a topic", created).await.unwrap()[0].as_ref().unwrap();
}

/// The largest batch that a topic takes.
pub(super) async fn limit(topic: &str, bytes: u32, broker: &Broker) {
    let admin: AdminClient<DefaultClientContext> = config(broker).create().unwrap();
    let bytes = bytes.to_string();
    let limited = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", &bytes);
    let altered = admin.alter_configs([&limited], &AdminOptions::new()).await.unwrap();
    altered[0].as_ref().unwrap();
}

async fn produce(topic: &str, broker: &Broker) {
    let producer: FutureProducer = config(broker).create().unwrap();
    let record = FutureRecord::to(topic).key("key").payload("value");
    producer.send(record, SOON).await.unwrap();
}

async fn read(topic: &str, broker: &Broker) -> Vec<u8> {
    let consumer: StreamConsumer = config(broker).create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let record = within("a record", consumer.recv()).await.unwrap();
    record.payload().unwrap().to_vec()
}
