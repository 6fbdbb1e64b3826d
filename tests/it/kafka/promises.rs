//! The suite of any log on Kafka: the versions under test, and librdkafka's mock of a cluster.

use std::mem::ManuallyDrop;

use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, Producer as _},
};
use tidings::log::Log as _;

use crate::{
    harness::{
        backend::{open_kafka, unique_prefix},
        kafka::{Broker, Version},
    },
    log::{Backend, soon},
};

async fn on_broker(version: Version) -> Backend {
    let broker = Broker::shared_of(version).await;
    Backend {
        log: open_kafka(broker.address(), &unique_prefix()).await,
        creator: None,
        _ground: Box::new(()),
    }
}

mod on_kafka_4 {
    use super::*;

    async fn backend() -> Backend {
        on_broker(Version::Four).await
    }

    crate::log::every_promise!(super::backend);
}

mod on_kafka_3 {
    use super::*;

    async fn backend() -> Backend {
        on_broker(Version::Three).await
    }

    crate::log::every_promise!(super::backend);
}

/// What the mock answers: it neither creates, describes nor deletes topics, finds nothing by time, refuses commits for a group
/// that once had members for ever, and takes 5 s at a time to let another member into a group, or never does.
mod on_mock {
    use super::*;

    async fn backend() -> Backend {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", "1");
        // Never taken down: librdkafka aborts now and then when a mock goes before its clients' connections.
        let ground: ManuallyDrop<BaseProducer> = ManuallyDrop::new(config.create().unwrap());
        let address = ground.client().mock_cluster().unwrap().bootstrap_servers();
        let log = open_kafka(&address, "").await;
        soon(log.health().wait_for(Result::is_ok)).await.unwrap();
        let create = move |name: &str, partitions| {
            let cluster = ground.client().mock_cluster().unwrap();
            cluster.create_topic(name, partitions, 1).unwrap();
        };
        Backend {
            log,
            creator: Some(Box::new(create)),
            _ground: Box::new(()),
        }
    }

    crate::log::promises! { super::backend:
        records {
            what_was_appended_is_read_as_it_was,
            records_of_a_key_lie_in_the_partition_where_java_puts_them,
            records_without_a_key_of_one_call_stay_together_and_calls_are_spread,
            a_read_starts_anywhere_and_ends_before_until,
            a_reader_at_the_end_gets_what_comes,
            a_position_outside_is_gone,
            calls_keep_their_order,
            many_callers_at_once_lose_nothing,
            an_unknown_topic_is_refused_and_nothing_is_written,
            a_record_that_is_too_large_is_refused_and_nothing_is_written,
            batches_are_bounded_but_for_their_last_record,
            a_closed_log_is_unavailable,
        }
        groups {
            a_lone_member_gets_all_partitions_with_what_was_committed,
        }
    }
}
