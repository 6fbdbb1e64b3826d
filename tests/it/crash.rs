//! kill -9 under load, again and again on one directory: what was acknowledged is there, each key in order.

use std::collections::HashMap;

use tidings::proto::tidings::v1::{
    Position, Positions, PublishStreamRequest, ReadEvent, ReadRequest, Start,
    publish_stream_response::Result as Answer, start::At,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_stream::wrappers::ReceiverStream;

use crate::harness::{
    Server,
    clients::{ORDERS, order, request},
    within,
};

const ROUNDS: usize = 50;
const PUBLISHERS: usize = 2;
const KEYS: usize = 5;

/// What one publisher of a round was told: the ids of acknowledged events and where they are.
type Acknowledged = Vec<(String, Position)>;

/// Publishes on a stream, requests of one to four events, as fast as the server takes them, until it is gone.
fn publish_until_killed(server: &Server, name: String, count: watch::Sender<usize>) -> JoinHandle<Acknowledged> {
    let mut publisher = server.publisher();
    tokio::spawn(async move {
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(send(sender, name.clone()));
        let mut acknowledged = Vec::new();
        let Ok(answers) = publisher.publish_stream(ReceiverStream::new(receiver)).await else {
            return acknowledged;
        };
        let mut answers = answers.into_inner();
        while let Ok(Some(answer)) = answers.message().await {
            let Some(Answer::Response(response)) = answer.result else {
                panic!("{answer:?}")
            };
            for (index, result) in response.results.into_iter().enumerate() {
                acknowledged.push((id(&name, answer.sequence, index), result.position.expect("a position")));
            }
            count.send_modify(|count| *count += 1);
        }
        acknowledged
    })
}

async fn send(sender: mpsc::Sender<PublishStreamRequest>, name: String) {
    for sequence in 1.. {
        let events = (0..sequence as usize % 4 + 1).map(|index| {
            let key = format!("{name}-{}", (sequence as usize + index) % KEYS);
            order(&id(&name, sequence, index), &key)
        });
        let publish = PublishStreamRequest {
            sequence,
            publish: Some(request(events)),
            timeout: None,
        };
        if sender.send(publish).await.is_err() {
            return;
        }
    }
}

/// Ids of one publisher rise in the order of their events.
fn id(name: &str, sequence: u64, index: usize) -> String {
    format!("{name}/{sequence:08}/{index}")
}

/// One round: load, a kill in the midst of it, a restart.
async fn round(server: Server, number: usize) -> (Server, Acknowledged) {
    let (count, mut counted) = watch::channel(0);
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| publish_until_killed(&server, format!("{number}-{publisher}"), count.clone()))
        .collect();
    let enough = fastrand::usize(1..150);
    within("acknowledgments", counted.wait_for(|count| *count >= enough))
        .await
        .expect("publishers");
    let mut server = server;
    server.kill().await;
    let mut acknowledged = Vec::new();
    for publisher in publishers {
        acknowledged.extend(
            within("a publisher", publisher)
                .await
                .expect("no publisher was refused"),
        );
    }
    (server.restart().await, acknowledged)
}

/// What lies behind these ends, which move to the new ones.
async fn read_on(server: &Server, ends: &mut HashMap<i32, i64>) -> Vec<ReadEvent> {
    let position = |(partition, offset): (&i32, &i64)| Position {
        topic: ORDERS.to_owned(),
        partition: *partition,
        offset: *offset,
    };
    let positions = ends.iter().map(position).collect();
    let request = ReadRequest {
        topics: vec![ORDERS.to_owned()],
        start: Some(Start {
            at: Some(At::Positions(Positions { positions })),
        }),
        ..Default::default()
    };
    let reading = server.read(request).await.expect("read");
    let there = reading.rest().await.expect("to its end");
    for read in &there {
        let position = read.position.as_ref().expect("a position");
        ends.insert(position.partition, position.offset + 1);
    }
    there
}

fn check(there: &[ReadEvent], acknowledged: &Acknowledged) {
    let mut by_place = HashMap::new();
    let mut last_of_key: HashMap<&[u8], &str> = HashMap::new();
    for read in there {
        let event = read.event.as_ref().expect("an event");
        let position = read.position.as_ref().expect("a position");
        by_place.insert((position.partition, position.offset), event.id.as_str());
        let last = last_of_key.insert(read.key.as_deref().expect("a key"), &event.id);
        assert!(
            last.is_none_or(|last| last < event.id.as_str()),
            "{last:?} before {}",
            event.id
        );
    }
    for (id, position) in acknowledged {
        let there = by_place.get(&(position.partition, position.offset));
        assert_eq!(there, Some(&id.as_str()), "an acknowledged event at {position:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_event_is_lost_or_out_of_order_however_often_the_server_is_killed() {
    let mut server = Server::start().await;
    server.publish(vec![order("0", "first")]).await;
    let (mut ends, mut all) = (HashMap::new(), Vec::new());
    read_on(&server, &mut ends).await;
    for number in 0..ROUNDS {
        let (restarted, acknowledged) = round(server, number).await;
        server = restarted;
        check(&read_on(&server, &mut ends).await, &acknowledged);
        all.extend(acknowledged);
    }
    let there = server.read_all(ORDERS).await;
    check_all(&there, &all);
    assert!(server.stop().await.success());
}

/// In the end all of all rounds are still there.
fn check_all(there: &[ReadEvent], all: &Acknowledged) {
    let ids: std::collections::HashSet<_> = there.iter().map(|read| &read.event.as_ref().expect("set").id).collect();
    assert!(all.iter().all(|(id, _)| ids.contains(id)));
    assert!(all.len() > ROUNDS, "{} were acknowledged", all.len());
}
