//! Where a group starts, and that it starts there once.

use super::*;

#[tokio::test]
async fn a_new_group_starts_at_the_earliest_or_where_it_says() {
    let server = with_events(10).await;
    let there = server.read_all(ORDERS).await;
    let middle = there[5].log_time.expect("a time");
    let skipped: usize = there.iter().filter(|read| before(read.log_time, middle)).count();
    assert_eq!(server.subscribe(open("a")).await.deliveries(10).await.len(), 10);
    let earliest = starting("b", At::Earliest(()));
    assert_eq!(server.subscribe(earliest).await.deliveries(10).await.len(), 10);
    let by_time = starting("c", At::Time(middle));
    server.subscribe(by_time).await.deliveries(10 - skipped).await;
    let mut latest = server.subscribe(starting("d", At::Latest(()))).await;
    assert!(
        latest
            .opened
            .partitions
            .iter()
            .all(|row| row.committed == Some(row.end))
    );
    server.publish(vec![order("new", "a")]).await;
    assert_eq!(ids(&latest.deliveries(1).await), ["new"]);
}

fn before(time: Option<prost_types::Timestamp>, other: prost_types::Timestamp) -> bool {
    time.is_some_and(|time| (time.seconds, time.nanos) < (other.seconds, other.nanos))
}

#[tokio::test]
async fn a_new_group_can_start_at_positions_and_the_partitions_not_named_at_the_earliest() {
    let server = with_events(40).await;
    let there = server.read_all(ORDERS).await;
    let of_first = there
        .iter()
        .filter(|read| read.position.as_ref().expect("set").partition == 0)
        .count();
    assert!(of_first > 5);
    let position = |partition, offset| Position {
        topic: ORDERS.to_owned(),
        partition,
        offset,
    };
    let at = |positions| At::Positions(Positions { positions });
    let mut stream = server.subscribe(starting("group", at(vec![position(0, 5)]))).await;
    let got = stream.deliveries(35).await;
    assert!(got.iter().all(|delivery| {
        let position = delivery.position.as_ref().expect("set");
        position.partition == 1 || position.offset >= 5
    }));
    for bad in [
        vec![position(7, 0)],
        vec![position(0, -1)],
        vec![position(0, 1), position(0, 2)],
    ] {
        let refusal = server.open_refused(starting("bad", at(bad))).await;
        refused(refusal, Code::InvalidArgument, "REQUEST_INVALID");
    }
}

#[tokio::test]
async fn where_a_group_starts_is_committed_before_anything_is_delivered() {
    let mut server = with_events(10).await;
    let without_credit = Open {
        credit: None,
        ..starting("group", At::Latest(()))
    };
    let stream = server.subscribe(without_credit).await;
    drop(stream);
    server.kill().await;
    let server = server.restart().await;
    let group = server
        .groups()
        .get_group(GetGroupRequest {
            group: "group".to_owned(),
        })
        .await;
    let rows = group
        .expect("the group")
        .into_inner()
        .group
        .expect("a group")
        .partitions;
    assert!(rows.len() == 2 && rows.iter().all(|row| row.committed == Some(row.end)));
    server.publish(vec![order("new", "a")]).await;
    assert_eq!(ids(&server.subscribe(open("group")).await.deliveries(1).await), ["new"]);
}

#[tokio::test]
async fn a_second_start_is_ignored_and_opened_says_where_the_group_stands() {
    let server = with_events(10).await;
    let mut first = server.subscribe(open("group")).await;
    let got = first.deliveries(10).await;
    let (settled, rest): (Vec<_>, Vec<_>) = got.into_iter().partition(|delivery| {
        let position = delivery.position.as_ref().expect("set");
        position.offset < 2
    });
    first.ack(&settled);
    first.close().await;
    for at in [At::Latest(()), At::Earliest(()), At::Committed(Committed {})] {
        let mut stream = server.subscribe(starting("group", at)).await;
        assert!(!stream.opened.group_created);
        assert!(
            stream
                .opened
                .partitions
                .iter()
                .all(|row| row.committed == Some(2) && row.next == 2)
        );
        assert_eq!(numbers(&stream.deliveries(rest.len()).await), numbers(&rest));
        stream.close().await;
    }
}
