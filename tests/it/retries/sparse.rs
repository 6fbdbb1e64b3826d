//! Acks out of order: what is committed does not come again, whatever lies before it.

use std::collections::BTreeSet;

use tidings::proto::tidings::v1::Credit;

use super::*;

const EVENTS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_kill_9_only_what_is_not_acked_comes_of_10_000_events_acked_in_a_random_order() {
    let mut server = with_one_partition("").await;
    for chunk in (0..EVENTS).collect::<Vec<_>>().chunks(1_000) {
        server
            .publish(chunk.iter().map(|n| order(&n.to_string(), &n.to_string())).collect())
            .await;
    }
    let all = Open {
        credit: Some(Credit {
            events: 20_000,
            bytes: 0,
        }),
        ..open("group")
    };
    let mut stream = server.subscribe(all).await;
    let mut got = stream.deliveries(EVENTS).await;
    fastrand::Rng::with_seed(7).shuffle(&mut got);
    let kept: BTreeSet<String> = ids(&got.split_off(EVENTS - 100)).into_iter().collect();
    let (last, others) = got.split_last().expect("many");
    others.chunks(500).for_each(|chunk| stream.ack(chunk));
    commit(&mut stream, std::slice::from_ref(last)).await;
    server.kill().await;
    let server = server.restart().await;
    let mut stream = server.subscribe(open("group")).await;
    let again: BTreeSet<String> = ids(&stream.deliveries(kept.len()).await).into_iter().collect();
    assert_eq!(again, kept);
    stream
        .until("the end of what is there", |frame| {
            matches!(
                frame,
                tidings::proto::tidings::v1::subscribe_response::Frame::CaughtUp(_)
            )
            .then_some(())
        })
        .await;
}

#[tokio::test]
async fn acks_above_the_offset_outlive_the_last_stream_and_move_it_once_the_rest_is_acked() {
    let server = with_one_partition("").await;
    server
        .publish((0..10).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(10).await;
    stream.ack(&got[1..9]);
    stream.close().await;
    assert_eq!(committed(&server).await, 0);
    let mut stream = server.subscribe(open("group")).await;
    let rest = stream.deliveries(2).await;
    assert_eq!(ids(&rest), ["0", "9"]);
    commit(&mut stream, &rest[..1]).await;
    assert_eq!(committed(&server).await, 9);
    commit(&mut stream, &rest[1..]).await;
    assert_eq!(committed(&server).await, 10);
}
