//! Resets that are refused, and why.

use tidings::proto::tidings::v1::{
    ApplyResetRequest, OnConflict, OnGap, Open, PlanResetRequest, TopicPartition, target::To,
};

use super::{apply, applying, committed, create, group, plan, reset, to, try_apply, try_plan, with_events};
use crate::harness::{
    Server,
    clients::{ORDERS, open},
    status::{fields, reason_of, resource},
};

#[tokio::test]
async fn a_plan_that_cannot_be_made_is_named_with_its_field() {
    let server = with_events(3).await;
    let _stream = server.subscribe(open("group")).await;
    let foreign = PlanResetRequest {
        group: "nobody".to_owned(),
        ..to(To::Latest(()))
    };
    assert_eq!(
        reason_of(&try_plan(&server, foreign).await.expect_err("unknown")),
        "GROUP_NOT_FOUND"
    );
    let nowhere = PlanResetRequest {
        target: None,
        ..to(To::Latest(()))
    };
    assert_eq!(
        fields(&try_plan(&server, nowhere).await.expect_err("no target")),
        ["target"]
    );
    let still = try_plan(&server, to(To::ShiftBy(0))).await.expect_err("no shift");
    assert_eq!(fields(&still), ["target.shift_by"]);
    let other = PlanResetRequest {
        topics: vec![ORDERS.to_owned(), "other".to_owned()],
        ..to(To::Latest(()))
    };
    assert_eq!(
        fields(&try_plan(&server, other).await.expect_err("a topic")),
        ["topics[1]"]
    );
    let missing = TopicPartition {
        topic: ORDERS.to_owned(),
        partition: 7,
    };
    let missing = PlanResetRequest {
        partitions: vec![missing],
        ..to(To::Latest(()))
    };
    assert_eq!(
        fields(&try_plan(&server, missing).await.expect_err("a partition")),
        ["partitions[0]"]
    );
    let nobody = try_plan(&server, to(To::CommittedBy("nobody".to_owned())))
        .await
        .expect_err("a group");
    assert_eq!(fields(&nobody), ["target.committed_by"]);
}

#[tokio::test]
async fn a_plan_is_applied_once_as_it_was_seen_and_for_a_reason() {
    let server = with_events(3).await;
    let _stream = server.subscribe(open("group")).await;
    let made = plan(&server, to(To::Latest(()))).await;
    let unknown = ApplyResetRequest {
        plan_id: "nothing".to_owned(),
        ..applying(&made)
    };
    assert_eq!(
        reason_of(&try_apply(&server, unknown).await.expect_err("unknown")),
        "PLAN_NOT_FOUND"
    );
    let unseen = ApplyResetRequest {
        hash: b"another".to_vec().into(),
        ..applying(&made)
    };
    assert_eq!(fields(&try_apply(&server, unseen).await.expect_err("unseen")), ["hash"]);
    let groundless = ApplyResetRequest {
        reason: " ".to_owned(),
        ..applying(&made)
    };
    assert_eq!(
        fields(&try_apply(&server, groundless).await.expect_err("no reason")),
        ["reason"]
    );
    assert_eq!((committed(&server).await, group(&server).await.epoch), (0, 0));
    let request = ApplyResetRequest {
        request_id: "once".to_owned(),
        ..applying(&made)
    };
    let first = apply(&server, request.clone()).await;
    assert_eq!(apply(&server, request).await, first, "the same id, the same answer");
    let again = try_apply(&server, applying(&made)).await.expect_err("another request");
    assert_eq!(
        (reason_of(&again), resource(&again)),
        ("PLAN_APPLIED".to_owned(), made.id)
    );
    assert_eq!(group(&server).await.epoch, 1);
}

#[tokio::test]
async fn a_plan_is_stale_once_the_group_has_changed_and_a_fresh_one_is_named() {
    let server = with_events(3).await;
    let _stream = server.subscribe(open("group")).await;
    let old = plan(&server, to(To::Latest(()))).await;
    reset(&server, to(To::Earliest(()))).await;
    let stale = try_apply(&server, applying(&old)).await.expect_err("another epoch");
    assert_eq!(reason_of(&stale), "PLAN_STALE");
    let older = plan(&server, to(To::Latest(()))).await;
    let replace = Open {
        on_gap: OnGap::Fail.into(),
        on_conflict: OnConflict::Replace.into(),
        ..open("group")
    };
    let _changed = server.subscribe(replace).await;
    let stale = try_apply(&server, applying(&older))
        .await
        .expect_err("another revision");
    assert_eq!(reason_of(&stale), "PLAN_STALE");
    let request = tidings::proto::tidings::v1::GetResetPlanRequest {
        plan_id: resource(&stale),
    };
    let fresh = server
        .groups()
        .get_reset_plan(request)
        .await
        .expect("a plan")
        .into_inner()
        .plan
        .expect("a plan");
    assert_ne!(fresh.id, older.id);
    apply(&server, applying(&fresh)).await;
    assert_eq!(committed(&server).await, 3);
}

#[tokio::test]
async fn a_plan_whose_time_is_over_is_refused() {
    let server = Server::start_with("[delivery]\nplan_lifetime = \"1ms\"\n").await;
    create(&server, 1).await;
    let _stream = server.subscribe(open("group")).await;
    let old = plan(&server, to(To::Latest(()))).await;
    // By then a millisecond is over.
    group(&server).await;
    let stale = try_apply(&server, applying(&old)).await.expect_err("its time is over");
    assert_eq!(reason_of(&stale), "PLAN_STALE");
}
