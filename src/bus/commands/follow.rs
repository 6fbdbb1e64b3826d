//! Following the topic of commands, from its end: each is given to the streams that take it, at most once.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tokio::time::{sleep, timeout};

use super::{
    recent::Recent,
    unreachable,
    wire::{self, Entry},
};
use crate::{bus::Inner, error::Result};

const RETRY: Duration = Duration::from_millis(500);
/// For the log to say where the topic ends.
const PATIENCE: Duration = Duration::from_secs(10);

impl Inner {
    /// On return this replica gives every command that is sent later to the streams that it has by then.
    pub(super) async fn follow_commands(self: &Arc<Self>) -> Result<()> {
        let mut reached = self.commands.reached.subscribe();
        if reached.borrow().is_none() && self.commands.begins_to_follow() {
            self.followers.spawn(follow(Arc::clone(self)));
        }
        match timeout(PATIENCE, reached.wait_for(Option::is_some)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(unreachable()),
        }
    }
}

/// Until the bus has ended: while it drains, commands are still answered for.
async fn follow(bus: Arc<Inner>) {
    let mut recent = Recent::default();
    loop {
        tokio::select! {
            () = bus.ended.cancelled() => return,
            followed = read_on(&bus, &mut recent) => if let Err(error) = followed {
                tracing::debug!(%error, "cannot follow the topic of commands");
            },
        }
        tokio::select! {
            () = bus.ended.cancelled() => return,
            () = sleep(RETRY) => {}
        }
    }
}

/// Gives what comes, until reading fails.
async fn read_on(bus: &Arc<Inner>, recent: &mut Recent) -> Result<()> {
    bus.ensure_commands_topic().await?;
    let (partition, reached) = (bus.commands_partition(), &bus.commands.reached);
    let bounds = bus.log.bounds(std::slice::from_ref(&partition)).await?[0];
    let next = match *reached.borrow() {
        // What was sent before is not for us.
        None => bounds.end,
        // It was made anew: everything in it was sent since.
        Some(next) if next > bounds.end => {
            bus.commands.instances.begin_anew();
            bounds.start
        }
        Some(next) => next.max(bounds.start),
    };
    reached.send_replace(Some(next));
    let mut reader = bus.log.read(&partition, next, None);
    while let Some(batch) = reader.next().await {
        let batch = batch?;
        for record in &batch.records {
            if let Some(Entry::Sent(command)) = wire::read(&partition, record)
                && recent.add(&command.id)
            {
                bus.give(&command, record.offset);
            }
        }
        reached.send_replace(Some(batch.next));
    }
    Ok(())
}
