//! One partition of the model: what is committed, its owner, and replicas that were.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    bus::{
        groups::GroupRecord,
        resets::{Moved, Standing},
        table::Row as _,
    },
    log::TopicPartition,
    name::Topic,
};

/// What a replica has of a partition.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    record: Arc<GroupRecord>,
    epoch: u64,
    /// What is settled, as it knows.
    pub(super) stands: Standing,
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
pub(super) struct Committed {
    pub(super) stands: Standing,
    pub(super) epoch: u64,
}

#[derive(Default)]
pub(super) struct Partition {
    pub(super) committed: Committed,
    moved: Option<Moved>,
    pub(super) owner: Option<Owner>,
    pub(super) frozen: Vec<Owner>,
    /// How often each epoch's move was committed.
    pub(super) moves: Vec<u64>,
    /// Everything that was acked under the committed epoch, told or not.
    acked: BTreeSet<i64>,
    /// What is settled for good, in the note or beside it.
    durable: BTreeSet<i64>,
    /// What was settled when the last reset was committed.
    before: BTreeSet<i64>,
}

pub(super) fn at(number: usize) -> TopicPartition {
    TopicPartition {
        topic: Topic::new("t").expect("valid"),
        partition: i32::try_from(number).expect("few"),
    }
}

pub(super) fn offsets(stands: &Standing) -> BTreeSet<i64> {
    (0..stands.offset)
        .chain(stands.settled.iter().cloned().flatten())
        .collect()
}

impl Partition {
    pub(super) fn assign(&mut self, number: usize, known: Arc<GroupRecord>) {
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
        let stands = offsets(&owner.stands);
        assert!(stands.is_superset(&self.durable), "{stands:?} of {:?}", self.durable);
        if known.due(&at(number), epoch).is_some() {
            owner.phase = Phase::Fenced;
        }
        self.owner = Some(owner);
    }

    pub(super) fn learn(&mut self, number: usize, record: Arc<GroupRecord>) {
        let Some(owner) = &mut self.owner else { return };
        if record.version > owner.record.version {
            owner.record = record;
        }
        let is_serving = matches!(owner.phase, Phase::Serving);
        if is_serving && owner.record.due(&at(number), owner.epoch).is_some() {
            owner.phase = Phase::Fenced;
        }
    }

    pub(super) fn ack(&mut self, offset: i64) {
        let Some(owner) = &mut self.owner else { return };
        if matches!(owner.phase, Phase::Serving) && owner.epoch == self.committed.epoch {
            let run = std::iter::once(offset..offset + 1);
            owner.stands = Standing::new(owner.stands.offset, owner.stands.settled.iter().cloned().chain(run));
            self.acked.insert(offset);
        }
    }

    /// What was passed over is not in the note.
    pub(super) fn save(&mut self) {
        let Some(owner) = &self.owner else { return };
        if matches!(owner.phase, Phase::Serving) {
            assert!(owner.epoch >= self.committed.epoch, "no commit of an older epoch");
            self.durable = offsets(&owner.stands);
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

    pub(super) fn carry(&mut self, number: usize) {
        let Some(mut owner) = self.owner.take() else { return };
        self.carry_on(number, &mut owner, true);
        self.owner = Some(owner);
    }

    /// A member that was put out does one thing more, then hears of it.
    pub(super) fn thaw(&mut self, number: usize) {
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
                    let reset = owner.record.reset.as_ref();
                    let undoes = reset.is_some_and(|reset| reset.undoes.is_some());
                    assert_eq!(
                        undoes,
                        moved.undone.is_some(),
                        "an undo is one, however often it is tried"
                    );
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
        self.durable.clone_from(&settled);
        self.acked = settled;
        self.committed = Committed {
            stands: Standing::new(moved.after.offset, []),
            epoch: moved.epoch,
        };
    }
}
