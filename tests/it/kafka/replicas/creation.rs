//! Two replicas that are asked for the same new group at once.

use futures_util::future::join;
use tidings::proto::tidings::v1::{
    OnGap, Open, Start, start::At, subscribe_request::Frame as Sent, subscribe_response::Frame,
};
use tonic::Code;

use crate::harness::{
    Server,
    clients::{ids, open, order},
    status::refused,
};

const ROUNDS: usize = 10;

fn from_latest(group: &str) -> Open {
    Open {
        start: Some(Start {
            at: Some(At::Latest(())),
        }),
        ..open(group)
    }
}

/// The later start would skip what the earlier one's client published as soon as it was in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_two_replicas_create_starts_once() {
    let one = Server::start_with("[topics]\ndefault_partitions = 1\nauto_create = true\n").await;
    let two = one.replica().await;
    one.publish(vec![order("before", "a")]).await;
    for round in 0..ROUNDS {
        let group = format!("group-{round}");
        let opened_then_published = async |server: &Server, id: String| {
            let stream = server.subscribe(from_latest(&group)).await;
            server.publish(vec![order(&id, "a")]).await;
            stream
        };
        let (mut first, mut second) = join(
            opened_then_published(&one, format!("{round} one")),
            opened_then_published(&two, format!("{round} two")),
        )
        .await;
        assert_ne!(
            first.opened.group_created, second.opened.group_created,
            "one of them created it"
        );
        // The partition is on one replica; whichever it is has both events, unless it moved in between.
        let mut got = Vec::new();
        while got.len() < 2 {
            let more = tokio::select! {
                more = first.at_least(1) => { first.ack(&more); more }
                more = second.at_least(1) => { second.ack(&more); more }
            };
            got.extend(ids(&more));
            got.sort();
            got.dedup();
        }
        assert_eq!(got, [format!("{round} one"), format!("{round} two")]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_that_create_a_group_with_other_settings_agree_on_one() {
    let one = Server::start_with("[topics]\ndefault_partitions = 1\nauto_create = true\n").await;
    let two = one.replica().await;
    one.publish(vec![order("1", "a")]).await;
    for round in 0..ROUNDS {
        let group = format!("group-{round}");
        let with = |on_gap: OnGap| Open {
            on_gap: on_gap.into(),
            ..open(&group)
        };
        let opened = async |server: &Server, on_gap| {
            let mut stream = server.try_subscribe([Sent::Open(with(on_gap))]).await?;
            stream.next().await
        };
        let (first, second) = join(opened(&one, OnGap::Fail), opened(&two, OnGap::Continue)).await;
        let (let_in, turned_away) = if first.is_ok() {
            (first, second)
        } else {
            (second, first)
        };
        assert!(matches!(let_in, Ok(Some(Frame::Opened(_)))), "{let_in:?}");
        refused(turned_away, Code::FailedPrecondition, "GROUP_CONFLICT");
    }
}
