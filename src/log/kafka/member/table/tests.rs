//! Laws of the table, with a world around it that believes what it is told.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::name::Topic;

const TOPICS: usize = 2;
const PLACES: usize = 6;

fn at(number: usize) -> TopicPartition {
    TopicPartition {
        topic: Topic::new(&format!("t{}", number % TOPICS)).unwrap(),
        partition: i32::try_from(number / TOPICS).unwrap(),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Assign(Vec<usize>),
    /// The group takes these back.
    Revoke(Vec<usize>),
    LetGo,
    /// The oldest question is answered.
    Answer,
    /// A topic goes, or comes, or another takes its place.
    Delete(usize),
    Create(usize),
    Begin(Vec<usize>),
    End(usize),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let some = || vec(0..PLACES, 1..4);
    prop_oneof![
        4 => some().prop_map(Step::Assign),
        3 => some().prop_map(Step::Revoke),
        2 => Just(Step::LetGo),
        5 => Just(Step::Answer),
        1 => (0..TOPICS).prop_map(Step::Delete),
        2 => (0..TOPICS).prop_map(Step::Create),
        4 => some().prop_map(Step::Begin),
        3 => (0..4_usize).prop_map(Step::End),
        1 => Just(Step::Clear),
    ]
}

/// What the one who is told believes, and what is on its way.
#[derive(Default)]
struct World {
    table: Table,
    births: [Option<u64>; TOPICS],
    last_birth: u64,
    assigned: BTreeSet<TopicPartition>,
    is_revoking: bool,
    asked: Vec<Place>,
    owned: BTreeSet<TopicPartition>,
    commits: Vec<Vec<Place>>,
}

impl World {
    fn birth(births: [Option<u64>; TOPICS], partition: &TopicPartition) -> Option<u64> {
        births[usize::from(partition.topic == at(1).topic)]
    }

    fn is_busy(&self, partition: &TopicPartition) -> bool {
        let names = |places: &Vec<Place>| places.iter().any(|place| place.partition == *partition);
        self.commits.iter().any(names)
    }

    fn settle_up(&mut self) {
        let slots = self.table.slots.iter().filter(|(_, slot)| slot.is_revoked);
        let revoked: Vec<_> = slots.map(|(partition, _)| partition.clone()).collect();
        if self.is_revoking && self.table.remove_revoked() {
            self.is_revoking = false;
            for partition in revoked {
                assert!(!self.owned.contains(&partition), "{partition:?} is still held");
                assert!(!self.is_busy(&partition), "{partition:?} goes under a commit");
                self.assigned.remove(&partition);
            }
        }
        let births = self.births;
        let checked = self.table.check(|partition| Self::birth(births, partition));
        self.lose(&checked.lost);
        self.asked.extend(checked.found);
    }

    fn lose(&mut self, lost: &[TopicPartition]) {
        for partition in lost {
            assert!(self.owned.remove(partition), "{partition:?} was not announced");
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Assign(numbers) => {
                let new: BTreeSet<_> = numbers.into_iter().map(at).collect();
                let new: Vec<_> = new.difference(&self.assigned).cloned().collect();
                self.assigned.extend(new.iter().cloned());
                self.table.assign(new);
            }
            Step::Revoke(numbers) if !self.is_revoking => {
                let partitions: BTreeSet<_> = numbers.into_iter().map(at).collect();
                let partitions: Vec<_> = partitions.intersection(&self.assigned).cloned().collect();
                self.is_revoking = !partitions.is_empty();
                let held = self.table.revoke(&partitions);
                assert!(held.iter().all(|partition| self.owned.contains(partition)));
            }
            Step::LetGo => {
                let held = self.table.let_go();
                self.lose(&held);
            }
            Step::Answer if !self.asked.is_empty() => self.answer(),
            Step::Delete(topic) => self.births[topic] = None,
            Step::Create(topic) => {
                self.last_birth += 1;
                self.births[topic] = Some(self.last_birth);
            }
            Step::Begin(numbers) => self.begin(&numbers),
            Step::End(number) if number < self.commits.len() => {
                let places = self.commits.remove(number);
                self.table.end(&places);
            }
            Step::Clear => self.clear(),
            Step::Revoke(_) | Step::Answer | Step::End(_) => {}
        }
        self.settle_up();
    }

    fn answer(&mut self) {
        let place = self.asked.remove(0);
        if self.table.open(&place) {
            let partition = &place.partition;
            assert!(self.assigned.contains(partition));
            assert!(Self::birth(self.births, partition).is_some(), "a partition of no topic");
            assert!(!self.is_busy(partition), "a commit of before is still on its way");
            assert!(self.owned.insert(partition.clone()), "{partition:?} is announced twice");
        }
    }

    fn begin(&mut self, numbers: &[usize]) {
        let partitions: Vec<_> = numbers.iter().copied().map(at).collect();
        let all_owned = partitions.iter().all(|partition| self.owned.contains(partition));
        let begun = self.table.begin(&partitions);
        assert_eq!(begun.is_some(), all_owned, "only owners commit");
        if let Some(places) = begun {
            assert!(self.table.may_go_on(&places));
            self.commits.push(places);
        }
    }

    /// What is on its way belongs to a client that is over.
    fn clear(&mut self) {
        let told = self.table.clear();
        self.lose(&told);
        assert!(self.owned.is_empty());
        (self.assigned, self.is_revoking) = (BTreeSet::new(), false);
        for places in std::mem::take(&mut self.commits) {
            assert!(!self.table.may_go_on(&places));
            self.table.end(&places);
        }
    }

    /// When all is let go and nothing is on its way, everything assigned whose topic exists is announced.
    fn rest(&mut self) {
        while !self.commits.is_empty() {
            self.step(Step::End(0));
        }
        self.step(Step::LetGo);
        while !self.asked.is_empty() {
            self.step(Step::Answer);
        }
        assert!(!self.is_revoking, "what was revoked is removed");
        assert!(self.table.slots.values().all(|slot| slot.commits == 0));
        let exists = |partition: &&TopicPartition| Self::birth(self.births, partition).is_some();
        let there: BTreeSet<_> = self.assigned.iter().filter(exists).cloned().collect();
        assert_eq!(self.owned, there);
    }
}

proptest! {
    /// Only what is announced is committed, nothing goes under a commit, and each announcement has one end.
    #[test]
    fn partitions_come_and_go_in_order(steps in vec(step(), 0..60)) {
        let mut world = World::default();
        for step in steps {
            world.step(step);
        }
        world.rest();
    }
}

#[test]
fn a_commit_that_waited_while_its_partition_went_and_came_back_may_not_be_made() {
    let mut table = Table::default();
    table.assign(vec![at(0)]);
    let found = table.check(|_| Some(1)).found;
    assert!(table.open(&found[0]));
    let places = table.begin(&[at(0)]).expect("it is owned");
    assert_eq!(table.check(|_| Some(2)).lost, [at(0)]);
    assert!(!table.may_go_on(&places));
    table.end(&places);
    let found = table.check(|_| Some(2)).found;
    assert!(table.open(&found[0]));
    assert!(!table.may_go_on(&places));
}
