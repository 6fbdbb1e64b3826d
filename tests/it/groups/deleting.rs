//! Groups that are deleted: while they have streams, with dead letters, again, and created anew.

use tidings::proto::tidings::v1::{
    Action, DeleteGroupRequest, DeleteGroupResponse, GetGroupRequest, ListGroupsRequest, Nack,
    subscribe_request::Frame as Sent,
};
use tonic::{Code, Status};

use super::with_events;
use crate::harness::{
    SOON, Server,
    clients::{ids, open},
    eventually,
    status::{fields, refused},
};

fn deletion(request_id: &str) -> DeleteGroupRequest {
    DeleteGroupRequest {
        group: "group".to_owned(),
        reason: "nobody reads it".to_owned(),
        request_id: request_id.to_owned(),
        ..Default::default()
    }
}

async fn delete(server: &Server, request: DeleteGroupRequest) -> Result<DeleteGroupResponse, Status> {
    Ok(server.groups().delete_group(request).await?.into_inner())
}

async fn exists(server: &Server) -> bool {
    let request = GetGroupRequest {
        group: "group".to_owned(),
    };
    let listed = server.groups().list_groups(ListGroupsRequest::default()).await;
    let is_listed = !listed.expect("the groups").into_inner().groups.is_empty();
    let got = server.groups().get_group(request).await;
    assert_eq!(is_listed, got.is_ok());
    is_listed
}

#[tokio::test]
async fn a_deleted_group_is_gone_and_one_created_later_under_the_name_starts_anew() {
    let server = with_events(5).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(5).await;
    stream.ack(&got);
    stream.close().await;
    assert_eq!(delete(&server, deletion("a")).await.expect("deleted").dead_letters, 0);
    assert!(!exists(&server).await);
    refused(delete(&server, deletion("b")).await, Code::NotFound, "GROUP_NOT_FOUND");
    let server = server.restart().await;
    assert!(!exists(&server).await);
    let mut anew = server.subscribe(open("group")).await;
    assert!(anew.opened.group_created);
    assert_eq!((anew.opened.group_revision, anew.deliveries(5).await.len()), (1, 5));
    // The same call gets the same answer, and the new group stays.
    delete(&server, deletion("a")).await.expect("deleted before");
    assert!(exists(&server).await);
}

#[tokio::test]
async fn a_group_with_streams_is_deleted_only_by_force_which_ends_them() {
    let server = with_events(3).await;
    let mut stream = server.subscribe(open("group")).await;
    stream.deliveries(3).await;
    let refusal = delete(&server, deletion("a")).await;
    refused(refusal, Code::FailedPrecondition, "GROUP_IN_USE");
    let unreasonable = DeleteGroupRequest {
        reason: " ".to_owned(),
        ..deletion("a")
    };
    let refusal = delete(&server, unreasonable).await.expect_err("no reason");
    assert_eq!(fields(&refusal), ["reason"]);
    let forced = DeleteGroupRequest {
        force: true,
        ..deletion("a")
    };
    delete(&server, forced).await.expect("deleted");
    let end = refused(stream.end().await, Code::NotFound, "GROUP_NOT_FOUND");
    assert!(
        end.message().contains("was deleted: nobody reads it"),
        "{}",
        end.message()
    );
    assert!(!exists(&server).await);
    let mut anew = server.subscribe(open("group")).await;
    assert!(anew.deliveries(3).await.iter().all(|delivery| delivery.attempt == 1));
}

#[tokio::test]
async fn dead_letters_of_a_deleted_group_stay_and_are_counted() {
    let server = with_events(3).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(3).await;
    stream.send(Sent::Nack(Nack {
        delivery_ids: vec![got[0].id],
        action: Action::DeadLetter.into(),
        ..Default::default()
    }));
    stream.ack(&got[1..]);
    stream.close().await;
    let deleted = server.run(["groups", "delete", "group", "--reason", "done"]).await;
    let text = String::from_utf8_lossy(&deleted.stdout).into_owned();
    assert_eq!(text, "deleted group group; dead letters that stay: 1\n", "{deleted:?}");
    let listed = server
        .run(["dead-letters", "list", "--group", "group", "--output", "json"])
        .await;
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 1);
    let missing = server.run(["groups", "delete", "group", "--reason", "again"]).await;
    assert_eq!(missing.status.code(), Some(2));
}

#[tokio::test]
async fn a_group_is_created_anew_while_streams_of_the_deleted_one_come_back() {
    let server = with_events(2).await;
    for round in 0..5 {
        let mut stream = server.subscribe(open("group")).await;
        assert!(stream.opened.group_created, "round {round}");
        assert_eq!(ids(&stream.deliveries(2).await).len(), 2);
        let forced = DeleteGroupRequest {
            force: true,
            ..deletion(&round.to_string())
        };
        delete(&server, forced).await.expect("deleted");
        refused(stream.end().await, Code::NotFound, "GROUP_NOT_FOUND");
    }
    let is_gone = || async { (!exists(&server).await).then_some(()) };
    eventually(SOON, "no group", is_gone).await;
}
