//! Giving a command to this replica's streams, and telling the others to which.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    Instance,
    wire::{self, Entry, Given},
    words::{InstanceName, NotDelivered, SentCommand},
};
use crate::{
    bus::Inner,
    error::Result,
    log::{LogTime, NewRecord},
};

/// Instances in one part of a report, which so stays far below the size of an event.
const PART: usize = 32;
/// For the log to take a report; the sender waits no longer for most.
const PATIENCE: Duration = Duration::from_secs(30);

impl Inner {
    /// Gives a command, which lies at `offset`, to the streams that it is for, and reports. Does not wait: commands behind this one
    /// come at once.
    pub(super) fn give(self: &Arc<Self>, command: &Arc<SentCommand>, offset: i64) {
        let now = LogTime::now();
        let meant = self.commands.instances.meant(&command.target, offset);
        let given: Vec<_> = meant
            .iter()
            .map(|instance| self.give_to(instance, command, now))
            .collect();
        if !given.is_empty() {
            let refused = given.iter().filter(|(_, refused)| refused.is_some()).count();
            let (name, instances) = (command.name.as_str(), given.len());
            tracing::info!(command = command.id, name, instances, refused, "command given");
        }
        self.report(parts(&command.id, &self.replica_id, given));
    }

    fn give_to(
        &self,
        instance: &Instance,
        command: &Arc<SentCommand>,
        now: LogTime,
    ) -> (InstanceName, Option<NotDelivered>) {
        let given = if command.is_void(now) {
            Err(NotDelivered::Late)
        } else if self.draining.is_cancelled() {
            Err(NotDelivered::Ending)
        } else {
            instance.give(command, now)
        };
        (instance.name.clone(), given.err())
    }

    /// Writes entries in the background. Where the log does not take them, senders find out by their timeout.
    pub(super) fn report(self: &Arc<Self>, entries: Vec<Entry>) {
        let Ok(permit) = Arc::clone(&self.commands.reports).try_acquire_owned() else {
            return tracing::warn!("too many reports about commands are on their way to the log: one is left out");
        };
        let bus = Arc::clone(self);
        self.followers.spawn(async move {
            if let Err(error) = bus.write_entries(&entries).await {
                tracing::warn!(%error, "cannot report about a command");
            }
            drop(permit);
        });
    }

    /// On return they are durable.
    pub(super) async fn write_entries(&self, entries: &[Entry]) -> Result<()> {
        let records = entries.iter().map(|entry| self.command_record(entry));
        self.write_records(records.collect::<Result<_>>()?).await
    }

    pub(super) fn command_record(&self, entry: &Entry) -> Result<NewRecord> {
        wire::record(&self.commands_partition(), &self.replica_id, entry)
    }

    /// On return they are durable.
    pub(super) async fn write_records(&self, records: Vec<NewRecord>) -> Result<()> {
        let write = async {
            let outcomes = self.log.append(records).await?.await;
            let failed = outcomes.into_iter().find_map(Result::err);
            failed.map_or(Ok(()), |unwritten| Err(unwritten.error.repeated()))
        };
        timeout(PATIENCE, write)
            .await
            .unwrap_or_else(|_| Err(super::unreachable()))
    }
}

/// A replica that has no instance says so too.
fn parts(command_id: &str, replica_id: &str, given: Vec<(InstanceName, Option<NotDelivered>)>) -> Vec<Entry> {
    let count = given.len().div_ceil(PART).max(1);
    let mut left = given.into_iter();
    let part = |index| {
        Entry::Given(Given {
            command_id: command_id.to_owned(),
            replica_id: replica_id.to_owned(),
            instances: left.by_ref().take(PART).collect(),
            last: index + 1 == count,
        })
    };
    (0..count).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_comes_in_parts_of_which_one_is_the_last() {
        for (instances, expected) in [
            (0, vec![(0, true)]),
            (32, vec![(32, true)]),
            (70, vec![(32, false), (32, false), (6, true)]),
        ] {
            let name = |n: usize| InstanceName {
                stream_id: n.to_string(),
                client_id: String::new(),
                replica_id: String::new(),
            };
            let parts = parts("i", "r", (0..instances).map(|n| (name(n), None)).collect());
            let sizes: Vec<_> = parts
                .iter()
                .map(|entry| match entry {
                    Entry::Given(given) => (given.instances.len(), given.last),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(sizes, expected);
        }
    }
}
