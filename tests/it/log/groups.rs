//! Groups: commits and members. Two memberships of one log stand for two replicas.

use std::collections::BTreeSet;

use tidings::{
    error::Reason,
    log::{Change, Commit, Committed, Membership, TopicPartition},
};

use super::{Backend, at, group, next, reason, settings, topic};

pub(super) fn commit(partition: TopicPartition, offset: i64, note: &str) -> Commit {
    Commit {
        partition,
        offset,
        note: note.to_owned(),
    }
}

pub(super) fn committed(offset: i64, note: &str) -> Option<Committed> {
    Some(Committed {
        offset,
        note: note.to_owned(),
    })
}

/// What the member is assigned next; it lets go of what is revoked first.
pub(super) async fn assigned(membership: &mut Membership, count: usize) -> BTreeSet<TopicPartition> {
    let mut held = BTreeSet::new();
    while held.len() < count {
        match next(&mut membership.changes).await {
            Change::Assigned(assigned) => held.extend(assigned.into_iter().map(|assigned| assigned.partition)),
            Change::Revoked { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    held
}

pub(crate) async fn what_a_group_committed_is_forgotten_once_it_has_no_members(log: Backend) {
    log.create("t", 2).await;
    let all = [at("t", 0), at("t", 1)];
    log.forget(&group("g")).await.unwrap();
    let kept = vec![commit(at("t", 0), 3, "")];
    log.commit(&group("other"), kept).await.unwrap();
    let mut member = log.join(&group("g"), &[topic("t")]).await.unwrap();
    assigned(&mut member, 2).await;
    let commits = all.clone().map(|partition| commit(partition, 5, "a note"));
    member.member.commit(commits.to_vec()).await.unwrap();
    assert_eq!(reason(log.forget(&group("g")).await), Reason::GroupInUse);
    let before = log.committed(&group("g"), &all).await.unwrap();
    assert_eq!(before, [committed(5, "a note"), committed(5, "a note")]);
    drop(member);
    while log.has_members(&group("g")).await.unwrap() {
        tokio::task::yield_now().await;
    }
    log.forget(&group("g")).await.unwrap();
    log.forget(&group("g")).await.unwrap();
    assert_eq!(log.committed(&group("g"), &all).await.unwrap(), [None, None]);
    let other = log.committed(&group("other"), &all).await.unwrap();
    assert_eq!(other, [committed(3, ""), None]);
}

pub(crate) async fn commits_are_kept_with_their_notes(log: Backend) {
    log.create("t", 3).await;
    let all = [at("t", 0), at("t", 1), at("t", 2)];
    assert_eq!(log.committed(&group("g"), &all).await.unwrap(), [None, None, None]);
    let commits = vec![commit(at("t", 0), 5, "a note"), commit(at("t", 2), 7, "")];
    log.commit(&group("g"), commits).await.unwrap();
    log.commit(&group("g"), vec![commit(at("t", 2), 3, "back")])
        .await
        .unwrap();
    let expected = [committed(5, "a note"), None, committed(3, "back")];
    assert_eq!(log.committed(&group("g"), &all).await.unwrap(), expected);
    assert_eq!(log.committed(&group("other"), &all).await.unwrap(), [None, None, None]);
    log.commit(&group("g"), vec![commit(at("t", 0), 6, &"ä".repeat(4096))])
        .await
        .unwrap();
    for bad in [commit(at("t", 0), 6, &"a".repeat(4097)), commit(at("t", 0), -1, "")] {
        assert_eq!(reason(log.commit(&group("g"), vec![bad]).await), Reason::RequestInvalid);
    }
    let unknown = commit(at("t", 3), 1, "");
    assert_eq!(
        reason(log.commit(&group("g"), vec![unknown]).await),
        Reason::TopicNotFound
    );
}

pub(crate) async fn a_deleted_topic_takes_its_commits_along(log: Backend) {
    log.create("t", 1).await;
    log.commit(&group("g"), vec![commit(at("t", 0), 5, "")]).await.unwrap();
    log.delete_topic(&topic("t")).await.unwrap();
    log.create("t", 1).await;
    assert_eq!(log.committed(&group("g"), &[at("t", 0)]).await.unwrap(), [None]);
}

pub(crate) async fn a_lone_member_gets_all_partitions_with_what_was_committed(log: Backend) {
    log.create("t", 2).await;
    log.commit(&group("g"), vec![commit(at("t", 1), 5, "n")]).await.unwrap();
    let mut membership = log.join(&group("g"), &[topic("t"), topic("missing")]).await.unwrap();
    let Change::Assigned(assigned) = next(&mut membership.changes).await else {
        panic!("not assigned");
    };
    let got: Vec<_> = assigned
        .into_iter()
        .map(|assigned| (assigned.partition, assigned.committed))
        .collect();
    assert_eq!(got, [(at("t", 0), None), (at("t", 1), committed(5, "n"))]);
}

pub(crate) async fn members_share_and_partitions_move_once_released(log: Backend) {
    log.create("t", 4).await;
    let mut first = log.join(&group("g"), &[topic("t")]).await.unwrap();
    assert_eq!(assigned(&mut first, 4).await.len(), 4);
    let mut second = log.join(&group("g"), &[topic("t")]).await.unwrap();
    let Change::Revoked { partitions, release } = next(&mut first.changes).await else {
        panic!("not revoked");
    };
    assert_eq!(partitions.len(), 2);
    let moved = commit(partitions[0].clone(), 9, "last");
    first.member.commit(vec![moved.clone()]).await.unwrap();
    assert_eq!(
        reason(second.member.commit(vec![moved.clone()]).await),
        Reason::GroupInUse
    );
    drop(release);
    let mut got = Vec::new();
    while got.len() < 2 {
        match next(&mut second.changes).await {
            Change::Assigned(assigned) => got.extend(assigned),
            other => panic!("{other:?}"),
        }
    }
    let of_moved = got.iter().find(|assigned| assigned.partition == partitions[0]).unwrap();
    assert_eq!(of_moved.committed, committed(9, "last"));
    assert_eq!(
        got.into_iter().map(|assigned| assigned.partition).collect::<Vec<_>>(),
        partitions
    );
    assert_eq!(reason(first.member.commit(vec![moved]).await), Reason::GroupInUse);
}

pub(crate) async fn only_owners_commit(log: Backend) {
    log.create("t", 1).await;
    let mut member = log.join(&group("g"), &[topic("t")]).await.unwrap();
    assigned(&mut member, 1).await;
    let commits = vec![commit(at("t", 0), 1, "")];
    assert_eq!(
        reason(log.commit(&group("g"), commits.clone()).await),
        Reason::GroupInUse
    );
    log.commit(&group("other"), commits.clone()).await.unwrap();
    member.member.commit(commits.clone()).await.unwrap();
    drop(member);
    log.commit(&group("g"), commits).await.unwrap();
}

/// Two members, the first of which holds a release.
async fn two_members(log: &Backend) -> (Membership, Membership, Vec<TopicPartition>, tidings::log::Release) {
    let mut first = log.join(&group("g"), &[topic("t")]).await.unwrap();
    assigned(&mut first, 4).await;
    let second = log.join(&group("g"), &[topic("t")]).await.unwrap();
    let Change::Revoked { partitions, release } = next(&mut first.changes).await else {
        panic!("not revoked");
    };
    (first, second, partitions, release)
}

pub(crate) async fn a_release_held_from_before_the_group_began_anew_frees_nothing(log: Backend) {
    log.create("t", 4).await;
    let (first, second, _, old) = two_members(&log).await;
    drop((first, second));
    let (first, _second, partitions, _release) = two_members(&log).await;
    drop(old);
    for offset in 0..50 {
        let held = partitions.iter().map(|partition| commit(partition.clone(), offset, ""));
        first.member.commit(held.collect()).await.unwrap();
    }
}

pub(crate) async fn a_leaving_member_gives_its_partitions_to_the_others(log: Backend) {
    log.create("t", 2).await;
    let mut first = log.join(&group("g"), &[topic("t")]).await.unwrap();
    assigned(&mut first, 2).await;
    let mut second = log.join(&group("g"), &[topic("t")]).await.unwrap();
    let Change::Revoked { release, partitions } = next(&mut first.changes).await else {
        panic!("not revoked");
    };
    drop(release);
    assert_eq!(
        assigned(&mut second, 1).await.into_iter().collect::<Vec<_>>(),
        partitions
    );
    let kept = at("t", 1 - partitions[0].partition);
    // One handle alone keeps the membership.
    let Membership { changes, member } = first;
    drop(changes);
    member.commit(vec![commit(kept.clone(), 1, "")]).await.unwrap();
    drop(member);
    assert_eq!(assigned(&mut second, 1).await.into_iter().collect::<Vec<_>>(), [kept]);
}

pub(crate) async fn a_deleted_topic_is_lost_and_a_new_one_is_assigned(log: Backend) {
    log.create("t", 1).await;
    let mut member = log.join(&group("g"), &[topic("t"), topic("u")]).await.unwrap();
    assigned(&mut member, 1).await;
    log.delete_topic(&topic("t")).await.unwrap();
    let Change::Deleted(lost) = next(&mut member.changes).await else {
        panic!("not deleted");
    };
    assert_eq!(lost, [at("t", 0)]);
    assert!(member.member.commit(vec![commit(at("t", 0), 1, "")]).await.is_err());
    log.create("u", 1).await;
    assert_eq!(
        assigned(&mut member, 1).await.into_iter().collect::<Vec<_>>(),
        [at("u", 0)]
    );
    log.alter_topic(&topic("u"), settings(2)).await.unwrap();
    assert_eq!(
        assigned(&mut member, 1).await.into_iter().collect::<Vec<_>>(),
        [at("u", 1)]
    );
}
