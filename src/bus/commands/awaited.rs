//! The pure heart of a call: which replicas and instances it still waits for, from what they write, in any order.

use std::collections::BTreeMap;

use super::{
    wire::{Answered, Entry, Given},
    words::{CommandAnswer, CommandOutcome, InstanceName},
};

pub(super) struct Awaited {
    command_id: String,
    /// Whether each has told all of its instances.
    replicas: BTreeMap<String, Told>,
    /// By stream; whether each has its answer.
    instances: BTreeMap<String, (InstanceName, bool)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    All,
    /// Nothing comes any more.
    Lost,
}

impl Awaited {
    pub(super) fn of(command_id: &str, replicas: impl IntoIterator<Item = String>) -> Self {
        Self {
            command_id: command_id.to_owned(),
            replicas: replicas.into_iter().map(|id| (id, Told::Nothing)).collect(),
            instances: BTreeMap::new(),
        }
    }

    /// Takes in what was written; gives the answers that are news.
    pub(super) fn take(&mut self, entry: Entry) -> Vec<CommandAnswer> {
        if entry.command_id() != self.command_id {
            return Vec::new();
        }
        match entry {
            Entry::Sent(_) => Vec::new(),
            Entry::Given(given) => self.given(given),
            Entry::Answered(Answered { instance, outcome, .. }) => self.answer(instance, outcome).into_iter().collect(),
        }
    }

    fn given(&mut self, given: Given) -> Vec<CommandAnswer> {
        if given.last {
            self.replicas.insert(given.replica_id, Told::All);
        }
        let mut answers = Vec::new();
        for (instance, refused) in given.instances {
            match refused {
                Some(why) => answers.extend(self.answer(instance, CommandOutcome::NotDelivered(why))),
                // Its answer may lie before this.
                None => {
                    let id = instance.stream_id.clone();
                    self.instances.entry(id).or_insert((instance, false));
                }
            }
        }
        answers
    }

    /// `None` = it has its answer: the first one counts.
    fn answer(&mut self, instance: InstanceName, outcome: CommandOutcome) -> Option<CommandAnswer> {
        let id = instance.stream_id.clone();
        let (_, is_answered) = self.instances.entry(id).or_insert_with(|| (instance.clone(), false));
        if std::mem::replace(is_answered, true) {
            return None;
        }
        Some(CommandAnswer {
            command_id: self.command_id.clone(),
            instance,
            outcome,
        })
    }

    /// This replica has ended: its instances went with it.
    pub(super) fn lost(&mut self, replica_id: &str) -> Vec<CommandAnswer> {
        if let Some(told) = self.replicas.get_mut(replica_id).filter(|told| **told == Told::Nothing) {
            *told = Told::Lost;
        }
        self.end_all(CommandOutcome::Gone, |instance| instance.replica_id == replica_id)
    }

    /// The time is over.
    pub(super) fn expired(&mut self) -> Vec<CommandAnswer> {
        self.end_all(CommandOutcome::NoAnswer, |_| true)
    }

    fn end_all(&mut self, outcome: CommandOutcome, is_meant: impl Fn(&InstanceName) -> bool) -> Vec<CommandAnswer> {
        let open = self
            .instances
            .values()
            .filter(|(instance, answered)| !answered && is_meant(instance));
        let open: Vec<InstanceName> = open.map(|(instance, _)| instance.clone()).collect();
        open.into_iter()
            .filter_map(|instance| self.answer(instance, outcome.clone()))
            .collect()
    }

    /// Those of which something is still to come.
    pub(super) fn replicas(&self) -> Vec<String> {
        let waits = |id: &String| {
            self.instances
                .values()
                .any(|(instance, answered)| !answered && instance.replica_id == *id)
        };
        let awaited = self
            .replicas
            .iter()
            .filter(|(id, told)| **told == Told::Nothing || waits(id));
        awaited.map(|(id, _)| id.clone()).collect()
    }

    /// Those that have not told to whom they gave the command.
    pub(super) fn silent(&self) -> Vec<&str> {
        let silent = self.replicas.iter().filter(|(_, told)| **told == Told::Nothing);
        silent.map(|(id, _)| id.as_str()).collect()
    }

    pub(super) fn is_complete(&self) -> bool {
        self.silent().is_empty() && self.instances.values().all(|(_, answered)| *answered)
    }

    /// No instance has the command or ever had it.
    pub(super) fn is_nobody_there(&self) -> bool {
        self.instances.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bus::commands::words::{CommandStatus, NotDelivered};

    fn instance(replica: &str, number: usize) -> InstanceName {
        InstanceName {
            stream_id: format!("{replica}-{number}"),
            client_id: String::new(),
            replica_id: replica.to_owned(),
        }
    }

    fn given(replica: &str, instances: &[(usize, Option<NotDelivered>)], last: bool) -> Entry {
        Entry::Given(Given {
            command_id: "i".to_owned(),
            replica_id: replica.to_owned(),
            instances: instances.iter().map(|(n, why)| (instance(replica, *n), *why)).collect(),
            last,
        })
    }

    fn done(code: i32) -> CommandOutcome {
        CommandOutcome::Answered {
            status: CommandStatus {
                code,
                ..CommandStatus::default()
            },
            payload: None,
        }
    }

    fn answered(replica: &str, number: usize, outcome: CommandOutcome) -> Entry {
        Entry::Answered(Answered {
            command_id: "i".to_owned(),
            instance: instance(replica, number),
            outcome,
        })
    }

    fn both() -> Awaited {
        Awaited::of("i", ["a".to_owned(), "b".to_owned()])
    }

    fn shown(answers: &[CommandAnswer]) -> Vec<(&str, &CommandOutcome)> {
        answers
            .iter()
            .map(|answer| (answer.instance.stream_id.as_str(), &answer.outcome))
            .collect()
    }

    #[test]
    fn it_is_complete_when_all_replicas_have_told_and_all_instances_have_an_answer() {
        let mut awaited = both();
        assert!(awaited.take(given("a", &[(1, None)], false)).is_empty());
        assert_eq!(awaited.replicas(), ["a", "b"]);
        let refused = awaited.take(given("a", &[(2, Some(NotDelivered::Busy))], true));
        let busy = CommandOutcome::NotDelivered(NotDelivered::Busy);
        assert_eq!(shown(&refused), [("a-2", &busy)]);
        awaited.take(given("b", &[], true));
        assert_eq!(awaited.replicas(), ["a"]);
        assert!(!awaited.is_complete());
        assert_eq!(shown(&awaited.take(answered("a", 1, done(0)))), [("a-1", &done(0))]);
        assert!(awaited.is_complete() && !awaited.is_nobody_there());
    }

    #[test]
    fn nobody_is_there_when_all_have_told_of_none() {
        let mut awaited = both();
        awaited.take(given("a", &[], true));
        awaited.take(given("b", &[], true));
        assert!(awaited.is_complete() && awaited.is_nobody_there());
    }

    #[test]
    fn an_answer_may_come_before_the_report_and_the_first_one_counts() {
        let mut awaited = both();
        assert_eq!(shown(&awaited.take(answered("a", 1, done(0)))), [("a-1", &done(0))]);
        assert!(awaited.take(given("a", &[(1, None)], true)).is_empty());
        assert!(awaited.take(answered("a", 1, done(5))).is_empty());
        assert!(awaited.take(answered("a", 1, CommandOutcome::Gone)).is_empty());
        assert!(awaited.expired().is_empty());
        assert_eq!(awaited.silent(), ["b"]);
    }

    #[test]
    fn a_replica_that_is_lost_is_not_waited_for_and_its_instances_are_gone() {
        let mut awaited = both();
        awaited.take(given("a", &[(1, None), (2, None)], true));
        awaited.take(answered("a", 1, done(0)));
        assert_eq!(shown(&awaited.lost("a")), [("a-2", &CommandOutcome::Gone)]);
        assert!(awaited.lost("b").is_empty());
        assert!(awaited.is_complete());
    }

    #[test]
    fn what_is_of_other_commands_is_passed_over() {
        let mut awaited = Awaited::of("j", ["a".to_owned()]);
        awaited.take(given("a", &[(1, None)], true));
        assert!(!awaited.is_complete() && awaited.is_nobody_there());
    }

    proptest! {
        /// Whatever is written in whatever order, each instance that was heard of has exactly one answer at the end.
        #[test]
        fn each_instance_has_exactly_one_answer(steps in prop::collection::vec((0..2usize, 0..4usize, 0..5u8), 0..60)) {
            let mut awaited = both();
            let (mut heard, mut answers) = (std::collections::BTreeSet::new(), Vec::new());
            for (replica, number, kind) in steps {
                let replica = ["a", "b"][replica];
                let id = format!("{replica}-{number}");
                match kind {
                    0 => answers.extend(awaited.lost(replica)),
                    1 => answers.extend(awaited.take(given(replica, &[(number, None)], true))),
                    2 => answers.extend(awaited.take(given(replica, &[(number, Some(NotDelivered::Late))], false))),
                    3 => answers.extend(awaited.take(answered(replica, number, CommandOutcome::Gone))),
                    _ => answers.extend(awaited.take(answered(replica, number, done(0)))),
                }
                if kind > 0 {
                    heard.insert(id);
                }
            }
            answers.extend(awaited.expired());
            let mut told: Vec<_> = answers.iter().map(|answer| answer.instance.stream_id.clone()).collect();
            told.sort();
            prop_assert_eq!(told, heard.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(awaited.is_complete(), awaited.silent().is_empty());
        }
    }
}
