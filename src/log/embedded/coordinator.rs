//! Who of a group owns which partition: sticky, balanced, each partition with one owner at a time. No I/O, no clock.
//!
//! A partition goes from owner to owner through `Revoked`, its release, and only then `Assigned`; and never while a commit of
//! it is on its way.

use std::collections::{BTreeMap, BTreeSet};

use crate::{log::TopicPartition, name::Topic};

pub(crate) type MemberId = u64;
pub(crate) type Ticket = u64;

/// The topics that exist: their number (a topic created again has another) and how many partitions they have.
pub(crate) type Available = BTreeMap<Topic, (u32, i32)>;

#[derive(Default)]
pub(crate) struct Coordinator {
    members: BTreeMap<MemberId, BTreeSet<Topic>>,
    owners: BTreeMap<TopicPartition, Owner>,
    /// Commits on their way.
    busy: BTreeMap<TopicPartition, usize>,
    /// Something was not assigned because a commit of it was on its way.
    is_blocked: bool,
    last_member: MemberId,
    last_ticket: Ticket,
}

#[derive(Clone, Copy, Debug)]
struct Owner {
    member: MemberId,
    /// The topic's number when it was assigned.
    topic: u32,
    revoked: Option<Ticket>,
}

/// What a member is to be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Assigned(MemberId, Vec<TopicPartition>),
    Revoked(MemberId, Vec<TopicPartition>, Ticket),
    Lost(MemberId, Vec<TopicPartition>),
    Deleted(MemberId, Vec<TopicPartition>),
}

impl Coordinator {
    /// Its tickets are numbered from here, so that a late release of an earlier group of the same name means nothing to it.
    pub(crate) fn starting_at(last_ticket: Ticket) -> Self {
        Self {
            last_ticket,
            ..Self::default()
        }
    }

    pub(crate) fn join(&mut self, topics: &[Topic]) -> MemberId {
        self.last_member += 1;
        self.members.insert(self.last_member, topics.iter().cloned().collect());
        self.last_member
    }

    /// The member wants other topics.
    pub(crate) fn subscribe(&mut self, member: MemberId, topics: &[Topic]) {
        if let Some(wanted) = self.members.get_mut(&member) {
            *wanted = topics.iter().cloned().collect();
        }
    }

    pub(crate) fn leave(&mut self, member: MemberId) {
        self.members.remove(&member);
        self.owners.retain(|_, owner| owner.member != member);
    }

    pub(crate) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    /// Whether the end of a commit lets something move.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// What its members want or have.
    pub(crate) fn topics(&self) -> BTreeSet<Topic> {
        let wanted = self.members.values().flatten();
        let owned = self.owners.keys().map(|partition| &partition.topic);
        wanted.chain(owned).cloned().collect()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.members.is_empty() && self.busy.is_empty()
    }

    /// The member let go of what was revoked.
    pub(crate) fn release(&mut self, ticket: Ticket) {
        self.owners.retain(|_, owner| owner.revoked != Some(ticket));
    }

    /// The member did not let go in time.
    pub(crate) fn expire(&mut self, ticket: Ticket) -> Option<Notice> {
        let held = self.owners.iter().filter(|(_, owner)| owner.revoked == Some(ticket));
        let (partitions, members): (Vec<_>, Vec<_>) =
            held.map(|(partition, owner)| (partition.clone(), owner.member)).unzip();
        self.release(ticket);
        Some(Notice::Lost(*members.first()?, partitions))
    }

    /// Whether the member (`None` = nobody, in a group without members) may commit these. If so they stay where they are
    /// until `end_commit`.
    pub(crate) fn begin_commit(&mut self, member: Option<MemberId>, partitions: &[TopicPartition]) -> bool {
        let may = match member {
            None => !self.has_members(),
            Some(member) => partitions
                .iter()
                .all(|partition| self.owners.get(partition).is_some_and(|owner| owner.member == member)),
        };
        if may {
            for partition in partitions {
                *self.busy.entry(partition.clone()).or_default() += 1;
            }
        }
        may
    }

    /// Whether the member was given the partition of this very topic, not of an earlier one of the same name.
    pub(crate) fn was_given(&self, partition: &TopicPartition, topic: u32) -> bool {
        self.owners.get(partition).is_none_or(|owner| owner.topic == topic)
    }

    pub(crate) fn end_commit(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            if let Some(commits) = self.busy.get_mut(partition) {
                *commits -= 1;
                if *commits == 0 {
                    self.busy.remove(partition);
                }
            }
        }
    }

    /// Moves the group towards its best shape.
    pub(crate) fn rebalance(&mut self, available: &Available) -> Vec<Notice> {
        let mut notices = self.drop_deleted(available);
        let target = self.target(available);
        notices.extend(self.revoke(&target));
        notices.extend(self.assign(target, available));
        notices
    }

    fn revoke(&mut self, target: &BTreeMap<TopicPartition, MemberId>) -> Vec<Notice> {
        let mut revoked: BTreeMap<MemberId, Vec<TopicPartition>> = BTreeMap::new();
        for (partition, owner) in &self.owners {
            if owner.revoked.is_none() && target.get(partition) != Some(&owner.member) {
                revoked.entry(owner.member).or_default().push(partition.clone());
            }
        }
        let mut notices = Vec::new();
        for (member, partitions) in revoked {
            self.last_ticket += 1;
            for partition in &partitions {
                if let Some(owner) = self.owners.get_mut(partition) {
                    owner.revoked = Some(self.last_ticket);
                }
            }
            notices.push(Notice::Revoked(member, partitions, self.last_ticket));
        }
        notices
    }

    fn assign(&mut self, target: BTreeMap<TopicPartition, MemberId>, available: &Available) -> Vec<Notice> {
        self.is_blocked = false;
        let mut assigned: BTreeMap<MemberId, Vec<TopicPartition>> = BTreeMap::new();
        for (partition, member) in target {
            if self.owners.contains_key(&partition) {
                continue;
            }
            if self.busy.contains_key(&partition) {
                self.is_blocked = true;
                continue;
            }
            let topic = available.get(&partition.topic).map_or(0, |(id, _)| *id);
            let owner = Owner {
                member,
                topic,
                revoked: None,
            };
            self.owners.insert(partition.clone(), owner);
            assigned.entry(member).or_default().push(partition);
        }
        let notice = |(member, partitions)| Notice::Assigned(member, partitions);
        assigned.into_iter().map(notice).collect()
    }

    fn drop_deleted(&mut self, available: &Available) -> Vec<Notice> {
        let mut lost: BTreeMap<MemberId, Vec<TopicPartition>> = BTreeMap::new();
        self.owners.retain(|partition, owner| {
            let is_there = available
                .get(&partition.topic)
                .is_some_and(|(id, count)| *id == owner.topic && partition.partition < *count);
            if !is_there {
                lost.entry(owner.member).or_default().push(partition.clone());
            }
            is_there
        });
        lost.into_iter()
            .map(|(member, partitions)| Notice::Deleted(member, partitions))
            .collect()
    }

    /// Who should own what: as now, but balanced.
    fn target(&self, available: &Available) -> BTreeMap<TopicPartition, MemberId> {
        let mut target = BTreeMap::new();
        let mut loads: BTreeMap<MemberId, usize> = self.members.keys().map(|member| (*member, 0)).collect();
        let mut free = Vec::new();
        for (topic, (_, count)) in available {
            for partition in 0..*count {
                let partition = TopicPartition {
                    topic: topic.clone(),
                    partition,
                };
                let stays = |owner: &&Owner| owner.revoked.is_none() && self.wants(owner.member, topic);
                let owner = self.owners.get(&partition).filter(stays);
                match owner {
                    Some(owner) => {
                        *loads.entry(owner.member).or_default() += 1;
                        target.insert(partition, owner.member);
                    }
                    None => free.push(partition),
                }
            }
        }
        for partition in free {
            if let Some(member) = self.least(&loads, &partition.topic) {
                *loads.entry(member).or_default() += 1;
                target.insert(partition, member);
            }
        }
        self.balance(&mut target, &mut loads);
        target
    }

    /// The member with the least to do among those that want the topic.
    fn least(&self, loads: &BTreeMap<MemberId, usize>, topic: &Topic) -> Option<MemberId> {
        let wanting = self.members.keys().filter(|member| self.wants(**member, topic));
        wanting.copied().min_by_key(|member| loads.get(member))
    }

    fn wants(&self, member: MemberId, topic: &Topic) -> bool {
        self.members.get(&member).is_some_and(|topics| topics.contains(topic))
    }

    fn balance(&self, target: &mut BTreeMap<TopicPartition, MemberId>, loads: &mut BTreeMap<MemberId, usize>) {
        loop {
            let mut has_moved = false;
            for (partition, member) in target.iter_mut() {
                let Some(least) = self.least(loads, &partition.topic) else {
                    continue;
                };
                if loads[member] > loads[&least] + 1 {
                    *loads.entry(*member).or_default() -= 1;
                    *loads.entry(least).or_default() += 1;
                    *member = least;
                    has_moved = true;
                }
            }
            if !has_moved {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap()
    }

    #[derive(Clone, Debug)]
    enum Step {
        Join(bool),
        Subscribe(usize, bool),
        Leave(usize),
        Release(usize),
        Expire(usize),
        Partitions(i32),
        Recreate,
        BeginCommit(usize),
        EndCommit(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<bool>().prop_map(Step::Join),
            (0..4_usize, any::<bool>()).prop_map(|(member, both)| Step::Subscribe(member, both)),
            (0..4_usize).prop_map(Step::Leave),
            (0..4_usize).prop_map(Step::Release),
            (0..4_usize).prop_map(Step::Expire),
            (0..9_i32).prop_map(Step::Partitions),
            Just(Step::Recreate),
            (0..9_usize).prop_map(Step::BeginCommit),
            (0..4_usize).prop_map(Step::EndCommit),
        ]
    }

    fn a_and(b: bool) -> Vec<Topic> {
        [topic("a"), topic("b")][..if b { 2 } else { 1 }].to_vec()
    }

    /// What members believe from the notices they got.
    #[derive(Default)]
    struct World {
        coordinator: Coordinator,
        available: Available,
        holds: BTreeMap<MemberId, BTreeSet<TopicPartition>>,
        tickets: Vec<(Ticket, MemberId, Vec<TopicPartition>)>,
        commits: Vec<TopicPartition>,
    }

    impl World {
        fn hear(&mut self, notices: Vec<Notice>) {
            for notice in notices {
                match notice {
                    Notice::Assigned(member, partitions) => {
                        for partition in partitions {
                            assert!(
                                !self.holds.values().any(|held| held.contains(&partition)),
                                "{partition:?} has two owners"
                            );
                            assert!(!self.commits.contains(&partition), "moved under a commit");
                            self.holds.entry(member).or_default().insert(partition);
                        }
                    }
                    Notice::Revoked(member, partitions, ticket) => self.tickets.push((ticket, member, partitions)),
                    Notice::Lost(member, partitions) | Notice::Deleted(member, partitions) => {
                        let held = self.holds.entry(member).or_default();
                        partitions.iter().for_each(|partition| assert!(held.remove(partition)));
                        for (_, _, revoked) in self.tickets.iter_mut().filter(|(_, of, _)| *of == member) {
                            revoked.retain(|partition| !partitions.contains(partition));
                        }
                    }
                }
            }
        }

        fn let_go(&mut self, number: usize) -> Option<Ticket> {
            (number < self.tickets.len()).then(|| {
                let (ticket, member, partitions) = self.tickets.remove(number);
                if let Some(held) = self.holds.get_mut(&member) {
                    held.retain(|partition| !partitions.contains(partition));
                }
                ticket
            })
        }

        fn step(&mut self, step: Step) {
            match step {
                Step::Join(both) => {
                    let member = self.coordinator.join(&a_and(both));
                    self.holds.insert(member, BTreeSet::new());
                }
                Step::Subscribe(number, both) => {
                    if let Some(member) = self.holds.keys().nth(number) {
                        self.coordinator.subscribe(*member, &a_and(both));
                    }
                }
                Step::Leave(number) => {
                    if let Some(member) = self.holds.keys().nth(number).copied() {
                        self.coordinator.leave(member);
                        self.holds.remove(&member);
                        self.tickets.retain(|(_, of, _)| *of != member);
                    }
                }
                Step::Release(number) => {
                    if let Some(ticket) = self.let_go(number) {
                        self.coordinator.release(ticket);
                    }
                }
                Step::Expire(number) => {
                    if let Some((ticket, _, _)) = self.tickets.get(number).cloned() {
                        self.tickets.remove(number);
                        let notice = self.coordinator.expire(ticket);
                        self.hear(notice.into_iter().collect());
                    }
                }
                Step::Partitions(count) => drop(self.available.insert(topic("a"), (1, count))),
                Step::Recreate => drop(self.available.insert(topic("b"), (self.tickets.len() as u32 + 2, 3))),
                Step::BeginCommit(number) => {
                    let held = self
                        .holds
                        .iter()
                        .flat_map(|(member, held)| held.iter().map(|p| (*member, p.clone())));
                    if let Some((member, partition)) = held.clone().nth(number)
                        && self
                            .coordinator
                            .begin_commit(Some(member), std::slice::from_ref(&partition))
                    {
                        self.commits.push(partition);
                    }
                }
                Step::EndCommit(number) => {
                    if number < self.commits.len() {
                        let partition = self.commits.remove(number);
                        self.coordinator.end_commit(&[partition]);
                    }
                }
            }
            let notices = self.coordinator.rebalance(&self.available);
            self.hear(notices);
        }

        fn settle(&mut self) {
            for _ in 0..20 {
                while let Some(partition) = self.commits.pop() {
                    self.coordinator.end_commit(&[partition]);
                }
                while let Some(ticket) = self.let_go(0) {
                    self.coordinator.release(ticket);
                }
                let notices = self.coordinator.rebalance(&self.available);
                self.hear(notices);
            }
        }
    }

    proptest! {
        #[test]
        fn a_partition_has_one_owner_and_all_are_owned_in_the_end(steps in vec(step(), 0..60)) {
            let mut world = World::default();
            world.available.insert(topic("a"), (1, 4));
            for step in steps {
                world.step(step);
            }
            world.settle();
            prop_assert!(world.tickets.is_empty());
            for (member, held) in &world.holds {
                let topics: BTreeSet<&Topic> = held.iter().map(|partition| &partition.topic).collect();
                prop_assert!(topics.iter().all(|topic| world.coordinator.wants(*member, topic)));
            }
            if !world.holds.is_empty() {
                let owned_of_a = world.holds.values().flatten().filter(|partition| partition.topic == topic("a")).count();
                prop_assert_eq!(owned_of_a, world.available[&topic("a")].1 as usize);
            }
        }

        #[test]
        fn members_of_the_same_topics_are_balanced_and_keep_what_they_can(members in 1..7_usize, partitions in 1..20_i32) {
            let mut world = World::default();
            world.available.insert(topic("a"), (1, partitions));
            for _ in 0..members {
                world.step(Step::Join(false));
            }
            world.settle();
            let loads: Vec<usize> = world.holds.values().map(BTreeSet::len).collect();
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);
            let before = world.holds.clone();
            world.step(Step::Leave(0));
            world.settle();
            for (member, held) in &world.holds {
                prop_assert!(before[member].is_subset(held));
            }
        }
    }
}
