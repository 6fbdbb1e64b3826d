//! Resets that are taken back.

use tidings::proto::tidings::v1::{
    ListResetsRequest, PlanResetRequest, Reset, ResetPlan, UndoResetRequest, target::To,
};
use tonic::Status;

use super::{ack, committed, numbers, reset, reset_applied, reset_ids, to, try_plan, with_events};
use crate::harness::{
    Server,
    clients::{ORDERS, ids, open},
    status::{fields, reason_of},
    within,
};

async fn undo(server: &Server, request: UndoResetRequest) -> Result<(ResetPlan, Option<Reset>), Status> {
    let answer = within("an undo", server.groups().undo_reset(request))
        .await?
        .into_inner();
    Ok((answer.plan.expect("a plan"), answer.reset))
}

fn undoing(reset: &Reset) -> UndoResetRequest {
    UndoResetRequest {
        reset_id: reset.id.clone(),
        reason: "it was wrong".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_group_stands_again_where_it_stood_with_what_was_acked_out_of_order() {
    let server = with_events(10).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(10).await;
    // 0 to 3, and 5 and 8 above.
    let acked: Vec<_> = [0, 1, 2, 3, 5, 8].map(|n| got[n].clone()).into();
    ack(&mut stream, &acked).await;
    let moved = reset(&server, to(To::Earliest(()))).await;
    let again = stream.deliveries(10).await;
    // Marked is what was acked before.
    assert_eq!(ids(&again), numbers(0..10));
    assert_eq!(again[0].reset_id, moved.id);
    // 9 is done with after the reset, and stays so.
    ack(&mut stream, &again[9..]).await;
    let (plan, undone) = undo(&server, undoing(&moved)).await.expect("undo");
    let undone = undone.expect("a reset");
    assert_eq!((plan.undo_reset_id, plan.moves[0].to_offset), (moved.id.clone(), 4));
    assert_eq!((undone.partitions[0].to_offset, undone.epoch), (4, 2));
    reset_applied(&mut stream).await;
    let rest = stream.deliveries(3).await;
    assert_eq!(ids(&rest), ["4", "6", "7"]);
    ack(&mut stream, &rest).await;
    assert_eq!(committed(&server).await, 10);
}

#[tokio::test]
async fn what_was_skipped_comes_after_an_undo_and_what_was_acked_behind_it_does_not() {
    let server = with_events(10).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(10).await;
    ack(&mut stream, &got[..2]).await;
    let skipped = reset(&server, to(To::ShiftBy(5))).await;
    let behind = stream.deliveries(3).await;
    ack(&mut stream, &behind).await;
    assert_eq!(committed(&server).await, 10);
    undo(&server, undoing(&skipped)).await.expect("undo");
    let back = stream.deliveries(5).await;
    assert_eq!(ids(&back), numbers(2..7));
    // They were skipped, and so are not sent again.
    assert_eq!(reset_ids(&back), [""; 5]);
    // A restart in between changes nothing.
    ack(&mut stream, &back[..1]).await;
    drop(stream);
    let server = server.restart().await;
    let mut stream = server.subscribe(open("group")).await;
    let rest = stream.deliveries(4).await;
    assert_eq!(ids(&rest), numbers(3..7));
    ack(&mut stream, &rest).await;
    assert_eq!(committed(&server).await, 10);
}

#[tokio::test]
async fn an_undo_is_shown_first_and_repeated_safely_and_undone_itself() {
    let server = with_events(10).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(10).await;
    ack(&mut stream, &got).await;
    let moved = reset(&server, to(To::ShiftBy(-3))).await;
    let request = UndoResetRequest {
        validate_only: true,
        ..undoing(&moved)
    };
    let (plan, none) = undo(&server, request).await.expect("a plan");
    assert_eq!((plan.moves[0].to_offset, none), (10, None));
    assert_eq!(committed(&server).await, 7);
    let request = UndoResetRequest {
        request_id: "once".to_owned(),
        ..undoing(&moved)
    };
    let (_, first) = undo(&server, request.clone()).await.expect("undo");
    let (_, second) = undo(&server, request).await.expect("the same answer");
    assert_eq!(first, second);
    assert_eq!(committed(&server).await, 10);
    let undone = first.expect("a reset");
    let (_, again) = undo(&server, undoing(&undone)).await.expect("undo the undo");
    assert_eq!(committed(&server).await, 7);
    let listed = server
        .groups()
        .list_resets(ListResetsRequest::default())
        .await
        .expect("list");
    assert_eq!(listed.into_inner().resets.len(), 3);
    // Three of the first reset, and three of the last.
    let mut events = stream.at_least(6).await;
    events.retain(|delivery| delivery.reset_id == again.as_ref().expect("a reset").id);
    assert_eq!(reset_ids(&events).len(), 3);
}

#[tokio::test]
async fn only_the_last_reset_can_be_taken_back() {
    let server = with_events(10).await;
    let _stream = server.subscribe(open("group")).await;
    let first = reset(&server, to(To::Latest(()))).await;
    reset(&server, to(To::Earliest(()))).await;
    let refused = undo(&server, undoing(&first)).await.expect_err("refused");
    assert_eq!(reason_of(&refused), "RESET_SUPERSEDED");
    let unknown = UndoResetRequest {
        reset_id: "nothing".to_owned(),
        ..undoing(&first)
    };
    assert_eq!(
        reason_of(&undo(&server, unknown).await.expect_err("unknown")),
        "RESET_NOT_FOUND"
    );
}

#[tokio::test]
async fn a_reset_of_another_group_or_one_that_created_a_group_is_not_taken_back() {
    let server = with_events(10).await;
    let creating = PlanResetRequest {
        topics: vec![ORDERS.to_owned()],
        ..to(To::ShiftBy(3))
    };
    let created = reset(&server, creating).await;
    let refused = undo(&server, undoing(&created))
        .await
        .expect_err("it created the group");
    assert_eq!(fields(&refused), ["reset_id"]);
    let moved = reset(&server, to(To::Latest(()))).await;
    let _other = server.subscribe(open("other")).await;
    let foreign = PlanResetRequest {
        group: "other".to_owned(),
        ..to(To::UndoResetId(moved.id))
    };
    let refused = try_plan(&server, foreign).await.expect_err("of another group");
    assert_eq!(fields(&refused), ["target.undo_reset_id"]);
}
