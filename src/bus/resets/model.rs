//! The laws of resets, under any interleaving of what replicas do: the rules that decide are those of the bus, the log is a model.
//!
//! Replicas learn of records late, crash between any two steps, and freeze: one that is no member any more may still write to
//! tables, but none of its commits is taken.

use std::{collections::BTreeSet, sync::Arc};

use proptest::{collection::vec, prelude::*};

use super::{Moved, Standing};
use crate::{
    bus::{
        groups::{ActiveReset, GroupRecord, GroupSettings, OnGap, Undecodable},
        rules::RetryOverride,
        table::Row as _,
    },
    log::TopicPartition,
    name::{Selector, Selectors, Topic},
};

const PARTITIONS: usize = 2;
const END: i64 = 24;

#[derive(Clone, Debug)]
enum Step {
    /// A replica that knows the record of so many changes ago asks for a reset there.
    Accept {
        behind: usize,
        target: i64,
    },
    /// The last reset is taken back.
    Undo,
    /// Another change of the group.
    Change,
    Assign {
        partition: usize,
        behind: usize,
    },
    Learn(usize),
    Ack(usize, i64),
    /// A commit as ever.
    Save(usize),
    /// A step of carrying the reset out.
    Carry(usize),
    Crash(usize),
    /// The owner is put out of the group, and goes on later.
    Freeze(usize),
    Thaw(usize),
    Finish,
}

fn step() -> impl Strategy<Value = Step> {
    let partition = 0..PARTITIONS;
    prop_oneof![
        2 => (0usize..3, 0..END).prop_map(|(behind, target)| Step::Accept { behind, target }),
        2 => Just(Step::Undo),
        1 => Just(Step::Change),
        4 => (partition.clone(), 0usize..4).prop_map(|(partition, behind)| Step::Assign { partition, behind }),
        4 => partition.clone().prop_map(Step::Learn),
        8 => (partition.clone(), 0..END).prop_map(|(partition, offset)| Step::Ack(partition, offset)),
        4 => partition.clone().prop_map(Step::Save),
        8 => partition.clone().prop_map(Step::Carry),
        1 => partition.clone().prop_map(Step::Crash),
        1 => partition.clone().prop_map(Step::Freeze),
        2 => partition.prop_map(Step::Thaw),
        3 => Just(Step::Finish),
    ]
}

/// What a replica has of a partition.
#[derive(Clone, Debug)]
struct Owner {
    record: Arc<GroupRecord>,
    epoch: u64,
    /// What is settled, as it knows.
    stands: Standing,
    passed: Vec<std::ops::Range<i64>>,
    phase: Phase,
}

#[derive(Clone, Debug)]
enum Phase {
    Serving,
    Fenced,
    Written(Moved),
}

/// What is committed, the note with it.
#[derive(Clone, Debug, Default)]
struct Committed {
    stands: Standing,
    epoch: u64,
}

#[derive(Default)]
struct Partition {
    committed: Committed,
    moved: Option<Moved>,
    owner: Option<Owner>,
    frozen: Vec<Owner>,
    /// How often each epoch's move was committed.
    moves: Vec<u64>,
    /// Everything that was acked under the committed epoch, told or not.
    acked: BTreeSet<i64>,
    /// What was settled when the last reset was committed.
    before: BTreeSet<i64>,
}

struct Model {
    records: Vec<Arc<GroupRecord>>,
    partitions: Vec<Partition>,
    finished: Vec<Arc<ActiveReset>>,
}

fn at(number: usize) -> TopicPartition {
    TopicPartition {
        topic: Topic::new("t").expect("valid"),
        partition: i32::try_from(number).expect("few"),
    }
}

fn offsets(stands: &Standing) -> BTreeSet<i64> {
    (0..stands.offset)
        .chain(stands.settled.iter().cloned().flatten())
        .collect()
}

impl Model {
    fn new() -> Self {
        let settings = GroupSettings {
            topics: Selectors::new(vec![Selector::new("t").expect("valid")]),
            filter: None,
            on_gap: OnGap::default(),
            undecodable: Undecodable::default(),
            retry: RetryOverride::default(),
        };
        let first = GroupRecord {
            start: None,
            ..GroupRecord::first(settings, Vec::new())
        };
        Self {
            records: vec![Arc::new(first)],
            partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(),
            finished: Vec::new(),
        }
    }

    fn newest(&self) -> Arc<GroupRecord> {
        Arc::clone(&self.records[self.records.len() - 1])
    }

    fn known(&self, behind: usize) -> Arc<GroupRecord> {
        Arc::clone(&self.records[self.records.len() - 1 - behind.min(self.records.len() - 1)])
    }

    /// The log's order decides whether it holds.
    fn write(&mut self, record: GroupRecord) {
        if record.supersedes(&self.newest()) {
            self.records.push(Arc::new(record));
        }
    }

    fn accept(&mut self, known: &GroupRecord, target: i64, undoes: Option<String>) {
        if known.reset.is_some() {
            return;
        }
        let reset = ActiveReset {
            id: format!("r{}-{}", known.version, self.records.len()),
            request_id: String::new(),
            reason: String::new(),
            by: String::new(),
            accepted_ms: 0,
            undoes,
            moves: (0..PARTITIONS).map(|number| (at(number), target)).collect(),
        };
        self.write(GroupRecord {
            epoch: known.epoch + 1,
            reset: Some(Arc::new(reset)),
            ..known.next()
        });
    }

    fn undo(&mut self) {
        let record = self.newest();
        if let Some(last) = self
            .finished
            .last()
            .filter(|_| self.finished.len() as u64 == record.epoch)
        {
            self.accept(&record, 0, Some(last.id.clone()));
        }
    }

    fn finish(&mut self) {
        let record = self.newest();
        let Some(reset) = record.reset.clone() else { return };
        if self
            .partitions
            .iter()
            .all(|partition| partition.committed.epoch >= record.epoch)
        {
            self.finished.push(reset);
            self.write(GroupRecord {
                reset: None,
                ..record.next()
            });
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Accept { behind, target } => self.accept(&self.known(behind), target, None),
            Step::Undo => self.undo(),
            Step::Change => {
                let record = self.newest();
                self.write(GroupRecord {
                    revision: record.revision + 1,
                    ..record.next()
                });
            }
            Step::Assign { partition, behind } => {
                let known = self.known(behind);
                self.partitions[partition].assign(partition, known);
            }
            Step::Learn(number) => {
                let record = self.newest();
                self.partitions[number].learn(number, record);
            }
            Step::Ack(number, offset) => self.partitions[number].ack(offset),
            Step::Save(number) => self.partitions[number].save(),
            Step::Carry(number) => self.partitions[number].carry(number),
            Step::Crash(number) => self.partitions[number].owner = None,
            Step::Freeze(number) => {
                let partition = &mut self.partitions[number];
                partition.frozen.extend(partition.owner.take());
            }
            Step::Thaw(number) => self.partitions[number].thaw(number),
            Step::Finish => self.finish(),
        }
    }

    fn check(&self) {
        let record = self.newest();
        for partition in &self.partitions {
            assert!(partition.committed.epoch <= record.epoch, "only what was accepted");
            let mut once = partition.moves.clone();
            once.dedup();
            assert_eq!(once, partition.moves, "each reset moves a partition once, in order");
            assert!(partition.moves.is_sorted());
            if record.reset.is_none() {
                assert_eq!(
                    partition.committed.epoch, record.epoch,
                    "finished only when all are moved"
                );
            }
        }
    }
}

impl Partition {
    fn assign(&mut self, number: usize, known: Arc<GroupRecord>) {
        if self.owner.is_some() {
            return;
        }
        let Committed { stands, epoch } = self.committed.clone();
        let passed = self
            .moved
            .as_ref()
            .map_or(Vec::new(), |moved| moved.passed(epoch).to_vec());
        let settled = stands.settled.iter().chain(&passed).cloned();
        let mut owner = Owner {
            record: Arc::clone(&known),
            epoch,
            stands: Standing::new(stands.offset, settled),
            passed,
            phase: Phase::Serving,
        };
        if known.due(&at(number), epoch).is_some() {
            owner.phase = Phase::Fenced;
        }
        self.owner = Some(owner);
    }

    fn learn(&mut self, number: usize, record: Arc<GroupRecord>) {
        let Some(owner) = &mut self.owner else { return };
        if record.version > owner.record.version {
            owner.record = record;
        }
        let is_serving = matches!(owner.phase, Phase::Serving);
        if is_serving && owner.record.due(&at(number), owner.epoch).is_some() {
            owner.phase = Phase::Fenced;
        }
    }

    fn ack(&mut self, offset: i64) {
        let Some(owner) = &mut self.owner else { return };
        if matches!(owner.phase, Phase::Serving) && owner.epoch == self.committed.epoch {
            let run = std::iter::once(offset..offset + 1);
            owner.stands = Standing::new(owner.stands.offset, owner.stands.settled.iter().cloned().chain(run));
            self.acked.insert(offset);
        }
    }

    /// What was passed over is not in the note.
    fn save(&mut self) {
        let Some(owner) = &self.owner else { return };
        if matches!(owner.phase, Phase::Serving) {
            assert!(owner.epoch >= self.committed.epoch, "no commit of an older epoch");
            let is_passed = |offset: &i64| owner.passed.iter().any(|run| run.contains(offset));
            let noted = owner
                .stands
                .settled
                .iter()
                .cloned()
                .flatten()
                .filter(|offset| !is_passed(offset));
            let noted = noted.map(|offset| offset..offset + 1);
            self.committed = Committed {
                stands: Standing::new(owner.stands.offset, noted.collect::<Vec<_>>()),
                epoch: owner.epoch,
            };
        }
    }

    fn carry(&mut self, number: usize) {
        let Some(mut owner) = self.owner.take() else { return };
        self.carry_on(number, &mut owner, true);
        self.owner = Some(owner);
    }

    /// A member that was put out does one thing more, then hears of it.
    fn thaw(&mut self, number: usize) {
        if let Some(mut owner) = self.frozen.pop() {
            self.carry_on(number, &mut owner, false);
        }
    }

    fn carry_on(&mut self, number: usize, owner: &mut Owner, is_member: bool) {
        match owner.phase.clone() {
            Phase::Serving => {}
            Phase::Fenced => {
                let Some((reset, target)) = owner.record.due(&at(number), owner.epoch) else {
                    return;
                };
                let stands = (target, owner.stands.clone());
                let moved = Moved::by((reset, owner.record.epoch), stands, self.moved.as_ref());
                if self.moved.as_ref().is_none_or(|known| moved.supersedes(known)) {
                    self.moved = Some(moved.clone());
                }
                let holds = self.moved.clone().filter(|holds| holds.epoch == moved.epoch);
                owner.phase = Phase::Written(holds.unwrap_or(moved));
            }
            Phase::Written(moved) => {
                if is_member {
                    self.commit_move(&moved);
                    owner.epoch = moved.epoch;
                    owner.passed = self
                        .moved
                        .as_ref()
                        .map_or(Vec::new(), |row| row.passed(moved.epoch).to_vec());
                    owner.stands = Standing::new(moved.after.offset, owner.passed.clone());
                    owner.phase = Phase::Serving;
                }
            }
        }
    }

    fn commit_move(&mut self, moved: &Moved) {
        assert!(moved.epoch > self.committed.epoch, "a move goes over an older epoch");
        let undone = moved.undone.is_some();
        let was = offsets(&self.committed.stands);
        let settled = offsets(&moved.after);
        if undone {
            // What was settled before the reset and on the log, or since, is settled; nothing else is.
            let possible: BTreeSet<i64> = self.before.union(&self.acked).copied().collect();
            assert!(settled.is_subset(&possible), "{settled:?} of {possible:?}");
        }
        self.moves.push(moved.epoch);
        // Everything that anybody acked, of the epoch that ends now or in the state that it began with.
        self.before = self.acked.union(&was).copied().collect();
        self.acked = settled;
        self.committed = Committed {
            stands: Standing::new(moved.after.offset, []),
            epoch: moved.epoch,
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_reset_moves_each_partition_once_or_not_at_all(steps in vec(step(), 1..120)) {
        let mut model = Model::new();
        for step in &steps {
            model.step(step);
            model.check();
        }
        // Whatever happened, those who live finish it.
        for _ in 0..4 {
            for number in 0..PARTITIONS {
                let known = model.newest();
                model.partitions[number].assign(number, Arc::clone(&known));
                model.partitions[number].learn(number, known);
                model.partitions[number].carry(number);
            }
            model.finish();
            model.check();
        }
        prop_assert!(model.newest().reset.is_none());
    }

    /// With an owner that lives, an undo leaves exactly what was settled before the reset or since.
    #[test]
    fn an_undo_puts_back_what_was_settled(
        before in vec(0..END, 0..12), since in vec(0..END, 0..12), target in 0..END, restarts in any::<[bool; 2]>(),
    ) {
        let mut model = Model::new();
        let live = |model: &mut Model, restarts: bool| {
            let known = model.newest();
            let partition = &mut model.partitions[0];
            partition.save();
            if restarts {
                partition.owner = None;
            }
            partition.assign(0, Arc::clone(&known));
            partition.learn(0, known);
        };
        live(&mut model, false);
        before.iter().for_each(|offset| model.partitions[0].ack(*offset));
        let stood = offsets(&model.partitions[0].owner.as_ref().expect("an owner").stands);
        model.accept(&model.newest(), target, None);
        for number in 0..PARTITIONS {
            let known = model.newest();
            model.partitions[number].assign(number, Arc::clone(&known));
            model.partitions[number].learn(number, known);
            (0..2).for_each(|_| model.partitions[number].carry(number));
        }
        model.finish();
        live(&mut model, restarts[0]);
        since.iter().for_each(|offset| model.partitions[0].ack(*offset));
        let since = offsets(&model.partitions[0].owner.as_ref().expect("an owner").stands);
        let acked: BTreeSet<i64> = since.into_iter().filter(|offset| *offset >= target).collect();
        model.undo();
        live(&mut model, restarts[1]);
        (0..2).for_each(|_| model.partitions[0].carry(0));
        let stands = &model.partitions[0].owner.as_ref().expect("an owner").stands;
        let expected: BTreeSet<i64> = stood.union(&acked).copied().collect();
        prop_assert_eq!(offsets(stands), expected);
    }
}
