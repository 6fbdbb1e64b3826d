//! Dead letters of a topic that the group has no more: redriven, they wait until it has the topic again.

use std::time::Duration;

use tidings::proto::tidings::v1::{DeadLetterState, DeleteTopicRequest};

use super::*;
use crate::{
    dead_letters::letters::{GROUP, redrive},
    harness::{SOON, eventually},
};

use DeadLetterState::{Parked, Redriven, Redriving};

const OTHERS: &str = "others";

/// The group with these topics, whatever it had.
fn having(topics: &[&str]) -> Open {
    Open {
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        on_conflict: OnConflict::Replace.into(),
        heartbeat_interval: prost_types::Duration::try_from(Duration::from_secs(1)).ok(),
        ..open(GROUP)
    }
}

/// Waits until the only dead letter is in this state; its id.
async fn letter(server: &Server, state: DeadLetterState) -> String {
    let is_so = async || {
        let mut states = server.states().await;
        let (id, found) = states.pop()?;
        (states.is_empty() && found == state).then_some(id)
    };
    eventually(SOON, "the dead letter", is_so).await
}

/// A group without the orders, of which it has given one up that is redriven.
async fn redriven_without_its_topic() -> (Server, Subscription) {
    let server = with_one_partition("[topics]\nauto_create = true\n").await;
    let mut stream = server.subscribe(having(&[ORDERS])).await;
    server.publish(vec![order("a1", "a")]).await;
    let got = stream.deliveries(1).await;
    stream.send(to_dead_letters(&got[0], ""));
    let parked = letter(&server, Parked).await;
    stream.close().await;
    let mut stream = server.subscribe(having(&[OTHERS])).await;
    assert_eq!(server.redrive(redrive(&[parked])).await.expect("redriven").count, 1);
    for _ in 0..2 {
        assert_eq!(stream.heartbeat().await.outstanding_events, 0, "nothing is sent");
    }
    letter(&server, Redriving).await;
    (server, stream)
}

#[tokio::test]
async fn a_redriven_letter_of_a_topic_that_the_group_left_waits_until_it_has_it_again() {
    let (server, stream) = redriven_without_its_topic().await;
    stream.close().await;
    let mut stream = server.subscribe(having(&[OTHERS, ORDERS])).await;
    let got = stream.deliveries(1).await;
    assert_eq!(ids(&got), ["a1"]);
    commit(&mut stream, &got).await;
    letter(&server, Redriven).await;
}

#[tokio::test]
async fn a_redriven_letter_of_a_deleted_topic_waits_until_there_is_one_of_its_name() {
    let (server, stream) = redriven_without_its_topic().await;
    stream.close().await;
    let name = ORDERS.to_owned();
    server
        .topics()
        .delete_topic(DeleteTopicRequest { name })
        .await
        .expect("deleted");
    // Auto-created with the group's change.
    let mut stream = server.subscribe(having(&[OTHERS, ORDERS])).await;
    let got = stream.deliveries(1).await;
    assert_eq!(ids(&got), ["a1"]);
    commit(&mut stream, &got).await;
    letter(&server, Redriven).await;
}
