//! Events that are gone from the log before they were read: told, never passed over in silence.

use tidings::proto::{
    io::cloudevents::v1::{CloudEvent, cloud_event::Data},
    tidings::v1::{
        CreateTopicRequest, Gap, GapReason, GetGroupRequest, GetTopicRequest, OnGap, Open, Position, Positions,
        ReadRequest, Start, TopicSettings, read_response, start::At, subscribe_response::Frame, target::To,
    },
};
use tonic::Code;

use crate::{
    harness::{
        SOON, Server,
        clients::{ORDERS, Subscription, ids, open, order, request},
        eventually,
        status::refused,
    },
    resets::{apply, applying, plan, to},
};

fn at(offset: i64) -> Option<Start> {
    let position = Position {
        topic: ORDERS.to_owned(),
        partition: 0,
        offset,
    };
    let positions = vec![position];
    Some(Start {
        at: Some(At::Positions(Positions { positions })),
    })
}

/// A server that keeps little: its segments are small, and all but the newest are deleted.
async fn forgetful() -> Server {
    forgetful_with("").await
}

/// The same with more configuration.
pub(crate) async fn forgetful_with(config: &str) -> Server {
    let server = Server::start_with(&format!("[log.embedded]\nsegment_bytes = \"1MiB\"\n{config}")).await;
    let settings = TopicSettings {
        partitions: Some(1),
        retention_bytes: Some(1024 * 1024),
        ..Default::default()
    };
    let request = CreateTopicRequest {
        name: ORDERS.to_owned(),
        settings: Some(settings),
    };
    server.topics().create_topic(request).await.expect("create the topic");
    server
}

/// Publishes more than is kept, and waits until retention has deleted some; gives where the partition starts.
pub(crate) async fn forget(server: Server) -> (Server, i64) {
    let large = |n: usize| CloudEvent {
        data: Some(Data::BinaryData(vec![7; 300_000].into())),
        ..order(&n.to_string(), &n.to_string())
    };
    for _ in 0..3 {
        server.try_publish(request((0..10).map(large))).await.expect("publish");
    }
    let server = server.retain().await;
    let start = eventually(SOON, "retention", async || match start_of(&server).await {
        0 => None,
        start => Some(start),
    })
    .await;
    (server, start)
}

pub(crate) async fn start_of(server: &Server) -> i64 {
    let request = GetTopicRequest {
        name: ORDERS.to_owned(),
    };
    let answer = server.topics().get_topic(request).await.expect("there");
    answer.into_inner().topic.expect("a topic").partitions[0].start
}

async fn gap(stream: &mut Subscription) -> Gap {
    stream
        .until("the gap", |frame| match frame {
            Frame::Gap(gap) => Some(gap),
            Frame::Deliveries(early) => panic!("{:?}", ids(&early.deliveries)),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn a_group_that_retention_overtook_is_told_and_goes_on_with_the_oldest() {
    let server = forgetful().await;
    let before = Open {
        credit: None,
        ..open("group")
    };
    server.subscribe(before).await.close().await;
    let (server, start) = forget(server).await;
    let mut stream = server.subscribe(open("group")).await;
    let gap = gap(&mut stream).await;
    assert_eq!((gap.from_offset, gap.reason()), (0, GapReason::Retention));
    assert!(gap.to_offset >= start);
    let first = &stream.at_least(1).await[0];
    assert_eq!(first.position.as_ref().expect("set").offset, gap.to_offset);
}

#[tokio::test]
async fn a_group_that_asked_to_be_told_ends_with_position_gone() {
    let server = forgetful().await;
    let failing = |credit| Open {
        on_gap: OnGap::Fail.into(),
        credit,
        ..open("group")
    };
    server.subscribe(failing(None)).await.close().await;
    let (server, _) = forget(server).await;
    for _ in 0..2 {
        let ended = server.open_refused(failing(open("group").credit)).await;
        let status = refused(ended, Code::OutOfRange, "POSITION_GONE");
        assert!(status.message().contains(ORDERS), "{}", status.message());
    }
}

#[tokio::test]
async fn a_reset_takes_a_group_over_a_gap_that_it_would_fail_at() {
    let server = forgetful().await;
    let failing = |credit| Open {
        on_gap: OnGap::Fail.into(),
        credit,
        ..open("group")
    };
    server.subscribe(failing(None)).await.close().await;
    let (server, start) = forget(server).await;
    let ended = server.open_refused(failing(None)).await;
    refused(ended, Code::OutOfRange, "POSITION_GONE");
    let made = plan(&server, to(To::Earliest(()))).await;
    assert_eq!((made.gone, made.moves[0].to_offset), (0, start));
    apply(&server, applying(&made)).await;
    let mut stream = server.subscribe(failing(open("group").credit)).await;
    let first = &stream.at_least(1).await[0];
    assert_eq!(first.position.as_ref().expect("set").offset, start);
}

#[tokio::test]
async fn a_group_that_starts_behind_the_end_is_told_and_starts_at_the_oldest() {
    let server = forgetful().await;
    server.publish(vec![order("1", "a")]).await;
    let beyond = Open {
        start: at(1_000),
        ..open("group")
    };
    let mut stream = server.subscribe(beyond).await;
    let gap = gap(&mut stream).await;
    assert_eq!(
        (gap.from_offset, gap.to_offset, gap.reason()),
        (1_000, 0, GapReason::Truncated)
    );
    assert_eq!(ids(&stream.deliveries(1).await), ["1"]);
}

#[tokio::test]
async fn a_reader_below_the_start_is_told_and_reads_the_oldest() {
    let server = forgetful().await;
    let (server, start) = forget(server).await;
    let request = ReadRequest {
        topics: vec![ORDERS.to_owned()],
        start: at(0),
        ..Default::default()
    };
    let mut reading = server.read(request).await.expect("read");
    let Some(read_response::Frame::Gap(gap)) = reading.next().await.expect("no error") else {
        panic!("no gap");
    };
    assert_eq!((gap.from_offset, gap.reason()), (0, GapReason::Retention));
    assert!(gap.to_offset >= start);
    let rest = reading.rest().await.expect("to its end");
    assert_eq!(rest[0].position.as_ref().expect("set").offset, gap.to_offset);
}

#[tokio::test]
async fn a_group_that_retention_has_overtaken_says_what_it_lost_before_it_is_opened_again() {
    let server = forgetful().await;
    drop(server.subscribe(open("group")).await);
    let (server, start) = forget(server).await;
    let request = GetGroupRequest {
        group: "group".to_owned(),
    };
    let got = server.groups().get_group(request).await.expect("the group");
    let row = got.into_inner().group.expect("a group").partitions.remove(0);
    assert_eq!((row.lost_events, row.time_to_loss), (start, None));
    let shown = server.run(["groups", "show", "group"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&format!("loss         LOST {start}\n")), "{shown}");
    let told = server
        .logged("retention has deleted events that the group had not got")
        .await;
    assert_eq!(told["lost"], start);
}

#[tokio::test]
async fn a_group_that_is_behind_is_told_how_long_its_next_event_is_kept() {
    const DAY: i64 = 24 * 60 * 60;
    let server = Server::start().await;
    let settings = TopicSettings {
        partitions: Some(1),
        retention: Some(prost_types::Duration { seconds: DAY, nanos: 0 }),
        ..Default::default()
    };
    let request = CreateTopicRequest {
        name: ORDERS.to_owned(),
        settings: Some(settings),
    };
    server.topics().create_topic(request).await.expect("create the topic");
    server.publish(vec![order("1", "a")]).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(1).await;
    let left = || async {
        let request = GetGroupRequest {
            group: "group".to_owned(),
        };
        let got = server.groups().get_group(request).await.expect("the group");
        got.into_inner().group.expect("a group").partitions[0].time_to_loss
    };
    let seconds = left().await.expect("it is behind").seconds;
    assert!((DAY - 60..DAY).contains(&seconds), "{seconds}");
    stream.ack(&got);
    stream.close().await;
    eventually(SOON, "nothing to lose", || async {
        left().await.is_none().then_some(())
    })
    .await;
}
