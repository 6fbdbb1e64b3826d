//! Leases: who has an event for too long loses it to another stream.

use tidings::proto::tidings::v1::{AckFault, Credit, Extend, Reason};

use super::*;

fn leasing(lease: f64) -> Open {
    Open {
        lease: seconds(lease),
        ..retrying(every(0.05))
    }
}

fn faults(faults: &[AckFault]) -> Vec<Reason> {
    faults.iter().map(AckFault::reason).collect()
}

#[tokio::test]
async fn an_event_whose_lease_is_over_goes_to_another_stream_and_late_acks_move_nothing() {
    let server = with_one_partition("").await;
    let mut slow = server.subscribe(leasing(1.0)).await;
    assert_eq!(slow.opened.lease, seconds(1.0));
    let sent = Instant::now();
    server.publish(vec![order("a1", "a")]).await;
    let held = slow.deliveries(1).await;
    let mut other = server.subscribe(leasing(60.0)).await;
    let again = other.deliveries(1).await;
    assert!(sent.elapsed() >= Duration::from_secs(1), "{:?}", sent.elapsed());
    assert_eq!((again[0].attempt, again[0].failures), (2, 1));
    slow.ack(&held);
    let late = slow.ack_result().await;
    assert_eq!(
        (faults(&late.faults), committed(&server).await),
        (vec![Reason::Expired], 0)
    );
    commit(&mut other, &again).await;
    assert_eq!(committed(&server).await, 1);
}

#[tokio::test]
async fn an_extension_keeps_an_event_and_a_stream_without_a_lease_does_too() {
    let server = with_one_partition("").await;
    let mut stream = server.subscribe(leasing(1.0)).await;
    server.publish(vec![order("a1", "a"), order("b1", "b")]).await;
    let held = stream.deliveries(2).await;
    let extended = Instant::now();
    stream.send(Sent::Extend(Extend {
        delivery_ids: vec![held[0].id],
        by: seconds(3.0),
        sequence: 5,
        ..Default::default()
    }));
    let result = stream.ack_result().await;
    assert_eq!((result.sequence, faults(&result.faults)), (5, vec![]));
    let mut forever = server.subscribe(leasing(0.0)).await;
    assert_eq!(forever.opened.lease, None);
    assert_eq!(ids(&forever.deliveries(1).await), ["b1"]);
    assert_eq!(ids(&forever.deliveries(1).await), ["a1"]);
    assert!(extended.elapsed() >= Duration::from_secs(3), "{:?}", extended.elapsed());
    stream.send(Sent::Extend(Extend {
        delivery_ids: vec![held[1].id, 7],
        by: seconds(1.0),
        ..Default::default()
    }));
    let late = stream.ack_result().await;
    assert_eq!(faults(&late.faults), [Reason::Expired, Reason::Unknown]);
}

/// What waits for credit is in nobody's hands.
#[tokio::test]
async fn a_lease_begins_when_the_event_is_sent() {
    let server = with_one_partition("").await;
    let without_credit = Open {
        credit: None,
        ..leasing(1.0)
    };
    let mut stream = server.subscribe(without_credit).await;
    server.publish(vec![order("a1", "a")]).await;
    let mut beats = 0;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(2_500) {
        stream.heartbeat().await;
        beats += 1;
        assert!(beats < 100, "heartbeats come each second");
    }
    stream.send(Sent::Credit(Credit { events: 1, bytes: 0 }));
    let got = stream.deliveries(1).await;
    assert_eq!((got[0].attempt, got[0].failures), (1, 0));
}

#[tokio::test]
async fn an_extension_longer_than_allowed_ends_the_stream() {
    let server = with_one_partition("[delivery]\nmax_lease = '10s'\nlease = '5s'\n").await;
    for by in [seconds(11.0), seconds(0.0), None] {
        let mut stream = server.subscribe(open("group")).await;
        stream.send(Sent::Extend(Extend {
            by,
            ..Default::default()
        }));
        let refusal = refused(stream.end().await, Code::InvalidArgument, "REQUEST_INVALID");
        assert!(refusal.message().contains("extend.by"), "{}", refusal.message());
    }
}
