//! The client's side of a stream: credit, acks, replies to commands, the end.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{Command, CommandBox, Refusal, StreamKey, outbox::Outbox};
use crate::{
    bus::{
        commands::{CommandReply, Listener},
        delivery::{Credit, IdRange},
    },
    error::{Error, Reason, Result},
};

/// The client's side of a stream. Calls wait while the group is busy; after the stream's end they do nothing.
pub struct Control {
    pub(super) key: StreamKey,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) max_lease: Duration,
    /// `None` = it takes no commands.
    pub(super) listener: Option<Listener>,
}

impl Control {
    /// Where commands for the stream go.
    pub(in crate::bus) fn command_box(&self) -> CommandBox {
        CommandBox(Arc::clone(&self.outbox))
    }

    /// The longest that the stream may ask to have an event for.
    pub fn max_lease(&self) -> Duration {
        self.max_lease
    }

    /// Waits while the client does not read its answers: they hold its frames up, not the server's memory.
    pub async fn until_read(&self) {
        self.outbox.until_read().await;
    }

    pub async fn credit(&self, credit: Credit) {
        self.send(Command::Credit(self.key, credit)).await;
    }

    /// These are done. With a sequence that is not 0, an `AckReport` comes once that is committed.
    pub async fn ack(&self, ranges: Vec<IdRange>, sequence: u64) {
        self.promise(sequence);
        self.send(Command::Ack(self.key, ranges, sequence)).await;
    }

    /// These failed.
    pub async fn nack(&self, ranges: Vec<IdRange>, refusal: Refusal, sequence: u64) {
        self.promise(sequence);
        self.send(Command::Nack(self.key, ranges, refusal, sequence)).await;
    }

    /// The client needs longer for these: from now on so long.
    pub async fn extend(&self, ranges: Vec<IdRange>, by: Duration, sequence: u64) {
        self.promise(sequence);
        self.send(Command::Extend(self.key, ranges, by, sequence)).await;
    }

    /// No more deliveries; acks still count.
    pub async fn close(&self) {
        if let Some(listener) = &self.listener {
            listener.close();
        }
        self.send(Command::Close(self.key)).await;
    }

    /// The client has said everything: what it has goes to others, what it acked is committed, then the frames end.
    pub async fn half_close(&self) {
        if let Some(listener) = &self.listener {
            listener.leave();
        }
        self.send(Command::HalfClose(self.key)).await;
    }

    /// The answer to a command; one that is of no use is told as a frame.
    pub async fn reply(&self, reply: CommandReply) -> Result<()> {
        match &self.listener {
            Some(listener) => listener.reply(reply).await,
            None => {
                let rule = "comes only on a stream that was opened with `commands`";
                Err(Error::fault(Reason::FrameUnexpected, "command_reply", rule))
            }
        }
    }

    /// Ends the stream with an error.
    pub async fn fail(&self, error: Error) {
        self.send(Command::Fail(self.key, error)).await;
    }

    fn promise(&self, sequence: u64) {
        if sequence != 0 {
            self.outbox.promise();
        }
    }

    async fn send(&self, command: Command) {
        // The task ends only after it has ended this stream.
        let _ = self.commands.send(command).await;
    }
}
