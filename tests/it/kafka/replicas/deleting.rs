//! A group that is deleted through a replica that does not serve it.

use tidings::proto::tidings::v1::{DeleteGroupRequest, GetGroupRequest};
use tonic::Code;

use super::CONFIG;
use crate::harness::{
    SOON, Server,
    clients::{open, order},
    eventually,
    status::{reason_of, refused},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_another_replica_serves_is_deleted_by_force_everywhere() {
    let one = Server::start_with(&format!("[topics]\ndefault_partitions = 2\n{CONFIG}")).await;
    let (two, mut dying) = (one.replica().await, one.replica().await);
    one.publish((0..10).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let mut stream = one.subscribe(open("group")).await;
    let dead = dying.subscribe(open("group")).await;
    stream.at_least(1).await;
    let request = DeleteGroupRequest {
        group: "group".to_owned(),
        reason: "nobody reads it".to_owned(),
        ..Default::default()
    };
    let refusal = two.groups().delete_group(request.clone()).await;
    refused(refusal, Code::FailedPrecondition, "GROUP_IN_USE");
    // One that died is in the group until its session is over.
    dying.kill().await;
    drop(dead);
    let forced = DeleteGroupRequest { force: true, ..request };
    two.groups().delete_group(forced).await.expect("deleted");
    refused(stream.end().await, Code::NotFound, "GROUP_NOT_FOUND");
    for server in [&one, &two] {
        eventually(SOON, "no group", || async {
            let request = GetGroupRequest {
                group: "group".to_owned(),
            };
            let got = server.groups().get_group(request).await;
            got.is_err_and(|status| reason_of(&status) == "GROUP_NOT_FOUND")
                .then_some(())
        })
        .await;
    }
    let mut anew = two.subscribe(open("group")).await;
    assert!(anew.opened.group_created);
    assert_eq!(anew.deliveries(10).await.len(), 10);
}
