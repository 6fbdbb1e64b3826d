//! Credits: a stream is sent what it asked for, in events and in bytes, and no more.

use tidings::proto::tidings::v1::{
    Credit, CreditMode, GetInfoRequest, Nack, Open, Waiting, subscribe_request::Frame as Sent,
};

use crate::harness::{
    Server,
    clients::{Subscription, ids, open, order},
};

/// An Open with this credit, and a heartbeat each second.
fn with_credit(events: i64, bytes: i64) -> Open {
    Open {
        credit: Some(Credit { events, bytes }),
        ..alive()
    }
}

fn alive() -> Open {
    Open {
        credit: None,
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..open("group")
    }
}

async fn with_events(count: usize) -> Server {
    let server = Server::start().await;
    server
        .publish((0..count).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    server
}

/// Fails if anything is delivered before the next heartbeat, which is to say that there is no credit; gives what is left.
async fn starved(stream: &mut Subscription) -> Credit {
    use tidings::proto::tidings::v1::subscribe_response::Frame;
    let (waiting, left) = stream
        .until("a heartbeat", |frame| match frame {
            Frame::Heartbeat(beat) => Some((beat.waiting(), beat.credit_left)),
            Frame::Deliveries(more) => panic!("sent without credit: {more:?}"),
            _ => None,
        })
        .await;
    assert_eq!(waiting, Waiting::NoCredit);
    left.expect("the credit that is left")
}

#[tokio::test]
async fn nothing_is_sent_before_there_is_credit() {
    let server = with_events(10).await;
    let mut stream = server.subscribe(alive()).await;
    assert_eq!(stream.opened.credit, Some(Credit { events: 0, bytes: 0 }));
    starved(&mut stream).await;
    stream.grant(3, 0);
    stream.deliveries(3).await;
    assert_eq!(starved(&mut stream).await.events, 0);
}

#[tokio::test]
async fn each_event_costs_one_and_more_credit_sends_more() {
    let server = with_events(10).await;
    let mut stream = server.subscribe(with_credit(4, 0)).await;
    let first = stream.deliveries(4).await;
    // An ack alone gives nothing back.
    stream.ack(&first);
    assert_eq!(starved(&mut stream).await.events, 0);
    stream.grant(2, 0);
    stream.grant(1, 0);
    stream.deliveries(3).await;
    starved(&mut stream).await;
}

#[tokio::test]
async fn bytes_may_fall_below_zero_by_one_event_so_that_a_large_one_never_stalls() {
    let server = with_events(10).await;
    let mut stream = server.subscribe(with_credit(100, 1)).await;
    let size = i64::from(stream.deliveries(1).await[0].size);
    assert!(size > 50, "key, value and headers: {size}");
    assert_eq!(
        starved(&mut stream).await,
        Credit {
            events: 99,
            bytes: 1 - size
        }
    );
    stream.grant(0, size - 1);
    assert_eq!(starved(&mut stream).await.bytes, 0);
    stream.grant(0, size + 1);
    stream.deliveries(2).await;
    starved(&mut stream).await;
}

#[tokio::test]
async fn bytes_0_in_open_means_that_bytes_are_not_counted() {
    let server = with_events(10).await;
    let mut stream = server.subscribe(with_credit(5, 0)).await;
    stream.deliveries(5).await;
    stream.grant(5, 1);
    stream.deliveries(5).await;
}

#[tokio::test]
async fn a_redelivery_costs_again() {
    let server = with_events(1).await;
    let mut stream = server.subscribe(with_credit(2, 0)).await;
    for left in [1, 0] {
        let got = stream.deliveries(1).await;
        nack(&stream, got[0].id);
        if left == 0 {
            starved(&mut stream).await;
        }
    }
    stream.grant(1, 0);
    assert_eq!(stream.deliveries(1).await[0].attempt, 3);
}

#[tokio::test]
async fn with_on_settle_acks_and_nacks_give_the_credit_back() {
    let server = with_events(30).await;
    let settling = |events, bytes| Open {
        credit_mode: CreditMode::OnSettle.into(),
        ..with_credit(events, bytes)
    };
    let mut stream = server.subscribe(settling(3, 1)).await;
    assert_eq!(stream.opened.credit_mode(), CreditMode::OnSettle);
    let mut seen = Vec::new();
    let mut nacked = false;
    while seen.len() < 30 {
        let got = stream.at_least(1).await;
        assert!(got.len() <= 3);
        for delivery in got {
            if std::mem::replace(&mut nacked, true) {
                seen.extend(ids(std::slice::from_ref(&delivery)));
                stream.ack(&[delivery]);
            } else {
                nack(&stream, delivery.id);
            }
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 30);
}

#[tokio::test]
async fn credit_is_clamped_and_opened_says_to_what() {
    let server = Server::start_with("[limits]\nmax_credit_events = 5\nmax_credit_bytes = 100000\n").await;
    server
        .publish((0..20).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let limits = server
        .system()
        .get_info(GetInfoRequest {})
        .await
        .expect("info")
        .into_inner()
        .limits;
    let most = Some(Credit {
        events: 5,
        bytes: 100_000,
    });
    assert_eq!(limits.expect("limits").max_credit, most);
    let mut stream = server.subscribe(with_credit(i64::MAX, i64::MAX)).await;
    assert_eq!((stream.opened.credit, stream.opened.max_credit), (most, most));
    stream.deliveries(5).await;
    starved(&mut stream).await;
    stream.grant(i64::MAX, i64::MAX);
    stream.deliveries(5).await;
    starved(&mut stream).await;
}

#[tokio::test]
async fn a_stream_without_credit_leaves_the_events_to_the_others() {
    let server = with_events(10).await;
    let mut poor = server.subscribe(with_credit(1, 0)).await;
    let mut rich = server.subscribe(with_credit(100, 0)).await;
    let (few, rest) = (poor.deliveries(1).await, rich.deliveries(9).await);
    let mut all = [ids(&few), ids(&rest)].concat();
    all.sort_unstable();
    assert_eq!(all, (0..10).map(|n| n.to_string()).collect::<Vec<_>>());
}

fn nack(stream: &Subscription, id: u64) {
    stream.send(Sent::Nack(Nack {
        delivery_ids: vec![id],
        delay: Some(prost_types::Duration { seconds: 0, nanos: 0 }),
        ..Default::default()
    }));
}
