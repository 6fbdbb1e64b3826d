//! Brokers that take short notes only: commits go through all the same, and acks out of order last.

use tidings::proto::tidings::v1::{
    Ack, Credit, Delivery, GetGroupRequest, Nack, Open, subscribe_request::Frame as Sent,
};

use crate::harness::{
    Server,
    clients::{Subscription, ids, open, order},
    kafka::Broker,
};

const CONFIG: &str = "[topics]\nauto_create = true\ndefault_partitions = 1\n";
const EVENTS: usize = 2_000;

/// A server with so many events, each with a key of its own.
async fn with_events(count: usize, broker: &Broker) -> Server {
    let server = Server::start_on(broker, CONFIG).await;
    for chunk in (0..count).collect::<Vec<_>>().chunks(1_000) {
        server
            .publish(chunk.iter().map(|n| order(&n.to_string(), &n.to_string())).collect())
            .await;
    }
    server
}

fn many() -> Open {
    Open {
        credit: Some(Credit {
            events: 10_000,
            bytes: 0,
        }),
        ..open("group")
    }
}

/// Acks, and waits until that is committed.
async fn commit(stream: &mut Subscription, deliveries: &[&Delivery]) {
    stream.send(Sent::Ack(Ack {
        delivery_ids: deliveries.iter().map(|delivery| delivery.id).collect(),
        sequence: 1,
        ..Default::default()
    }));
    let result = stream.ack_result().await;
    assert!(result.committed && result.faults.is_empty(), "{result:?}");
}

async fn committed(server: &Server) -> i64 {
    let group = "group".to_owned();
    let group = server.groups().get_group(GetGroupRequest { group }).await;
    let group = group.expect("the group").into_inner().group.expect("a group");
    group.partitions.iter().filter_map(|row| row.committed).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acks_out_of_order_and_failures_outlive_kill_9_where_brokers_take_only_short_notes() {
    let broker = Broker::start(&["offset.metadata.max.bytes=200"]).await;
    let mut server = with_events(EVENTS, &broker).await;
    let mut stream = server.subscribe(many()).await;
    let got = stream.deliveries(EVENTS).await;
    stream.send(Sent::Nack(Nack {
        delivery_ids: vec![got[0].id],
        delay: Some(prost_types::Duration {
            seconds: 3_600,
            nanos: 0,
        }),
        ..Default::default()
    }));
    let every_other: Vec<&Delivery> = got.iter().skip(1).step_by(2).collect();
    commit(&mut stream, &every_other).await;
    let told = server
        .logged("notes of commits are cut: what does not fit goes to tidings.control")
        .await;
    let error = told["error"].as_str().expect("the error").to_owned();
    assert!(error.contains("offset.metadata.max.bytes"), "{error}");
    server.kill().await;
    let server = server.restart().await;
    let mut stream = server.subscribe(many()).await;
    let again = stream.deliveries(EVENTS / 2).await;
    let others: Vec<Delivery> = got.iter().step_by(2).cloned().collect();
    assert_eq!(ids(&again), ids(&others), "what is committed does not come again");
    assert_eq!((again[0].attempt, again[0].failures), (2, 1));
    commit(&mut stream, &again.iter().collect::<Vec<_>>()).await;
    assert_eq!(committed(&server).await, EVENTS as i64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_go_through_where_brokers_take_no_notes() {
    let broker = Broker::start(&["offset.metadata.max.bytes=10"]).await;
    let server = with_events(10, &broker).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(10).await;
    commit(&mut stream, &[&got[0], &got[2]]).await;
    let told = server
        .logged("commits go without notes: a crash repeats acks out of order, and forgets failures")
        .await;
    let error = told["error"].as_str().expect("the error").to_owned();
    assert!(error.contains("offset.metadata.max.bytes"), "{error}");
    assert_eq!(committed(&server).await, 1);
    commit(&mut stream, &[&got[1]]).await;
    assert_eq!(committed(&server).await, 3);
}
