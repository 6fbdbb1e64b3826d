//! Heartbeats: signs of life that say how far the group is and why nothing is being sent.

use tidings::proto::tidings::v1::{
    CreateTopicRequest, DeleteTopicRequest, Heartbeat, LostReason, Open, TopicSettings, Waiting,
    subscribe_response::Frame,
};

use crate::harness::{
    Server,
    clients::{ORDERS, Subscription, open, order},
};

fn alive(group: &str) -> Open {
    Open {
        heartbeat_interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..open(group)
    }
}

async fn with_one_partition(config: &str) -> Server {
    let server = Server::start_with(config).await;
    let settings = TopicSettings {
        partitions: Some(1),
        ..Default::default()
    };
    let request = CreateTopicRequest {
        name: ORDERS.to_owned(),
        settings: Some(settings),
    };
    server.topics().create_topic(request).await.expect("create the topic");
    server
}

async fn heartbeat(stream: &mut Subscription, waiting: Waiting) -> Heartbeat {
    let is_due = |frame| match frame {
        Frame::Heartbeat(beat) if beat.waiting() == waiting => Some(beat),
        _ => None,
    };
    stream.until(&format!("a heartbeat {waiting:?}"), is_due).await
}

#[tokio::test]
async fn the_interval_is_10_s_unless_asked_for() {
    let server = Server::start().await;
    let seconds = |stream: &Subscription| stream.opened.heartbeat_interval.expect("an interval").seconds;
    assert_eq!(seconds(&server.subscribe(open("group")).await), 10);
    assert_eq!(seconds(&server.subscribe(alive("group")).await), 1);
}

#[tokio::test]
async fn a_stream_that_has_everything_is_told_so_once_and_then_in_heartbeats() {
    let server = with_one_partition("").await;
    server
        .publish((0..3).map(|n| order(&n.to_string(), "a")).collect())
        .await;
    let mut stream = server.subscribe(alive("group")).await;
    for _ in 0..3 {
        // The next of the key was not sent yet: this is not all there is.
        let next = |frame| match frame {
            Frame::Deliveries(next) => Some(next.deliveries),
            Frame::CaughtUp(early) => panic!("{early:?}"),
            _ => None,
        };
        let got = stream.until("the next of the key", next).await;
        assert_eq!(got.len(), 1);
        stream.ack(&got);
    }
    let caught_up = stream
        .until("caught up", |frame| match frame {
            Frame::CaughtUp(caught_up) => Some(caught_up),
            Frame::Deliveries(more) => panic!("{more:?}"),
            _ => None,
        })
        .await;
    assert_eq!((caught_up.positions.len(), caught_up.positions[0].offset), (1, 3));
    let beat = heartbeat(&mut stream, Waiting::CaughtUp).await;
    assert_eq!((beat.outstanding_events, beat.outstanding_bytes), (0, 0));
    assert!(beat.oldest.is_none() && beat.server_time.is_some());
    server.publish(vec![order("4", "a")]).await;
    stream.deliveries(1).await;
    for _ in 0..2 {
        let again = |frame| match frame {
            Frame::CaughtUp(again) => panic!("told twice: {again:?}"),
            Frame::Heartbeat(beat) => Some(beat),
            _ => None,
        };
        let beat = stream.until("a heartbeat", again).await;
        assert_eq!(
            (beat.outstanding_events, beat.oldest.expect("the oldest").attempt),
            (1, 1)
        );
    }
}

#[tokio::test]
async fn progress_is_told_of_partitions_that_changed_since_the_last_heartbeat() {
    let server = with_one_partition("").await;
    server
        .publish((0..10).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let mut stream = server.subscribe(alive("group")).await;
    let got = stream.deliveries(10).await;
    let first = stream.heartbeat().await;
    let row = first.partitions.first().expect("a partition");
    assert_eq!(
        (row.committed, row.next, row.end, row.lag_events),
        (Some(0), 10, 10, 10)
    );
    stream.ack(&got[..4]);
    let moved = stream
        .until("progress", |frame| match frame {
            Frame::Heartbeat(beat) => beat.partitions.into_iter().find(|row| row.committed == Some(4)),
            _ => None,
        })
        .await;
    assert_eq!((moved.next, moved.end, moved.lag_events), (10, 10, 6));
    // Nothing changes any more, so nothing is told any more.
    stream
        .until("a heartbeat without progress", |frame| match frame {
            Frame::Heartbeat(beat) => beat.partitions.is_empty().then_some(()),
            _ => None,
        })
        .await;
}

#[tokio::test]
async fn a_full_window_is_told() {
    let server = with_one_partition("[delivery]\nwindow = 5\n").await;
    server
        .publish((0..20).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let mut stream = server.subscribe(alive("group")).await;
    let got = stream.deliveries(5).await;
    heartbeat(&mut stream, Waiting::WindowFull).await;
    stream.ack(&got[1..]);
    heartbeat(&mut stream, Waiting::WindowFull).await;
    stream.ack(&got[..1]);
    stream.deliveries(5).await;
}

#[tokio::test]
async fn a_deleted_topic_is_lost_and_its_next_life_is_delivered() {
    let server = with_one_partition("").await;
    server.publish(vec![order("1", "a"), order("2", "a")]).await;
    let mut stream = server.subscribe(alive("group")).await;
    let got = stream.deliveries(1).await;
    let delete = DeleteTopicRequest {
        name: ORDERS.to_owned(),
    };
    server.topics().delete_topic(delete).await.expect("delete the topic");
    let lost = stream
        .until("the loss", |frame| match frame {
            Frame::Assignment(change) if !change.lost.is_empty() => Some(change.lost),
            _ => None,
        })
        .await;
    assert!(lost.iter().all(|lost| lost.reason() == LostReason::TopicDeleted));
    stream.ack(&got);
    let stale = stream.ack_result().await;
    assert_eq!(stale.faults[0].reason(), tidings::proto::tidings::v1::Reason::Stale);
    heartbeat(&mut stream, Waiting::NoPartitions).await;
    server.publish(vec![order("3", "a")]).await;
    let new = stream.deliveries(1).await;
    assert_eq!(new[0].event.as_ref().expect("an event").id, "3");
    assert_eq!(new[0].position.as_ref().expect("a position").offset, 0);
    stream.ack(&new);
    stream.close().await;
}

#[tokio::test]
async fn a_topic_that_is_deleted_while_nobody_is_subscribed_is_no_fault_and_comes_back() {
    let server = with_one_partition("").await;
    server
        .publish((0..5).map(|n| order(&n.to_string(), "a")).collect())
        .await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(1).await;
    stream.ack(&got);
    stream.close().await;
    let delete = DeleteTopicRequest {
        name: ORDERS.to_owned(),
    };
    server.topics().delete_topic(delete).await.expect("delete the topic");
    let mut stream = server.subscribe(alive("group")).await;
    heartbeat(&mut stream, Waiting::NoPartitions).await;
    server.publish(vec![order("new", "a")]).await;
    assert_eq!(
        stream.deliveries(1).await[0].event.as_ref().expect("an event").id,
        "new"
    );
}
