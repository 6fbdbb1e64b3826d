//! A stream as an instance: it listens, replies, and leaves; what it left unanswered is told.

use std::sync::Arc;

use super::{
    Instance, Place,
    wire::{Answered, Entry},
    words::{CommandOutcome, CommandReply, InstanceName, ReplyFault},
};
use crate::{
    bus::{Inner, group::Frame},
    error::Result,
    log::LogTime,
};

/// Of a status message so many characters are kept.
const MOST_TEXT: usize = 1_000;
/// Of an id that is none of ours so many are told back.
const MOST_ID: usize = 100;

/// What a stream does as an instance.
#[derive(Clone)]
pub(in crate::bus) struct Listener {
    bus: Arc<Inner>,
    instance: Arc<Instance>,
}

/// A stream that listens until this is dropped.
pub(in crate::bus) struct Leaving {
    listener: Listener,
    _place: Place,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.listener.leave();
    }
}

impl Inner {
    /// A place for a stream that is about to take commands, and where those begin that were sent since. On return all replicas wait for
    /// what this one tells of commands.
    pub(in crate::bus) async fn listen(self: &Arc<Self>) -> Result<(Place, i64)> {
        self.follow_commands().await?;
        let place = self.commands.instances.place();
        self.seen.tell_that_it_listens(&self.replica_id).await?;
        // This replica may not have read so far: what lies before may have been given to the same client elsewhere.
        let bounds = self.log.bounds(&[self.commands_partition()]).await?;
        Ok((place, bounds[0].end))
    }
}

impl Listener {
    /// From now on the stream gets commands.
    pub(in crate::bus) fn begin(bus: &Arc<Inner>, instance: Instance, place: Place) -> (Self, Leaving) {
        let (bus, instance) = (Arc::clone(bus), Arc::new(instance));
        bus.commands.instances.add(&instance);
        let listener = Self { bus, instance };
        let leaving = Leaving {
            listener: listener.clone(),
            _place: place,
        };
        (listener, leaving)
    }

    /// Takes the stream's answer to a command; tells it if that is of no use. Waits while too many bytes are on their way to the log.
    pub(in crate::bus) async fn reply(&self, mut reply: CommandReply) -> Result<()> {
        if reply.size() > self.bus.most_command_payload() {
            self.refuse(reply.command_id, ReplyFault::TooLarge);
            return Ok(());
        }
        cut(&mut reply.status.message, MOST_TEXT);
        let (listener, id) = (self.clone(), reply.command_id);
        let outcome = CommandOutcome::Answered {
            status: reply.status,
            payload: reply.payload,
        };
        // As it is written: JSON can take much more than what is in it.
        let record = self.bus.command_record(&answered(&id, &self.instance.name, outcome))?;
        if record.size() > self.bus.settings.max_event_bytes {
            self.refuse(id, ReplyFault::TooLarge);
            return Ok(());
        }
        let permit = self.bus.reserve(record.size()).await?;
        if let Err(fault) = self.instance.answer(&id, LogTime::now()) {
            self.refuse(id, fault);
            return Ok(());
        }
        self.bus.followers.spawn(async move {
            if let Err(error) = listener.bus.write_records(vec![record]).await {
                tracing::warn!(command = id, %error, "cannot write an answer to a command");
                listener.instance.take_back(&id);
                listener.refuse(id, ReplyFault::NotWritten);
            }
            drop(permit);
        });
        Ok(())
    }

    /// No more commands; those that it has it may answer.
    pub(in crate::bus) fn close(&self) {
        self.instance.close();
    }

    /// No more commands, no more answers: senders are told which will never come.
    pub(in crate::bus) fn leave(&self) {
        self.bus.commands.instances.remove(&self.instance);
        let unanswered = self.instance.leave(LogTime::now());
        if !unanswered.is_empty() {
            let gone = |id: &String| answered(id, &self.instance.name, CommandOutcome::Gone);
            self.bus.report(unanswered.iter().map(gone).collect());
        }
    }

    fn refuse(&self, mut command_id: String, fault: ReplyFault) {
        cut(&mut command_id, MOST_ID);
        self.instance.outbox().push(Frame::CommandFault { command_id, fault });
    }
}

fn cut(text: &mut String, most: usize) {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.shrink_to_fit();
    }
}

fn answered(id: &str, instance: &InstanceName, outcome: CommandOutcome) -> Entry {
    Entry::Answered(Answered {
        command_id: id.to_owned(),
        instance: instance.clone(),
        outcome,
    })
}
