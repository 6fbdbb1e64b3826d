//! Resets: planned, applied to groups that run or do not, taken back; refused where that is right.

mod command;
mod refused;
mod targets;
mod undo;

use tidings::proto::io::cloudevents::v1::cloud_event::Data;
use tidings::proto::tidings::v1::{
    Ack, ApplyResetRequest, CreateTopicRequest, DeleteTopicRequest, Delivery, GetGroupRequest, GetResetRequest, Group,
    ListResetsRequest, PlanResetRequest, Reason, Reset, ResetApplied, ResetPlan, ResetState, Target, TopicSettings,
    subscribe_request::Frame as Sent, subscribe_response::Frame, target::To,
};
use tonic::Status;

use crate::harness::{
    Server,
    clients::{ORDERS, Subscription, ids, open, order},
    within,
};

/// A server with so many events, each with a key of its own, in one partition.
pub(crate) async fn with_events(count: usize) -> Server {
    let server = Server::start().await;
    create(&server, 1).await;
    publish(&server, 0..count).await;
    server
}

pub(crate) async fn create(server: &Server, partitions: i32) {
    let settings = TopicSettings {
        partitions: Some(partitions),
        ..Default::default()
    };
    let request = CreateTopicRequest {
        name: ORDERS.to_owned(),
        settings: Some(settings),
    };
    server.topics().create_topic(request).await.expect("create the topic");
}

pub(crate) async fn publish(server: &Server, numbers: std::ops::Range<usize>) {
    let events = numbers.map(|n| order(&n.to_string(), &n.to_string()));
    server.publish(events.collect()).await;
}

pub(crate) fn to(to: To) -> PlanResetRequest {
    PlanResetRequest {
        group: "group".to_owned(),
        target: Some(Target { to: Some(to) }),
        reason: "a test".to_owned(),
        ..Default::default()
    }
}

pub(crate) async fn plan(server: &Server, request: PlanResetRequest) -> ResetPlan {
    try_plan(server, request).await.expect("plan a reset")
}

pub(crate) async fn try_plan(server: &Server, request: PlanResetRequest) -> Result<ResetPlan, Status> {
    let answer = within("a plan", server.groups().plan_reset(request)).await?;
    Ok(answer.into_inner().plan.expect("a plan"))
}

/// As it was planned, for a reason.
pub(crate) fn applying(plan: &ResetPlan) -> ApplyResetRequest {
    ApplyResetRequest {
        plan_id: plan.id.clone(),
        hash: plan.hash.clone(),
        reason: "it has to be".to_owned(),
        request_id: String::new(),
    }
}

pub(crate) async fn apply(server: &Server, request: ApplyResetRequest) -> Reset {
    try_apply(server, request).await.expect("apply a reset")
}

pub(crate) async fn try_apply(server: &Server, request: ApplyResetRequest) -> Result<Reset, Status> {
    let answer = within("a reset", server.groups().apply_reset(request)).await?;
    Ok(answer.into_inner().reset.expect("a reset"))
}

/// Plans and applies.
pub(crate) async fn reset(server: &Server, request: PlanResetRequest) -> Reset {
    let plan = plan(server, request).await;
    apply(server, applying(&plan)).await
}

pub(crate) async fn group(server: &Server) -> Group {
    let request = GetGroupRequest {
        group: "group".to_owned(),
    };
    let answer = within("a group", server.groups().get_group(request)).await;
    answer.expect("the group").into_inner().group.expect("a group")
}

pub(crate) async fn committed(server: &Server) -> i64 {
    let rows = group(server).await.partitions;
    rows.iter().filter_map(|row| row.committed).sum()
}

/// Acks, and waits until that is committed.
pub(crate) async fn ack(stream: &mut Subscription, deliveries: &[Delivery]) -> Vec<Reason> {
    stream.send(Sent::Ack(Ack {
        delivery_ids: deliveries.iter().map(|delivery| delivery.id).collect(),
        sequence: 1,
        ..Default::default()
    }));
    let result = stream.ack_result().await;
    result.faults.iter().map(|fault| fault.reason()).collect()
}

/// Acks what was sent before a reset, and gives the faults, and what came meanwhile.
async fn ack_late(stream: &mut Subscription, deliveries: &[Delivery]) -> (Vec<Reason>, Vec<Delivery>) {
    stream.send(Sent::Ack(Ack {
        delivery_ids: deliveries.iter().map(|delivery| delivery.id).collect(),
        sequence: 1,
        ..Default::default()
    }));
    let mut came = Vec::new();
    loop {
        match stream.next().await {
            Ok(Some(Frame::Deliveries(got))) => came.extend(got.deliveries),
            Ok(Some(Frame::AckResult(result))) => {
                return (result.faults.iter().map(|fault| fault.reason()).collect(), came);
            }
            Ok(Some(_)) => {}
            end => panic!("the stream ended: {end:?}"),
        }
    }
}

pub(crate) async fn reset_applied(stream: &mut Subscription) -> ResetApplied {
    let applied = |frame| match frame {
        Frame::ResetApplied(applied) => Some(applied),
        _ => None,
    };
    stream.until("ResetApplied", applied).await
}

pub(crate) fn reset_ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.reset_id.as_str()).collect()
}

pub(crate) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn a_running_group_is_moved_back_and_told_and_gets_its_events_again_marked() {
    let server = with_events(10).await;
    let (mut one, mut other) = (
        server.subscribe(open("group")).await,
        server.subscribe(open("group")).await,
    );
    let mut got = one.at_least(1).await;
    let acked: Vec<_> = got.drain(..1).collect();
    assert_eq!(ack(&mut one, &acked).await, []);
    let plan = plan(&server, to(To::Earliest(()))).await;
    assert_eq!(
        (plan.replayed, plan.skipped, plan.gone),
        (committed(&server).await, 0, 0)
    );
    assert_eq!((plan.live_streams, plan.epoch, plan.creates_group), (2, 0, false));
    assert!(plan.moves[0].exact && !plan.moves[0].clamped && plan.moves[0].first_event_time.is_some());
    let reset = apply(&server, applying(&plan)).await;
    assert_eq!(
        (reset.state(), reset.epoch, reset.reason.as_str()),
        (ResetState::Applied, 1, "it has to be")
    );
    assert_eq!(reset.id, plan.id);
    for stream in [&mut one, &mut other] {
        let applied = reset_applied(stream).await;
        assert_eq!((applied.reset_id, applied.positions[0].offset), (reset.id.clone(), 0));
    }
    // What was sent before is void, whether it was acked in time or not.
    let (faults, mut again) = ack_late(&mut one, &got).await;
    assert!(faults.iter().all(|reason| *reason == Reason::Stale), "{faults:?}");
    drop(other);
    again.extend(one.deliveries(10 - again.len()).await);
    let mut seen = ids(&again);
    seen.sort();
    assert_eq!(seen, numbers(0..10));
    let marked = again.iter().filter(|delivery| delivery.reset_id == reset.id).count();
    assert!(marked >= 1, "what was acked before is marked: {marked}");
    assert_eq!(ack(&mut one, &again).await, []);
    assert_eq!(committed(&server).await, 10);
    publish(&server, 10..11).await;
    assert_eq!(reset_ids(&one.deliveries(1).await), [""]);
}

#[tokio::test]
async fn late_acks_move_nothing_and_what_was_skipped_is_not_sent() {
    let server = with_events(10).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(10).await;
    let reset = reset(&server, to(To::ShiftBy(7))).await;
    assert_eq!(reset_applied(&mut stream).await.positions[0].offset, 7);
    let (faults, mut again) = ack_late(&mut stream, &got).await;
    assert!(
        !faults.is_empty() && faults.iter().all(|reason| *reason == Reason::Stale),
        "{faults:?}"
    );
    assert_eq!(committed(&server).await, 7);
    again.extend(stream.deliveries(3 - again.len()).await);
    assert_eq!((ids(&again), reset_ids(&again)), (numbers(7..10), vec![""; 3]));
    assert_eq!(ack(&mut stream, &again).await, []);
    assert_eq!(reset.partitions[0].from_offset, 0);
    assert_eq!(reset.partitions[0].to_offset, 7);
}

#[tokio::test]
async fn a_group_without_streams_is_moved_and_its_next_stream_begins_there() {
    let server = with_events(10).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(10).await;
    ack(&mut stream, &got).await;
    stream.close().await;
    let reset = reset(&server, to(To::ShiftBy(-4))).await;
    assert_eq!(committed(&server).await, 6);
    let server = server.restart().await;
    let mut stream = server.subscribe(open("group")).await;
    let again = stream.deliveries(4).await;
    assert_eq!(ids(&again), numbers(6..10));
    assert_eq!(
        reset_ids(&again),
        [reset.id.as_str(); 4],
        "the mark outlives streams and servers"
    );
}

#[tokio::test]
async fn a_group_that_does_not_exist_is_created_where_the_plan_says() {
    let server = with_events(10).await;
    let request = PlanResetRequest {
        topics: vec![ORDERS.to_owned()],
        ..to(To::ShiftBy(3))
    };
    let plan = plan(&server, request).await;
    assert!(plan.creates_group && plan.moves[0].from_offset.is_none());
    apply(&server, applying(&plan)).await;
    let mut stream = server.subscribe(open("group")).await;
    assert!(!stream.opened.group_created);
    assert_eq!(ids(&stream.deliveries(7).await), numbers(3..10));
}

#[tokio::test]
async fn partitions_are_moved_alone_or_all_together() {
    let server = Server::start().await;
    create(&server, 8).await;
    publish(&server, 0..80).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(80).await;
    ack(&mut stream, &got).await;
    let one = tidings::proto::tidings::v1::TopicPartition {
        topic: ORDERS.to_owned(),
        partition: 3,
    };
    let request = PlanResetRequest {
        partitions: vec![one],
        ..to(To::Earliest(()))
    };
    let first = plan(&server, request).await;
    assert_eq!((first.moves.len(), first.moves[0].partition), (1, 3));
    apply(&server, applying(&first)).await;
    let again = stream
        .deliveries(usize::try_from(first.replayed).expect("a count"))
        .await;
    assert!(
        again
            .iter()
            .all(|delivery| delivery.position.as_ref().is_some_and(|at| at.partition == 3))
    );
    ack(&mut stream, &again).await;
    let all = reset(&server, to(To::Earliest(()))).await;
    assert_eq!((all.partitions.len(), all.epoch), (8, 2));
    let again = stream.deliveries(80).await;
    assert_eq!(reset_ids(&again), [all.id.as_str(); 80]);
}

#[tokio::test]
async fn resets_are_kept_and_listed_newest_first_after_a_restart_too() {
    let server = with_events(5).await;
    let stream = server.subscribe(open("group")).await;
    let first = reset(&server, to(To::Latest(()))).await;
    let second = reset(&server, to(To::Earliest(()))).await;
    drop(stream);
    let server = server.restart().await;
    let request = ListResetsRequest {
        group: "group".to_owned(),
        page_size: 1,
        page_token: String::new(),
    };
    let page = server
        .groups()
        .list_resets(request.clone())
        .await
        .expect("list")
        .into_inner();
    assert_eq!(page.resets, std::slice::from_ref(&second));
    let request = ListResetsRequest {
        page_token: page.next_page_token,
        ..request
    };
    let page = server.groups().list_resets(request).await.expect("list").into_inner();
    assert_eq!((page.resets, page.next_page_token.as_str()), (vec![first], ""));
    let request = GetResetRequest {
        reset_id: second.id.clone(),
    };
    let got = server
        .groups()
        .get_reset(request)
        .await
        .expect("get")
        .into_inner()
        .reset;
    assert_eq!(got, Some(second));
    assert_eq!(group(&server).await.epoch, 2);
}

#[tokio::test]
async fn what_was_acked_out_of_order_before_a_reset_hides_nothing_of_a_topic_made_anew() {
    let server = with_events(10).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(10).await;
    ack(&mut stream, &got[4..]).await;
    reset(&server, to(To::Latest(()))).await;
    let request = DeleteTopicRequest {
        name: ORDERS.to_owned(),
    };
    server.topics().delete_topic(request).await.expect("delete the topic");
    drop(stream);
    create(&server, 1).await;
    publish(&server, 0..10).await;
    let mut stream = server.subscribe(open("group")).await;
    assert_eq!(ids(&stream.deliveries(10).await), numbers(0..10));
}

#[tokio::test]
async fn what_was_done_is_audited_with_who_and_why_and_what() {
    let server = with_events(5).await;
    let _stream = server.subscribe(open("group")).await;
    let done = reset(&server, to(To::Latest(()))).await;
    let audited = server.read_all("tidings.audit").await;
    // Whoever finishes it writes it down, under the id of the reset.
    let events = audited.iter().filter_map(|read| read.event.as_ref());
    let event = events.into_iter().find(|event| event.id == done.id).expect("the act");
    assert_eq!(event.r#type, "tidings.groups.reset");
    let Some(Data::TextData(data)) = &event.data else {
        panic!("{event:?}")
    };
    let data: serde_json::Value = serde_json::from_str(data).expect("JSON");
    assert_eq!(data["plan"]["id"], done.id);
    assert_eq!(data["applied"]["reason"], "it has to be");
    assert_eq!(data["applied"]["by"], "anonymous");
    assert_eq!(data["applied"]["partitions"][0]["to"], 5);
}

#[tokio::test]
async fn a_reset_while_many_streams_ack_at_full_speed_loses_nothing_and_moves_once() {
    const EVENTS: usize = 2_000;
    let server = Server::start().await;
    create(&server, 4).await;
    publish(&server, 0..EVENTS).await;
    let mut consumers = tokio::task::JoinSet::new();
    let (seen, mut done) = tokio::sync::mpsc::channel::<(String, String)>(100_000);
    for _ in 0..16 {
        let (mut stream, seen) = (server.subscribe(open("group")).await, seen.clone());
        consumers.spawn(async move {
            while let Ok(Some(frame)) = stream.next().await {
                if let Frame::Deliveries(got) = frame {
                    stream.ack(&got.deliveries);
                    for delivery in got.deliveries {
                        let id = delivery.event.expect("an event").id;
                        if seen.send((id, delivery.reset_id)).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
    }
    let first = within("an event", done.recv()).await;
    assert!(first.is_some());
    let reset = reset(&server, to(To::Earliest(()))).await;
    // Everything comes after the reset, whatever came before it.
    let mut left: std::collections::HashSet<String> = numbers(0..EVENTS).into_iter().collect();
    let all_again = async {
        while committed(&server).await < i64::try_from(EVENTS).expect("a count") {
            tokio::task::yield_now().await;
        }
    };
    within("everything to be acked", all_again).await;
    consumers.abort_all();
    drop(seen);
    while let Some((id, _)) = done.recv().await {
        left.remove(&id);
    }
    left.remove(&first.expect("an event").0);
    assert!(left.is_empty(), "{} were never delivered", left.len());
    assert_eq!((reset.epoch, group(&server).await.epoch), (1, 1));
}
