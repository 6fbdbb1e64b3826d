//! How much of a group's streams a replay takes, and how fast it goes.

use std::time::{Duration, Instant};

use tidings::proto::tidings::v1::{Filter, StartReplayRequest, filter::Dialect};

use super::{caught_up, done, everything, start, until};
use crate::{
    harness::clients::open_with_credit,
    resets::{ack, publish},
};

#[tokio::test]
async fn while_live_events_wait_a_tenth_of_the_credit_goes_to_past_ones() {
    let (server, stream) = caught_up(100).await;
    stream.close().await;
    publish(&server, 1_000..2_000).await;
    let mut stream = server.subscribe(open_with_credit("group", 0)).await;
    let request = StartReplayRequest {
        filter: Some(Filter {
            dialect: Some(Dialect::Cesql("id <> '0'".to_owned())),
        }),
        end: Some(tidings::proto::tidings::v1::End {
            until: Some(tidings::proto::tidings::v1::end::Until::Positions(super::at(0, 100))),
        }),
        ..everything()
    };
    let replay = start(&server, request).await;
    // What is hidden is counted once it is read: so there are past events to send.
    until(&server, &replay.id, "past events to be read", |replay| {
        replay.hidden == 1
    })
    .await;
    stream.grant(400, 0);
    let got = stream.deliveries(400).await;
    let past = got.iter().filter(|delivery| !delivery.replay_id.is_empty()).count();
    assert!((30..=40).contains(&past), "{past} of 400");
}

#[tokio::test]
async fn with_credit_for_one_at_a_time_nine_of_ten_are_live() {
    let (server, stream) = caught_up(50).await;
    stream.close().await;
    publish(&server, 1_000..1_400).await;
    let mut stream = server.subscribe(open_with_credit("group", 0)).await;
    let request = StartReplayRequest {
        filter: Some(Filter {
            dialect: Some(Dialect::Cesql("id <> '0'".to_owned())),
        }),
        end: Some(tidings::proto::tidings::v1::End {
            until: Some(tidings::proto::tidings::v1::end::Until::Positions(super::at(0, 50))),
        }),
        ..everything()
    };
    let replay = start(&server, request).await;
    until(&server, &replay.id, "past events to be read", |replay| {
        replay.hidden == 1
    })
    .await;
    let mut past = 0;
    for _ in 0..100 {
        stream.grant(1, 0);
        let got = stream.deliveries(1).await;
        past += usize::from(!got[0].replay_id.is_empty());
        stream.ack(&got);
    }
    assert!((9..=11).contains(&past), "{past} of 100");
}

#[tokio::test]
async fn a_rate_is_kept_to() {
    let (server, mut stream) = caught_up(40).await;
    let request = StartReplayRequest {
        max_events_per_second: 20.0,
        ..everything()
    };
    let replay = start(&server, request).await;
    let first = stream.at_least(1).await;
    let began = Instant::now();
    let rest = stream.deliveries(40 - first.len()).await;
    let took = began.elapsed();
    // Two come at once, then one each 50 ms.
    assert!(took >= Duration::from_millis(1_800), "39 events in {took:?}");
    ack(&mut stream, &first).await;
    ack(&mut stream, &rest).await;
    assert_eq!(done(&server, &replay.id).await.max_events_per_second, 20.0);
}
