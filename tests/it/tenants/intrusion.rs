//! What a tenant tries with what is another's, by whatever name or id: all of it fails, and none of it tells what there is.

use tidings::proto::tidings::v1::{
    CreateSnapshotRequest, CreateTopicRequest, DeleteGroupRequest, DeleteSnapshotRequest, DeleteTopicRequest,
    DiscardDeadLettersRequest, Filter, GetCheckpointRequest, GetDeadLetterRequest, GetGroupRequest,
    GetResetPlanRequest, GetSnapshotRequest, GetTopicRequest, ListCheckpointsRequest, ListDeadLettersRequest,
    ListGroupsRequest, ListTopicsRequest, PutCheckpointHeader, PutCheckpointRequest, ReadRequest, RestoreRequest,
    SendCommandRequest, Start, StartReplayRequest, UpdateTopicRequest, command_service_client::CommandServiceClient,
    dead_letter_service_client::DeadLetterServiceClient, filter::Dialect, offset_service_client::OffsetServiceClient,
    put_checkpoint_request::Frame as Put, replay_service_client::ReplayServiceClient, send_command_request, start::At,
    state_service_client::StateServiceClient, subscriber_service_client::SubscriberServiceClient, target::To,
    topic_service_client::TopicServiceClient,
};
use tonic::{Code, Status};

use super::{config, publish};
use crate::{
    auth::Shown,
    harness::{
        Server,
        clients::{ORDERS, order},
        status::refused,
        within,
    },
    policies::{
        denied,
        foreign::plan,
        groups::{Stream, open},
        shown,
    },
    state::Store,
};

/// `beta` has a topic, a group, a checkpoint, a snapshot and a plan, whose id is given too.
async fn server(store: &Store) -> (Server, String) {
    let server = Server::start_with(&config(&store.config(""))).await;
    let beta = shown(&server, "beta");
    for topic in ["beta.x", ORDERS] {
        publish(beta.clone(), topic, vec![order(topic, "1")])
            .await
            .expect("published");
    }
    let mut stream = Stream::open(beta.clone(), open("beta.g", &["beta.x"]))
        .await
        .expect("a stream");
    stream.event().await.expect("an event");
    let snapshot = CreateSnapshotRequest {
        topic: "beta.x".to_owned(),
        reason: "test".to_owned(),
        ..Default::default()
    };
    StateServiceClient::new(beta.clone())
        .create_snapshot(snapshot)
        .await
        .expect("taken");
    put(beta.clone(), "beta.c").await.expect("put");
    let mut offsets = OffsetServiceClient::new(beta);
    let planned = offsets
        .plan_reset(plan("beta.g", To::Earliest(())))
        .await
        .expect("planned");
    (server, planned.into_inner().plan.expect("a plan").id)
}

async fn put(channel: Shown, name: &str) -> Result<(), Status> {
    let header = PutCheckpointHeader {
        name: name.to_owned(),
        ..Default::default()
    };
    let frames = [Put::Header(header), Put::Finish(())].map(|frame| PutCheckpointRequest { frame: Some(frame) });
    let mut state = StateServiceClient::new(channel);
    within("a checkpoint", state.put_checkpoint(tokio_stream::iter(frames)))
        .await
        .map(|_| ())
}

/// Everything that names a group.
async fn with_group(acme: &Shown, group: &str) -> Vec<Result<(), Status>> {
    let (name, reason) = (|| group.to_owned(), || "test".to_owned());
    let mut offsets = OffsetServiceClient::new(acme.clone());
    let mut letters = DeadLetterServiceClient::new(acme.clone());
    let delete = DeleteGroupRequest {
        group: name(),
        reason: reason(),
        ..Default::default()
    };
    let list = ListDeadLettersRequest {
        group: name(),
        ..Default::default()
    };
    let get = GetDeadLetterRequest {
        group: name(),
        id: "0".repeat(16),
        include_event: true,
    };
    let discard = DiscardDeadLettersRequest {
        group: name(),
        reason: reason(),
        ..Default::default()
    };
    let replay = StartReplayRequest {
        group: name(),
        reason: reason(),
        ..Default::default()
    };
    let command = SendCommandRequest {
        name: "stop".to_owned(),
        target: Some(send_command_request::Target::Group(name())),
        ..Default::default()
    };
    vec![
        Stream::open(acme.clone(), open(group, &[ORDERS])).await.map(drop),
        offsets.get_group(GetGroupRequest { group: name() }).await.map(drop),
        offsets.delete_group(delete).await.map(drop),
        offsets.plan_reset(plan(group, To::Earliest(()))).await.map(drop),
        offsets
            .plan_reset(plan("acme.g", To::CommittedBy(name())))
            .await
            .map(drop),
        letters.list_dead_letters(list).await.map(drop),
        letters.get_dead_letter(get).await.map(drop),
        letters.discard_dead_letters(discard).await.map(drop),
        ReplayServiceClient::new(acme.clone())
            .start_replay(replay)
            .await
            .map(drop),
        CommandServiceClient::new(acme.clone())
            .send_command(command)
            .await
            .map(drop),
    ]
}

fn reading(topic: &str, at: Option<At>) -> ReadRequest {
    ReadRequest {
        topics: vec![topic.to_owned()],
        start: at.map(|at| Start { at: Some(at) }),
        ..Default::default()
    }
}

/// Everything that names a topic.
async fn with_topic(acme: &Shown, topic: &str) -> Vec<Result<(), Status>> {
    let name = || topic.to_owned();
    let mut offsets = OffsetServiceClient::new(acme.clone());
    let mut state = StateServiceClient::new(acme.clone());
    let mut topics = TopicServiceClient::new(acme.clone());
    let mut reader = SubscriberServiceClient::new(acme.clone());
    let restore = RestoreRequest {
        topics: vec![name()],
        ..Default::default()
    };
    let take = CreateSnapshotRequest {
        topic: name(),
        reason: "test".to_owned(),
        ..Default::default()
    };
    let create = CreateTopicRequest {
        name: name(),
        ..Default::default()
    };
    vec![
        Stream::open(acme.clone(), open("acme.g", &[topic])).await.map(drop),
        offsets.plan_reset(plan("acme.g", To::Snapshot(name()))).await.map(drop),
        reader.read(reading(topic, None)).await.map(drop),
        reader.read(reading(ORDERS, Some(At::Snapshot(name())))).await.map(drop),
        state.restore(restore).await.map(drop),
        state.create_snapshot(take).await.map(drop),
        state.get_snapshot(GetSnapshotRequest { name: name() }).await.map(drop),
        topics.get_topic(GetTopicRequest { name: name() }).await.map(drop),
        topics.create_topic(create).await.map(drop),
        topics.delete_topic(DeleteTopicRequest { name: name() }).await.map(drop),
        publish(acme.clone(), topic, vec![order("1", "1")]).await.map(drop),
    ]
}

/// Everything that names a checkpoint.
async fn with_checkpoint(acme: &Shown, name: &str) -> Vec<Result<(), Status>> {
    let mut state = StateServiceClient::new(acme.clone());
    let mut reader = SubscriberServiceClient::new(acme.clone());
    let get = GetCheckpointRequest {
        name: name.to_owned(),
        ..Default::default()
    };
    let list = ListCheckpointsRequest {
        name: name.to_owned(),
        ..Default::default()
    };
    vec![
        state.get_checkpoint(get).await.map(drop),
        state.list_checkpoints(list).await.map(drop),
        put(acme.clone(), name).await,
        reader
            .read(reading(ORDERS, Some(At::Checkpoint(name.to_owned()))))
            .await
            .map(drop),
    ]
}

async fn tries(acme: &Shown, (group, topic, checkpoint): (&str, &str, &str)) -> Vec<Result<(), Status>> {
    let mut all = with_group(acme, group).await;
    all.extend(with_topic(acme, topic).await);
    all.extend(with_checkpoint(acme, checkpoint).await);
    all
}

#[tokio::test]
async fn what_is_anothers_is_denied_and_said_the_same_whether_it_is_there_or_not() {
    let store = Store::new();
    let (server, _) = server(&store).await;
    let acme = shown(&server, "acme");
    let there = ("beta.g", "beta.x", "beta.c");
    let not_there = ("gone.g", "gone.x", "gone.c");
    let mut told = Vec::new();
    for names in [there, not_there] {
        let refused = tries(&acme, names).await.into_iter().enumerate();
        let text = |(n, tried): (usize, Result<(), Status>)| match tried {
            Ok(()) => panic!("try {n} with {names:?} was let through"),
            Err(status) => denied(Err::<(), _>(status)).replace("beta.", "gone."),
        };
        told.push(refused.map(text).collect::<Vec<_>>());
    }
    assert_eq!(told[0], told[1]);
}

#[tokio::test]
async fn ids_instances_and_what_all_share_are_out_of_reach() {
    let store = Store::new();
    let (server, plan_id) = server(&store).await;
    let acme = shown(&server, "acme");
    let mut offsets = OffsetServiceClient::new(acme.clone());
    let mut texts = Vec::new();
    for id in [plan_id.as_str(), "none"] {
        let got = offsets
            .get_reset_plan(GetResetPlanRequest { plan_id: id.to_owned() })
            .await;
        texts.push(
            refused(got, Code::NotFound, "PLAN_NOT_FOUND")
                .message()
                .replace(id, "ID"),
        );
    }
    assert_eq!(texts[0], texts[1]);
    let instance = SendCommandRequest {
        name: "stop".to_owned(),
        target: Some(send_command_request::Target::Instance("12345678-12345678".to_owned())),
        ..Default::default()
    };
    denied(CommandServiceClient::new(acme.clone()).send_command(instance).await);
    let mut topics = TopicServiceClient::new(acme.clone());
    let name = || ORDERS.to_owned();
    denied(
        topics
            .update_topic(UpdateTopicRequest {
                name: name(),
                ..Default::default()
            })
            .await,
    );
    denied(topics.delete_topic(DeleteTopicRequest { name: name() }).await);
    let mut state = StateServiceClient::new(acme);
    let reason = "test".to_owned();
    denied(
        state
            .create_snapshot(CreateSnapshotRequest {
                topic: name(),
                reason: reason.clone(),
                ..Default::default()
            })
            .await,
    );
    let one = DeleteSnapshotRequest {
        name: format!("{ORDERS}@{}", "0".repeat(32)),
        reason,
        ..Default::default()
    };
    denied(state.delete_snapshot(one).await);
}

#[tokio::test]
async fn lists_and_filters_tell_nothing_of_others() {
    let store = Store::new();
    let (server, _) = server(&store).await;
    let acme = shown(&server, "acme");
    let mut offsets = OffsetServiceClient::new(acme.clone());
    let groups = offsets
        .list_groups(ListGroupsRequest::default())
        .await
        .expect("a list")
        .into_inner()
        .groups;
    assert!(groups.is_empty(), "{groups:?}");
    let mut topics = TopicServiceClient::new(acme.clone());
    let asked = ListTopicsRequest {
        internal: true,
        ..Default::default()
    };
    let listed = topics.list_topics(asked).await.expect("a list").into_inner().topics;
    assert_eq!(
        listed.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>(),
        [ORDERS]
    );
    let mut state = StateServiceClient::new(acme.clone());
    let checkpoints = state
        .list_checkpoints(ListCheckpointsRequest::default())
        .await
        .expect("a list");
    assert!(checkpoints.into_inner().checkpoints.is_empty());
    // A filter that fails on what another's event has would tell that it is there.
    for cesql in ["INT(id) = 1", "tenantid = 'beta'", "NOT EXISTS tenantid", "TRUE"] {
        let request = ReadRequest {
            topics: vec![ORDERS.to_owned()],
            filter: Some(Filter {
                dialect: Some(Dialect::Cesql(cesql.to_owned())),
            }),
            ..Default::default()
        };
        let mut stream = SubscriberServiceClient::new(acme.clone())
            .read(request)
            .await
            .expect("a stream")
            .into_inner();
        while let Some(message) = within("a frame", stream.message()).await.expect("no error") {
            let frame = message.frame.expect("a frame");
            assert!(
                !matches!(frame, tidings::proto::tidings::v1::read_response::Frame::ReadEvents(_)),
                "{cesql}"
            );
        }
    }
}
