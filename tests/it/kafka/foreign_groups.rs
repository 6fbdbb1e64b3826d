//! Groups of consumers outside the bus, on the same cluster.

use tidings::{
    log::{Commit, Log as _, TopicPartition},
    name::{Group, Topic},
    proto::tidings::v1::{self as wire, GetGroupRequest, Kind, ListGroupsRequest, State},
};
use tonic::Code;

use crate::harness::{
    SOON, Server, backend,
    clients::{ORDERS, open, order},
    eventually,
    kafka::Broker,
    status::refused,
};

async fn listed(server: &Server) -> Vec<(String, Kind, State)> {
    let listed = server.groups().list_groups(ListGroupsRequest::default()).await;
    let groups = listed.expect("the groups").into_inner().groups.into_iter();
    groups
        .map(|group| (group.name.clone(), group.kind(), group.state()))
        .collect()
}

async fn get(server: &Server, group: &str) -> Result<wire::Group, tonic::Status> {
    let group = group.to_owned();
    let got = server.groups().get_group(GetGroupRequest { group }).await?;
    Ok(got.into_inner().group.expect("a group"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_of_native_consumers_are_listed_between_those_of_the_bus_with_where_they_stand() {
    let server = Server::start_with("[topics]\ndefault_partitions = 1\nauto_create = true\n").await;
    server
        .publish((0..5).map(|n| order(&n.to_string(), "a")).collect())
        .await;
    let _stream = server.subscribe(open("b")).await;
    let log = backend::open_kafka(Broker::shared().await.address(), server.prefix()).await;
    // Of another bus, whose names have another prefix.
    let elsewhere = backend::open_kafka(Broker::shared().await.address(), &backend::unique_prefix()).await;
    let partition = TopicPartition {
        topic: Topic::new(ORDERS).expect("valid"),
        partition: 0,
    };
    let commit = Commit {
        partition: partition.clone(),
        offset: 2,
        note: String::new(),
    };
    let (empty, running) = (Group::new("a").expect("valid"), Group::new("c").expect("valid"));
    log.commit(&empty, vec![commit]).await.expect("committed");
    let topics = [partition.topic.clone()];
    let _member = log.join(&running, &topics).await.expect("a member");
    let _other = elsewhere.join(&running, &[]).await.expect("a member");
    let all = [
        ("a".to_owned(), Kind::Kafka, State::Empty),
        ("b".to_owned(), Kind::Tidings, State::Active),
        ("c".to_owned(), Kind::Kafka, State::Active),
    ];
    let is_all = || async { (listed(&server).await == all).then_some(()) };
    eventually(SOON, "all groups", is_all).await;
    let request = ListGroupsRequest {
        page_size: 1,
        ..Default::default()
    };
    let first = server
        .groups()
        .list_groups(request.clone())
        .await
        .expect("a page")
        .into_inner();
    let page_token = first.next_page_token;
    let second = server
        .groups()
        .list_groups(ListGroupsRequest { page_token, ..request })
        .await;
    assert_eq!(
        (
            first.groups[0].name.as_str(),
            second.expect("a page").into_inner().groups[0].name.as_str()
        ),
        ("a", "b")
    );
    let foreign = get(&server, "a").await.expect("the group");
    let row = &foreign.partitions[0];
    assert_eq!(
        (row.topic.as_str(), row.committed, row.lag_events),
        (ORDERS, Some(2), 3)
    );
    assert_eq!(
        (foreign.partitions.len(), foreign.lag_events, foreign.retry),
        (1, 3, None)
    );
    assert_eq!(get(&server, "c").await.expect("the group").members, 1);
    refused(get(&server, "d").await, Code::NotFound, "GROUP_NOT_FOUND");
    let shown = server.run(["groups", "show", "a"]).await;
    assert!(String::from_utf8_lossy(&shown.stdout).contains("state        empty (kafka)\n"));
    log.close().await;
    elsewhere.close().await;
}
