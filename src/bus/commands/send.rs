//! Sending a command: checked, written to the audit log, then to the topic.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{
    answers::{Answers, Sent},
    wire::{self, Entry},
    words::{CommandName, CommandPayload, CommandTarget, SentCommand},
};
use crate::{
    bus::{Bus, Inner, audit::Act},
    error::{Error, Reason, Result},
    log::LogTime,
};

/// A command to send.
#[derive(Clone, Debug)]
pub struct SendCommand {
    pub name: CommandName,
    pub target: CommandTarget,
    pub payload: Option<CommandPayload>,
    /// How long answers are waited for.
    pub timeout: Duration,
    pub reason: String,
    pub by: String,
}

impl Bus {
    /// Sends a command. On return it is durable, and who sent it is written down.
    pub async fn send_command(&self, send: SendCommand) -> Result<Answers> {
        let (bus, deadline) = (&self.0, Instant::now() + send.timeout);
        bus.check_command(&send)?;
        let permit = bus.call_permit()?;
        match timeout_at(deadline, bus.send(send, (deadline, permit))).await {
            Ok(sent) => sent,
            Err(_) => {
                let text =
                    "send a command: the time was over before it was sent; whether it is on the log is not known";
                Err(Error::new(Reason::DeadlineExceeded, text))
            }
        }
    }
}

impl Inner {
    fn check_command(&self, send: &SendCommand) -> Result<()> {
        let fault = |field, rule| Err(Error::fault(Reason::RequestInvalid, field, rule));
        let longest = self.settings.commands.max_timeout;
        if send.timeout > longest {
            return fault("timeout", format!("is at most commands.max_timeout = {longest:?}"));
        }
        let (size, most) = (
            send.payload.as_ref().map_or(0, CommandPayload::size),
            self.most_command_payload(),
        );
        if size > most {
            return fault("payload", format!("has at most {most} bytes; this has {size}"));
        }
        Ok(())
    }

    fn call_permit(&self) -> Result<OwnedSemaphorePermit> {
        if self.draining.is_cancelled() {
            return Err(crate::bus::draining());
        }
        Arc::clone(&self.commands.calls).try_acquire_owned().map_err(|_| {
            let limit = self.settings.commands.outstanding;
            let text = format!("send a command: commands.outstanding = {limit} calls wait for answers");
            Error::new(Reason::Limit, text).retry_after(Duration::from_secs(1))
        })
    }

    async fn send(
        self: &Arc<Self>,
        send: SendCommand,
        (deadline, permit): (Instant, OwnedSemaphorePermit),
    ) -> Result<Answers> {
        let replicas = self.replicas_for(&send.target).await?;
        let command = SentCommand {
            id: uuid::Uuid::now_v7().simple().to_string(),
            name: send.name,
            target: send.target,
            payload: send.payload,
            sender: send.by,
            expires: expiry(deadline),
        };
        self.audit_command(&command, &send.reason).await?;
        let sent = Sent {
            id: command.id.clone(),
            target: command.target.clone(),
            replicas,
        };
        let at = self.write_command(command).await?;
        Ok(Answers::of(self, (sent, at), (deadline, permit)))
    }

    /// Those that will tell to whom they gave it, this one among them.
    async fn replicas_for(self: &Arc<Self>, target: &CommandTarget) -> Result<Vec<String>> {
        if let CommandTarget::Group(group) = target
            && self.groups.find(group).await?.is_none()
        {
            return Err(Error::no_such_group(group));
        }
        self.follow_commands().await?;
        let is_of = |replica: &str| match target {
            CommandTarget::Group(_) => true,
            CommandTarget::Instance(id) => id.rsplit_once('-').is_some_and(|(of, _)| of == replica),
        };
        let mut replicas = self.seen.listening().await?;
        replicas.retain(|id| is_of(id) && *id != self.replica_id);
        if replicas.is_empty() && self.commands.instances.meant(target, i64::MAX).is_empty() {
            return Err(nobody(target));
        }
        if is_of(&self.replica_id) {
            replicas.push(self.replica_id.clone());
        }
        Ok(replicas)
    }

    async fn audit_command(&self, command: &SentCommand, reason: &str) -> Result<()> {
        let details = Details {
            command_id: &command.id,
            name: command.name.as_str(),
            target: &command.target,
            payload_type: command.payload.as_ref().map(|payload| payload.type_url.as_str()),
            payload_bytes: command.payload.as_ref().map_or(0, |payload| payload.value.len()),
            expires: command.expires,
            reason,
        };
        let act = Act {
            id: &command.id,
            ty: "tidings.commands.sent",
            subject: match &command.target {
                CommandTarget::Group(group) => group.as_str(),
                CommandTarget::Instance(id) => id,
            },
            by: &command.sender,
            reason,
            details: &details,
        };
        self.audit(&act).await
    }

    /// Where it lies.
    async fn write_command(&self, command: SentCommand) -> Result<i64> {
        let _room = self.reserve(command.size()).await?;
        let partition = self.commands_partition();
        let record = wire::record(&partition, &self.replica_id, &Entry::Sent(Arc::new(command)))?;
        let outcomes = self.log.append(vec![record]).await?.await;
        match outcomes.into_iter().next() {
            Some(Ok(placed)) => Ok(placed.offset),
            Some(Err(unwritten)) => {
                let known = if unwritten.may_be_written {
                    "it may have been sent"
                } else {
                    "it was not sent"
                };
                let text = format!("send a command: {known}: {}", unwritten.error);
                Err(Error::new(unwritten.error.reason(), text))
            }
            None => Err(Error::new(Reason::Internal, "send a command: the log gave no answer")),
        }
    }
}

/// What the audit log keeps. Not the payload.
#[derive(Serialize)]
struct Details<'a> {
    command_id: &'a str,
    name: &'a str,
    target: &'a CommandTarget,
    payload_type: Option<&'a str>,
    payload_bytes: usize,
    expires: LogTime,
    reason: &'a str,
}

/// On the clock of the machine.
fn expiry(deadline: Instant) -> LogTime {
    let left = deadline.saturating_duration_since(Instant::now());
    LogTime(
        LogTime::now()
            .0
            .saturating_add(i64::try_from(left.as_millis()).unwrap_or(i64::MAX)),
    )
}

pub(super) fn nobody(target: &CommandTarget) -> Error {
    match target {
        CommandTarget::Group(group) => {
            let text =
                format!("no instance of group {group} takes commands: none of its streams was opened with `commands`");
            Error::new(Reason::InstanceNotFound, text).resource("group", group.as_str())
        }
        CommandTarget::Instance(id) => {
            let text = format!("there is no instance {id:?} that takes commands");
            Error::new(Reason::InstanceNotFound, text).resource("instance", id)
        }
    }
}
