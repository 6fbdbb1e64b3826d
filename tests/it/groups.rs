//! Groups: their topics and settings, where they start, and what happens if streams disagree.

mod deleting;
mod forgotten;
mod starts;

use tidings::proto::tidings::v1::{
    Committed, Delivery, GetGroupRequest, ListGroupsRequest, LostReason, OnConflict, OnGap, Open, Position, Positions,
    Start, start::At, subscribe_response::Frame,
};
use tonic::Code;

use crate::harness::{
    SOON, Server,
    clients::{ORDERS, ids, open, order},
    eventually,
    status::refused,
};

const USERS: &str = "io.shop.users.resource";

fn starting(group: &str, at: At) -> Open {
    Open {
        start: Some(Start { at: Some(at) }),
        ..open(group)
    }
}

async fn with_events(count: usize) -> Server {
    let server = Server::start_with("[topics]\ndefault_partitions = 2\n").await;
    server
        .publish((0..count).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    server
}

fn numbers(deliveries: &[Delivery]) -> Vec<usize> {
    let mut numbers: Vec<_> = ids(deliveries).iter().map(|id| id.parse().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn streams_that_disagree_on_the_topics_are_refused_with_the_fields_named() {
    let server = with_events(1).await;
    let _first = server.subscribe(open("group")).await;
    for (named, open) in [
        (
            "topics",
            Open {
                topics: vec![USERS.into()],
                ..open("group")
            },
        ),
        (
            "topics",
            Open {
                topics: vec![ORDERS.into(), USERS.into()],
                ..open("group")
            },
        ),
        (
            "on_gap",
            Open {
                on_gap: OnGap::Fail.into(),
                ..open("group")
            },
        ),
    ] {
        let refusal = refused(
            server.open_refused(open).await,
            Code::FailedPrecondition,
            "GROUP_CONFLICT",
        );
        assert!(refusal.message().contains(named), "{}", refusal.message());
    }
}

#[tokio::test]
async fn unset_fields_are_the_groups_and_the_order_of_topics_does_not_matter() {
    let server = with_events(1).await;
    let both = |topics: [&str; 2]| Open {
        topics: topics.map(str::to_owned).to_vec(),
        on_gap: OnGap::Fail.into(),
        ..open("group")
    };
    let first = server.subscribe(both([ORDERS, USERS])).await;
    assert_eq!((first.opened.group_created, first.opened.group_revision), (true, 1));
    let swapped = server.subscribe(both([USERS, ORDERS])).await;
    let unset = server
        .subscribe(Open {
            topics: vec![],
            ..open("group")
        })
        .await;
    for stream in [swapped, unset] {
        let opened = &stream.opened;
        assert_eq!((opened.group_created, opened.group_revision), (false, 1));
        assert_eq!(opened.topics, [ORDERS, USERS]);
        assert_eq!(opened.on_gap(), OnGap::Fail);
    }
}

#[tokio::test]
async fn replacing_the_topics_tells_the_other_streams_and_delivers_from_the_new_ones() {
    let server = with_events(3).await;
    let mut user = order("user", "u");
    user.r#type = "io.shop.users.created".to_owned();
    let mut first = server.subscribe(open("group")).await;
    let got = first.deliveries(3).await;
    first.ack(&got);
    let replacing = Open {
        topics: vec![USERS.to_owned()],
        on_conflict: OnConflict::Replace.into(),
        credit: None,
        ..open("group")
    };
    let second = server.subscribe(replacing).await;
    assert_eq!((second.opened.group_revision, second.opened.group_created), (2, false));
    let changed = first
        .until("the change", |frame| match frame {
            Frame::GroupChanged(changed) => Some(changed),
            _ => None,
        })
        .await;
    assert_eq!((changed.group_revision, changed.topics), (2, vec![USERS.to_owned()]));
    let lost = first
        .until("the loss", |frame| match frame {
            Frame::Assignment(change) if !change.lost.is_empty() => Some(change.lost),
            _ => None,
        })
        .await;
    assert!(lost.iter().all(|lost| lost.reason() == LostReason::GroupChanged));
    server.publish(vec![order("4", "a"), user]).await;
    assert_eq!(ids(&first.deliveries(1).await), ["user"]);
    // The new settings hold for those who come later, and the old ones are refused.
    refused(
        server.open_refused(open("group")).await,
        Code::FailedPrecondition,
        "GROUP_CONFLICT",
    );
}

#[tokio::test]
async fn what_is_acked_before_and_just_after_the_topics_are_replaced_does_not_come_again() {
    let server = Server::start_with("[delivery]\ncommit_interval = \"60s\"\n").await;
    server
        .publish((1..4).map(|n| order(&n.to_string(), &n.to_string())).collect())
        .await;
    let mut first = server.subscribe(open("group")).await;
    let got = first.deliveries(3).await;
    first.ack(&got[..2]);
    let replacing = Open {
        topics: vec![ORDERS.to_owned(), USERS.to_owned()],
        on_conflict: OnConflict::Replace.into(),
        credit: None,
        ..open("group")
    };
    let _second = server.subscribe(replacing).await;
    first
        .until("the change", |frame| {
            matches!(frame, Frame::GroupChanged(_)).then_some(())
        })
        .await;
    first.ack(&got[2..]);
    server.publish(vec![order("4", "4")]).await;
    let next = first.deliveries(1).await;
    assert_eq!((ids(&next), next[0].attempt), (vec!["4".to_owned()], 1));
}

#[tokio::test]
async fn a_replaced_group_goes_on_where_it_stood_in_the_topics_that_stay() {
    let server = with_events(10).await;
    let mut first = server.subscribe(open("group")).await;
    let got = first.deliveries(10).await;
    first.ack(&got);
    first.close().await;
    let wider = Open {
        topics: vec![ORDERS.to_owned(), USERS.to_owned()],
        on_conflict: OnConflict::Replace.into(),
        ..open("group")
    };
    let mut second = server.subscribe(wider).await;
    server.publish(vec![order("10", "a")]).await;
    assert_eq!(ids(&second.deliveries(1).await), ["10"]);
}

#[tokio::test]
async fn a_group_on_an_unknown_topic_waits_for_it_or_is_refused_without_auto_create() {
    let server = Server::start().await;
    let mut early = server.subscribe(open("group")).await;
    server.publish(vec![order("1", "a")]).await;
    early.deliveries(1).await;
    let strict = Server::start_with("[topics]\nauto_create = false\n").await;
    let refusal = refused(
        strict.open_refused(open("group")).await,
        Code::NotFound,
        "TOPIC_NOT_FOUND",
    );
    assert!(
        refusal.message().contains("tidings topics create"),
        "{}",
        refusal.message()
    );
    let listed = strict.run(["groups", "list", "--output", "json"]).await;
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "", "no group came to be");
}

#[tokio::test]
async fn groups_see_every_event_each_on_its_own() {
    let server = with_events(20).await;
    let mut streams = Vec::new();
    for n in 0..5 {
        streams.push(server.subscribe(open(&format!("group-{n}"))).await);
    }
    for stream in &mut streams {
        assert_eq!(numbers(&stream.deliveries(20).await), (0..20).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_listed_group_tells_where_it_stands() {
    let server = with_events(10).await;
    let named = Open {
        client_id: "worker".to_owned(),
        ..open("group")
    };
    let mut stream = server.subscribe(named).await;
    let got = stream.deliveries(10).await;
    let look = || async {
        let request = GetGroupRequest {
            group: "group".to_owned(),
        };
        server
            .groups()
            .get_group(request)
            .await
            .expect("the group")
            .into_inner()
            .group
    };
    let group = look().await.expect("a group");
    assert_eq!(
        (group.streams, group.lag_events, group.topics),
        (1, 10, vec![ORDERS.to_owned()])
    );
    assert_eq!(group.partitions.iter().map(|row| row.outstanding).sum::<i64>(), 10);
    for row in &group.partitions {
        let oldest = row.oldest.as_ref().expect("an event is out");
        assert_eq!((oldest.attempt, &row.owner_replica_id), (1, &stream.opened.replica_id));
        assert_eq!(
            oldest.position.as_ref().map(|at| (at.partition, at.offset)),
            Some((row.partition, 0))
        );
    }
    let open = &group.open_streams[0];
    let told = (
        open.stream_id.as_str(),
        open.client_id.as_str(),
        open.outstanding_events,
    );
    assert_eq!(told, (stream.opened.stream_id.as_str(), "worker", 10));
    assert_eq!((group.members, &open.replica_id), (1, &stream.opened.replica_id));
    stream.ack(&got);
    stream.close().await;
    eventually(SOON, "the group to be empty", || async {
        let group = look().await.expect("a group");
        ((group.streams, group.lag_events) == (0, 0)).then_some(())
    })
    .await;
    let request = GetGroupRequest {
        group: "nobody".to_owned(),
    };
    refused(
        server.groups().get_group(request).await,
        Code::NotFound,
        "GROUP_NOT_FOUND",
    );
}

/// The lag of the only group, as a list tells it once it has no streams.
async fn lag_at_rest(server: &Server, lag: i64) {
    eventually(SOON, &format!("a lag of {lag}"), || async {
        let listed = server.groups().list_groups(ListGroupsRequest::default()).await;
        let group = listed.expect("a list").into_inner().groups.pop().expect("a group");
        ((
            group.streams,
            group.lag_events,
            group.lag_time.is_some_and(|time| time.seconds > 0 || time.nanos > 0),
        ) == (0, lag, lag > 0))
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_list_knows_what_a_group_did_since_the_last_one() {
    let server = with_events(10).await;
    let mut stream = server.subscribe(open("group")).await;
    stream.deliveries(10).await;
    stream.close().await;
    lag_at_rest(&server, 10).await;
    let mut stream = server.subscribe(open("group")).await;
    let got = stream.deliveries(10).await;
    stream.ack(&got);
    stream.close().await;
    lag_at_rest(&server, 0).await;
}
