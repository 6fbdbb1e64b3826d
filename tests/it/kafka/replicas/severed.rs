//! A replica whose network fails, while it runs and its clients reach it.

use tidings::proto::tidings::v1::{Credit, GroupPartition, Open, target::To};

use super::{super::faults::free_port, CONFIG};
use crate::{
    harness::{
        SOON, Server,
        cable::Cable,
        clients::{Subscription, ids, open},
        eventually,
        kafka::Broker,
    },
    resets::{ack, applying, create, group, numbers, plan, publish, to},
};

const EVENTS: usize = 60;
const PARTITIONS: usize = 4;

/// A broker, and the cable by which a replica may reach it.
async fn broker() -> (Broker, Cable) {
    let (port, cable) = (free_port().to_string(), Cable::new().await);
    let advertised = format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port},FAR://{}", cable.near);
    let arguments = [
        "--port",
        &port,
        "--listener",
        "FAR=PLAINTEXT",
        "--property",
        &advertised,
    ];
    let broker = Broker::start_with(arguments.map(str::to_owned).to_vec()).await;
    cable.lead_to(broker.listener("FAR"));
    (broker, cable)
}

async fn subscribe(server: &Server, events: i64) -> Subscription {
    let credit = Some(Credit { events, bytes: 0 });
    let open = Open {
        credit,
        ..open("group")
    };
    server.subscribe(open).await
}

/// Waits until each has half of the partitions.
async fn share(asked: &Server, streams: [&Subscription; 2]) {
    let shared = async || {
        let rows = group(asked).await.partitions;
        let owns = |stream: &Subscription| {
            let is_own = |row: &&GroupPartition| row.owner_replica_id == stream.opened.replica_id;
            rows.iter().filter(is_own).count() == PARTITIONS / 2
        };
        streams.into_iter().all(owns).then_some(())
    };
    eventually(SOON, "each replica to have its share", shared).await;
}

async fn committed(server: &Server) -> Vec<i64> {
    let rows = group(server).await.partitions;
    rows.iter().map(|row| row.committed.unwrap_or(-1)).collect()
}

/// Its clients ack what it sent them before a reset that it has not heard of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_its_network_past_its_session_moves_nothing_of_a_reset() {
    let (broker, cable) = broker().await;
    let one = Server::start_on(&broker, CONFIG).await;
    create(&one, PARTITIONS.try_into().expect("few")).await;
    publish(&one, 0..EVENTS).await;
    let mut stream = one.subscribe(open("group")).await;
    let all = stream.deliveries(EVENTS).await;
    assert_eq!(ack(&mut stream, &all).await, []);
    stream.close().await;
    let far = one.replica_at(&cable.near.to_string()).await;
    let (here, mut there) = (subscribe(&one, 0).await, subscribe(&far, 10).await);
    share(&one, [&here, &there]).await;
    publish(&one, EVENTS..2 * EVENTS).await;
    let held = there.deliveries(10).await;

    cable.cut();
    let made = plan(&one, to(To::Earliest(()))).await;
    let applying = tokio::spawn({
        let (mut client, request) = (one.groups(), applying(&made));
        async move { client.apply_reset(request).await }
    });
    there.ack(&held);
    let done = applying.await.expect("no panic").expect("applied").into_inner();
    assert_eq!(done.reset.expect("a reset").partitions.len(), PARTITIONS);
    assert_eq!(committed(&one).await, [0; PARTITIONS]);
    there.ack(&held);
    cable.mend();
    share(&one, [&here, &there]).await;
    assert_eq!(committed(&far).await, [0; PARTITIONS]);

    here.close().await;
    there.close().await;
    let mut stream = one.subscribe(open("group")).await;
    let mut again = stream.deliveries(2 * EVENTS).await;
    assert_eq!(ack(&mut stream, &again).await, []);
    again.sort_by_key(|delivery| {
        ids(std::slice::from_ref(delivery))[0]
            .parse::<usize>()
            .expect("a number")
    });
    assert_eq!(ids(&again), numbers(0..2 * EVENTS));
}
