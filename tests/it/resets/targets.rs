//! Where resets can put a group.

use tidings::proto::tidings::v1::{Position, Positions, target::To};

use super::{ack, apply, applying, committed, plan, publish, reset, to, with_events};
use crate::harness::clients::{ORDERS, ids, open};

#[tokio::test]
async fn a_time_is_the_first_event_from_then_on_and_the_end_where_there_is_none() {
    let server = with_events(5).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(5).await;
    ack(&mut stream, &got).await;
    let time = got[2].log_time.expect("a time");
    let at_time = plan(&server, to(To::Time(time))).await;
    let first = &at_time.moves[0];
    assert!(
        first.to_offset <= 2
            && first.first_event_time == Some(got[usize::try_from(first.to_offset).unwrap()].log_time.unwrap())
    );
    let later = prost_types::Timestamp {
        seconds: time.seconds + 86_400,
        nanos: 0,
    };
    let after = plan(&server, to(To::Time(later))).await;
    assert_eq!((after.moves[0].to_offset, after.moves[0].first_event_time), (5, None));
    let before = plan(&server, to(To::Time(prost_types::Timestamp { seconds: 1, nanos: 0 }))).await;
    assert_eq!((before.moves[0].to_offset, before.replayed), (0, 5));
}

#[tokio::test]
async fn what_the_log_does_not_have_is_clamped_and_said() {
    let server = with_events(5).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(5).await;
    ack(&mut stream, &got).await;
    let back = plan(&server, to(To::ShiftBy(-100))).await;
    assert_eq!(
        (back.moves[0].to_offset, back.moves[0].clamped, back.replayed),
        (0, true, 5)
    );
    let on = plan(&server, to(To::ShiftBy(100))).await;
    assert_eq!((on.moves[0].to_offset, on.moves[0].clamped, on.skipped), (5, true, 0));
    let far = Position {
        topic: ORDERS.to_owned(),
        partition: 0,
        offset: 77,
    };
    let positions = Positions { positions: vec![far] };
    let far = plan(&server, to(To::Positions(positions))).await;
    assert_eq!((far.moves[0].to_offset, far.moves[0].clamped), (5, true));
    apply(&server, applying(&far)).await;
    assert_eq!(committed(&server).await, 5);
}

#[tokio::test]
async fn a_group_is_put_where_another_stands() {
    let server = with_events(10).await;
    let mut other = server.subscribe(open("other")).await;
    let got = other.deliveries(10).await;
    ack(&mut other, &got[..6]).await;
    let mut stream = server.subscribe(open("group")).await;
    stream.deliveries(10).await;
    reset(&server, to(To::CommittedBy("other".to_owned()))).await;
    assert_eq!(committed(&server).await, 6);
    publish(&server, 10..11).await;
    let again = stream.at_least(5).await;
    assert_eq!(ids(&again)[0], "6");
}

#[tokio::test]
async fn positions_move_the_partitions_that_are_named() {
    let server = with_events(10).await;
    let mut stream = server.subscribe(open("group")).await;
    stream.deliveries(10).await;
    let position = Position {
        topic: ORDERS.to_owned(),
        partition: 0,
        offset: 8,
    };
    let positions = Positions {
        positions: vec![position],
    };
    reset(&server, to(To::Positions(positions))).await;
    assert_eq!(ids(&stream.deliveries(2).await), ["8", "9"]);
}
