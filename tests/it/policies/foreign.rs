//! What belongs to groups that are somebody else's: plans, resets, replays, dead letters and snapshots, by name or by id.

use tidings::proto::tidings::v1::{
    ApplyResetRequest, DeleteGroupRequest, GetGroupRequest, GetReplayRequest, GetResetPlanRequest, GetResetRequest,
    GetSnapshotRequest, ListDeadLettersRequest, ListGroupsRequest, ListResetsRequest, PlanResetRequest, Position,
    PutCheckpointHeader, PutCheckpointRequest, ReadRequest, SendCommandRequest, Start, StopReplayRequest, Target,
    UndoResetRequest, command_service_client::CommandServiceClient,
    dead_letter_service_client::DeadLetterServiceClient, offset_service_client::OffsetServiceClient,
    put_checkpoint_request::Frame as Put, replay_service_client::ReplayServiceClient, send_command_request, start::At,
    state_service_client::StateServiceClient, subscriber_service_client::SubscriberServiceClient, target::To,
};
use tonic::Code;

use super::{
    denied,
    groups::{Stream, open},
    policy, publish, shown, with_admin,
};
use crate::harness::{Server, status::refused};

/// Two groups, `own` of the token `a` and `other`, which has a plan; its id.
async fn server() -> (Server, String) {
    let all = "\"subscribe\", \"read\", \"reset\", \"dead-letter\", \"state\", \"command\"";
    let policies = policy(all, "topics = [\"mine\"]\ngroups = [\"own\"]\ncheckpoints = [\"own\"]");
    let server = Server::start_with(&with_admin(&policies)).await;
    for (group, topic) in [("own", "mine"), ("other", "theirs")] {
        publish(shown(&server, "root"), topic, topic).await.expect("published");
        let mut stream = Stream::open(shown(&server, "root"), open(group, &[topic]))
            .await
            .expect("a stream");
        stream.event().await.expect("an event");
    }
    let mut offsets = OffsetServiceClient::new(shown(&server, "root"));
    let planned = offsets
        .plan_reset(plan("other", To::Earliest(())))
        .await
        .expect("planned");
    (server, planned.into_inner().plan.expect("a plan").id)
}

/// A plan for a group.
pub(crate) fn plan(group: &str, to: To) -> PlanResetRequest {
    PlanResetRequest {
        group: group.to_owned(),
        target: Some(Target { to: Some(to) }),
        reason: "test".to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn groups_are_seen_by_those_who_may_do_something_with_them() {
    let (server, _) = server().await;
    let mut offsets = OffsetServiceClient::new(shown(&server, "a"));
    let listed = offsets
        .list_groups(ListGroupsRequest::default())
        .await
        .expect("a list")
        .into_inner()
        .groups;
    assert_eq!(
        listed.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(),
        ["own"]
    );
    let mut get = async |group: &str| {
        offsets
            .get_group(GetGroupRequest {
                group: group.to_owned(),
            })
            .await
    };
    get("own").await.expect("seen");
    assert_eq!(
        denied(get("other").await).replace("other", "none"),
        denied(get("none").await)
    );
    let delete = DeleteGroupRequest {
        group: "own".to_owned(),
        reason: "test".to_owned(),
        ..Default::default()
    };
    denied(OffsetServiceClient::new(shown(&server, "a")).delete_group(delete).await);
}

#[tokio::test]
async fn ids_of_others_are_as_if_they_were_not_there() {
    let (server, theirs) = server().await;
    let mut offsets = OffsetServiceClient::new(shown(&server, "a"));
    let mut texts = Vec::new();
    for id in [theirs.as_str(), "none"] {
        let got = offsets
            .get_reset_plan(GetResetPlanRequest { plan_id: id.to_owned() })
            .await;
        let apply = ApplyResetRequest {
            plan_id: id.to_owned(),
            reason: "test".to_owned(),
            ..Default::default()
        };
        let applied = offsets.apply_reset(apply).await;
        let undo = UndoResetRequest {
            reset_id: id.to_owned(),
            reason: "test".to_owned(),
            ..Default::default()
        };
        let undone = offsets.undo_reset(undo).await;
        let reset = offsets
            .get_reset(GetResetRequest {
                reset_id: id.to_owned(),
            })
            .await;
        let told = [
            refused(got, Code::NotFound, "PLAN_NOT_FOUND"),
            refused(applied, Code::NotFound, "PLAN_NOT_FOUND"),
            refused(undone, Code::NotFound, "RESET_NOT_FOUND"),
            refused(reset, Code::NotFound, "RESET_NOT_FOUND"),
        ];
        texts.push(told.map(|status| status.message().replace(id, "ID")));
    }
    assert_eq!(texts[0], texts[1]);
    let mut replays = ReplayServiceClient::new(shown(&server, "a"));
    let replay_id = "none".to_owned();
    refused(
        replays
            .get_replay(GetReplayRequest {
                replay_id: replay_id.clone(),
            })
            .await,
        Code::NotFound,
        "REPLAY_NOT_FOUND",
    );
    let stop = StopReplayRequest {
        replay_id,
        ..Default::default()
    };
    refused(replays.stop_replay(stop).await, Code::NotFound, "REPLAY_NOT_FOUND");
}

#[tokio::test]
async fn names_of_others_are_denied_wherever_they_stand() {
    let (server, theirs) = server().await;
    let mut offsets = OffsetServiceClient::new(shown(&server, "a"));
    offsets
        .plan_reset(plan("own", To::Earliest(())))
        .await
        .expect("planned");
    for (group, to) in [
        ("other", To::Earliest(())),
        ("none", To::Earliest(())),
        ("own", To::CommittedBy("other".to_owned())),
        ("own", To::Snapshot("theirs".to_owned())),
    ] {
        denied(offsets.plan_reset(plan(group, to)).await);
    }
    refused(
        offsets.plan_reset(plan("own", To::UndoResetId(theirs))).await,
        Code::NotFound,
        "RESET_NOT_FOUND",
    );
    let of_other = |group: &str| ListResetsRequest {
        group: group.to_owned(),
        ..Default::default()
    };
    denied(offsets.list_resets(of_other("other")).await);
    offsets.list_resets(of_other("")).await.expect("its own");
    let letters = |group: &str| ListDeadLettersRequest {
        group: group.to_owned(),
        ..Default::default()
    };
    let mut dead = DeadLetterServiceClient::new(shown(&server, "a"));
    dead.list_dead_letters(letters("own")).await.expect("its own");
    assert_eq!(
        denied(dead.list_dead_letters(letters("other")).await).replace("other", "none"),
        denied(dead.list_dead_letters(letters("none")).await)
    );
    let mut state = StateServiceClient::new(shown(&server, "a"));
    denied(
        state
            .get_snapshot(GetSnapshotRequest {
                name: "theirs".to_owned(),
            })
            .await,
    );
    denied(
        state
            .get_checkpoint(tidings::proto::tidings::v1::GetCheckpointRequest {
                name: "other".to_owned(),
                ..Default::default()
            })
            .await,
    );
    let start = |at: At| ReadRequest {
        topics: vec!["mine".to_owned()],
        start: Some(Start { at: Some(at) }),
        ..Default::default()
    };
    let mut reader = SubscriberServiceClient::new(shown(&server, "a"));
    denied(reader.read(start(At::Snapshot("theirs".to_owned()))).await);
    denied(reader.read(start(At::Checkpoint("other".to_owned()))).await);
}

#[tokio::test]
async fn nobody_commands_the_services_of_others() {
    let (server, _) = server().await;
    let command = |target| SendCommandRequest {
        name: "stop".to_owned(),
        target: Some(target),
        ..Default::default()
    };
    let mut commands = CommandServiceClient::new(shown(&server, "a"));
    for target in [
        send_command_request::Target::Group("other".to_owned()),
        send_command_request::Target::Instance("12345678-12345678".to_owned()),
    ] {
        denied(commands.send_command(command(target)).await);
    }
}

/// It would ack events of a topic that the caller may not subscribe to.
#[tokio::test]
async fn a_checkpoint_acks_only_topics_that_its_owner_may_have_in_the_group() {
    let policies = policy("\"subscribe\"", "topics = [\"mine\"]\ngroups = [\"own\"]")
        + &policy("\"state\"", "topics = [\"mine\", \"theirs\"]\ncheckpoints = [\"own\"]");
    let server = Server::start_with(&with_admin(&policies)).await;
    for topic in ["mine", "theirs"] {
        publish(shown(&server, "root"), topic, topic).await.expect("published");
    }
    let both = open("own", &["mine", "theirs"]);
    let _stream = Stream::open(shown(&server, "root"), both).await.expect("a stream");
    let mut state = StateServiceClient::new(shown(&server, "a"));
    let mut put = async |topic: &str| {
        let header = PutCheckpointHeader {
            name: "own".to_owned(),
            group: "own".to_owned(),
            group_epoch: Some(0),
            positions: vec![Position {
                topic: topic.to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let frames = [Put::Header(header), Put::Finish(())].map(|frame| PutCheckpointRequest { frame: Some(frame) });
        state.put_checkpoint(tokio_stream::iter(frames)).await
    };
    assert!(denied(put("theirs").await).contains("topic theirs"));
    put("mine").await.expect("its own");
}
