//! The table of a member's partitions: which are its own, under which epoch, and which commits of them are on their way.
//! No I/O, no clock.
//!
//! ```text
//! assigned ─▶ Shut ─ topic exists ─▶ Asked ─ opened (told) ─▶ Open ─ revoked (told) ─▶ Held ─ let go ─▶ Shut ─▶ removed
//!               ▲                                              │                         │
//!               └───────────── topic gone (told as lost) ──────┴─────────────────────────┘
//! ```
//!
//! A commit begins only while all its partitions are `Open` or `Held`; a partition is removed only when no commit of it is
//! on its way. Each time a partition is asked for anew it has another epoch, so what began under an earlier one is known.

use std::collections::BTreeMap;

use crate::log::TopicPartition;

#[derive(Default)]
pub(super) struct Table {
    slots: BTreeMap<TopicPartition, Slot>,
    last_epoch: u64,
}

/// A partition that the group has assigned to this member.
struct Slot {
    epoch: u64,
    /// That of its topic: another topic of the same name has another.
    birth: Option<u64>,
    stage: Stage,
    is_revoked: bool,
    commits: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing of it is ours.
    Shut,
    /// What the group has committed in it is being asked for.
    Asked,
    /// Announced as assigned.
    Open,
    /// Announced as revoked, and not let go yet.
    Held,
}

/// A partition under an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: TopicPartition,
    epoch: u64,
}

/// What became of partitions since topics came or went.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Were announced, and are gone.
    pub(super) lost: Vec<TopicPartition>,
    /// Are there (again): ask what is committed in them, then open them.
    pub(super) found: Vec<Place>,
}

impl Table {
    /// The group gives these to the member. They are shut until `check` finds their topics.
    pub(super) fn assign(&mut self, partitions: Vec<TopicPartition>) {
        for partition in partitions {
            let slot = Slot {
                epoch: 0,
                birth: None,
                stage: Stage::Shut,
                is_revoked: false,
                commits: 0,
            };
            self.slots.insert(partition, slot);
        }
    }

    /// Compares with the topics that exist: `birth` tells a partition's topic from an earlier one of the same name.
    pub(super) fn check(&mut self, birth: impl Fn(&TopicPartition) -> Option<u64>) -> Checked {
        let mut checked = Checked::default();
        for (partition, slot) in &mut self.slots {
            let now = birth(partition);
            if slot.stage != Stage::Shut && now != slot.birth {
                if slot.is_announced() {
                    checked.lost.push(partition.clone());
                }
                slot.stage = Stage::Shut;
            }
            // A commit of the earlier topic must not reach this one.
            if slot.stage == Stage::Shut && now.is_some() && !slot.is_revoked && slot.commits == 0 {
                self.last_epoch += 1;
                (slot.epoch, slot.birth, slot.stage) = (self.last_epoch, now, Stage::Asked);
                checked.found.push(Place {
                    partition: partition.clone(),
                    epoch: slot.epoch,
                });
            }
        }
        checked
    }

    /// Some partition is neither asked for nor announced nor revoked.
    pub(super) fn has_missing(&self) -> bool {
        self.slots
            .values()
            .any(|slot| slot.stage == Stage::Shut && !slot.is_revoked)
    }

    /// Whether the place is still waited for; then it is announced, and commits of it may begin.
    pub(super) fn open(&mut self, place: &Place) -> bool {
        let slot = self.slots.get_mut(&place.partition);
        let asked = slot.filter(|slot| slot.epoch == place.epoch && slot.stage == Stage::Asked);
        asked.map(|slot| slot.stage = Stage::Open).is_some()
    }

    /// Whether any of the places is still waited for.
    pub(super) fn is_asked(&self, places: &[Place]) -> bool {
        places.iter().any(|place| {
            let slot = self.slots.get(&place.partition);
            slot.is_some_and(|slot| slot.epoch == place.epoch && slot.stage == Stage::Asked)
        })
    }

    /// The group takes these back. Returns those that were announced: commits of them may begin until they are let go.
    pub(super) fn revoke(&mut self, partitions: &[TopicPartition]) -> Vec<TopicPartition> {
        let mut held = Vec::new();
        for partition in partitions {
            let Some(slot) = self.slots.get_mut(partition) else {
                continue;
            };
            slot.is_revoked = true;
            slot.stage = match slot.stage {
                Stage::Open | Stage::Held => {
                    held.push(partition.clone());
                    Stage::Held
                }
                Stage::Shut | Stage::Asked => Stage::Shut,
            };
        }
        held.sort();
        held
    }

    /// What is held is shut. Returns what was held.
    pub(super) fn let_go(&mut self) -> Vec<TopicPartition> {
        let held = self.slots.iter_mut().filter(|(_, slot)| slot.stage == Stage::Held);
        held.map(|(partition, slot)| {
            slot.stage = Stage::Shut;
            partition.clone()
        })
        .collect()
    }

    /// Removes what was revoked, once all of it is shut and no commit of it is on its way.
    pub(super) fn remove_revoked(&mut self) -> bool {
        let is_done = |slot: &Slot| !slot.is_revoked || (slot.stage == Stage::Shut && slot.commits == 0);
        let all_done = self.slots.values().all(is_done);
        if all_done {
            self.slots.retain(|_, slot| !slot.is_revoked);
        }
        all_done
    }

    /// Everything is lost. Returns what was announced.
    pub(super) fn clear(&mut self) -> Vec<TopicPartition> {
        let slots = std::mem::take(&mut self.slots).into_iter();
        slots
            .filter(|(_, slot)| slot.is_announced())
            .map(|(partition, _)| partition)
            .collect()
    }

    /// Whether these are all that the group has assigned.
    pub(super) fn are_all(&self, partitions: &[TopicPartition]) -> bool {
        self.slots.keys().all(|partition| partitions.contains(partition))
    }

    /// Some partition that is announced.
    pub(super) fn any(&self) -> Option<&TopicPartition> {
        let mut announced = self.slots.iter().filter(|(_, slot)| slot.is_announced());
        announced.next().map(|(partition, _)| partition)
    }

    /// Whether a commit of these may be made; if so they stay until `end`.
    pub(super) fn begin(&mut self, partitions: &[TopicPartition]) -> Option<Vec<Place>> {
        let is_ours = |partition| self.slots.get(partition).is_some_and(Slot::is_announced);
        if !partitions.iter().all(is_ours) {
            return None;
        }
        let begin = |partition: &TopicPartition| {
            let slot = self.slots.get_mut(partition)?;
            slot.commits += 1;
            Some(Place {
                partition: partition.clone(),
                epoch: slot.epoch,
            })
        };
        partitions.iter().map(begin).collect()
    }

    /// Whether a commit that began may still be made.
    pub(super) fn may_go_on(&self, places: &[Place]) -> bool {
        places.iter().all(|place| {
            let slot = self.slots.get(&place.partition);
            slot.is_some_and(|slot| slot.epoch == place.epoch && slot.is_announced())
        })
    }

    /// The commit ended, whatever came of it.
    pub(super) fn end(&mut self, places: &[Place]) {
        for place in places {
            if let Some(slot) = self.slots.get_mut(&place.partition)
                && slot.epoch == place.epoch
            {
                slot.commits -= 1;
            }
        }
    }
}

impl Slot {
    fn is_announced(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Held)
    }
}

#[cfg(test)]
mod tests;
