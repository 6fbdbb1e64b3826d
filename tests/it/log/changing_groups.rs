//! Members whose topics change while they are members.

use std::collections::BTreeSet;

use tidings::{
    error::Reason,
    log::{Change, Membership, TopicPartition},
};

use super::{
    Backend, at, group,
    groups::{assigned, commit, committed},
    next, reason, topic,
};

pub(crate) async fn a_member_takes_up_topics_and_keeps_what_it_has(log: Backend) {
    log.create("t", 2).await;
    let mut member = log.join(&group("g"), &[topic("t")]).await.unwrap();
    assigned(&mut member, 2).await;
    for (offset, new) in [(1, "u"), (2, "v")] {
        log.create(new, 1).await;
        let wanted = ["t", "u", "v"].map(topic);
        member.member.subscribe(&wanted[..=usize::try_from(offset).unwrap()]);
        let held = [at("t", 0), at("t", 1)].map(|partition| commit(partition, offset, "held"));
        member.member.commit(held.to_vec()).await.unwrap();
        match next(&mut member.changes).await {
            Change::Assigned(assigned) => assert_eq!(assigned[0].partition, at(new, 0)),
            other => panic!("{other:?}"),
        }
        member.member.commit(vec![commit(at(new, 0), 1, "")]).await.unwrap();
    }
}

pub(crate) async fn a_member_lets_go_of_topics_that_it_does_not_want_any_more(log: Backend) {
    log.create("t", 1).await;
    log.create("u", 1).await;
    let mut member = log.join(&group("g"), &[topic("t"), topic("u")]).await.unwrap();
    assigned(&mut member, 2).await;
    member.member.subscribe(&[topic("u")]);
    let Change::Revoked { partitions, release } = next(&mut member.changes).await else {
        panic!("not revoked");
    };
    assert_eq!(partitions, [at("t", 0)]);
    let last = vec![commit(at("t", 0), 7, "last")];
    member.member.commit(last.clone()).await.unwrap();
    drop(release);
    let mut other = log.join(&group("g"), &[topic("t")]).await.unwrap();
    match next(&mut other.changes).await {
        Change::Assigned(assigned) => assert_eq!(assigned[0].committed, committed(7, "last")),
        other => panic!("{other:?}"),
    }
    assert_eq!(reason(member.member.commit(last).await), Reason::GroupInUse);
    member.member.commit(vec![commit(at("u", 0), 1, "")]).await.unwrap();
}

pub(crate) async fn members_that_take_up_a_topic_one_after_the_other_share_it(log: Backend) {
    log.create("t", 2).await;
    let mut first = log.join(&group("g"), &[topic("t")]).await.unwrap();
    assigned(&mut first, 2).await;
    let mut second = log.join(&group("g"), &[topic("t")]).await.unwrap();
    let Change::Revoked { release, partitions } = next(&mut first.changes).await else {
        panic!("not revoked");
    };
    drop(release);
    let of_second = assigned(&mut second, 1).await;
    assert_eq!(of_second.iter().cloned().collect::<Vec<_>>(), partitions);
    log.create("u", 4).await;
    let mut owned = [
        vec![at("t", 1 - partitions[0].partition)],
        of_second.into_iter().collect(),
    ];
    first.member.subscribe(&[topic("t"), topic("u")]);
    take(&mut first, &mut owned[0], |owned| owned.len() > 1).await;
    second.member.subscribe(&[topic("t"), topic("u")]);
    // Whichever way the log divides them: each is somebody's, and nobody's twice.
    while owned.iter().map(Vec::len).sum::<usize>() < 6 || owned.iter().any(|owned| owned.len() < 2) {
        tokio::select! {
            change = next(&mut first.changes) => hear(&mut owned[0], change),
            change = next(&mut second.changes) => hear(&mut owned[1], change),
        }
    }
    let all: BTreeSet<_> = owned.concat().into_iter().collect();
    assert_eq!(all.len(), 6);
}

pub(crate) async fn a_member_without_topics_takes_some_up(log: Backend) {
    let mut member = log.join(&group("g"), &[]).await.unwrap();
    log.create("t", 1).await;
    member.member.subscribe(&[topic("t")]);
    assigned(&mut member, 1).await;
    member.member.commit(vec![commit(at("t", 0), 3, "")]).await.unwrap();
    member.member.subscribe(&[]);
    let Change::Revoked { partitions, release } = next(&mut member.changes).await else {
        panic!("not revoked");
    };
    assert_eq!(partitions, [at("t", 0)]);
    drop(release);
    member.member.subscribe(&[topic("t")]);
    match next(&mut member.changes).await {
        Change::Assigned(assigned) => assert_eq!(assigned[0].committed, committed(3, "")),
        other => panic!("{other:?}"),
    }
}

async fn take(member: &mut Membership, owned: &mut Vec<TopicPartition>, until: impl Fn(&[TopicPartition]) -> bool) {
    while !until(owned) {
        let change = next(&mut member.changes).await;
        hear(owned, change);
    }
}

fn hear(owned: &mut Vec<TopicPartition>, change: Change) {
    match change {
        Change::Assigned(assigned) => owned.extend(assigned.into_iter().map(|assigned| assigned.partition)),
        Change::Revoked { partitions, .. } => owned.retain(|partition| !partitions.contains(partition)),
        other => panic!("{other:?}"),
    }
}
