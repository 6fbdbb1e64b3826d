//! The laws of resets, under any interleaving of what replicas do: the rules that decide are those of the bus, the log is a model.
//!
//! Replicas learn of records late, crash between any two steps, and freeze: one that is no member any more may still write to
//! tables, but none of its commits is taken.

mod partition;

use std::{collections::BTreeSet, sync::Arc};

use proptest::{collection::vec, prelude::*};

use self::partition::{Partition, at, offsets};
use crate::{
    bus::{
        groups::{ActiveReset, GroupRecord, GroupSettings, OnGap, Undecodable},
        rules::RetryOverride,
        table::Row as _,
    },
    name::{Selector, Selectors},
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

struct Model {
    records: Vec<Arc<GroupRecord>>,
    partitions: Vec<Partition>,
    finished: Vec<Arc<ActiveReset>>,
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
