//! Commands among a stream's frames: few at a time, and none that is void when the client reads.

use std::sync::Arc;

use super::{Outbox, State};
use crate::{
    bus::{commands::SentCommand, group::Frame},
    log::LogTime,
};

/// A client that does not read gets no more commands than these.
const MOST: usize = 16;
const MOST_BYTES: usize = 1024 * 1024;

/// Where the commands for a stream go.
pub(in crate::bus) struct CommandBox(pub(in crate::bus::group) Arc<Outbox>);

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bus) enum Offer {
    Taken,
    /// The client does not read.
    Full,
    /// Nothing reaches the client any more.
    Ended,
}

/// Commands that lie in an outbox.
#[derive(Default)]
pub(super) struct Unread {
    count: usize,
    bytes: usize,
}

impl CommandBox {
    pub(in crate::bus) fn offer(&self, command: &Arc<SentCommand>) -> Offer {
        let mut state = self.0.lock();
        if state.ended || state.ending.is_some() {
            return Offer::Ended;
        }
        state.drop_void();
        let (count, bytes) = (state.commands.count + 1, state.commands.bytes + command.size());
        if count > MOST || (bytes > MOST_BYTES && count > 1) {
            return Offer::Full;
        }
        state.commands = Unread { count, bytes };
        state.frames.push_back(Frame::Command(Arc::clone(command)));
        state.wake();
        Offer::Taken
    }

    pub(in crate::bus) fn push(&self, frame: Frame) {
        self.0.push(frame);
    }
}

impl State {
    /// The next frame that is of use to the client.
    pub(super) fn next_frame(&mut self) -> Option<Frame> {
        loop {
            match self.frames.pop_front() {
                Some(Frame::Command(command)) => {
                    self.commands.took(&command);
                    if !command.is_void(LogTime::now()) {
                        return Some(Frame::Command(command));
                    }
                }
                frame => return frame,
            }
        }
    }

    fn drop_void(&mut self) {
        let (now, commands) = (LogTime::now(), &mut self.commands);
        self.frames.retain(|frame| match frame {
            Frame::Command(command) if command.is_void(now) => {
                commands.took(command);
                false
            }
            _ => true,
        });
    }
}

impl Unread {
    fn took(&mut self, command: &SentCommand) {
        self.count -= 1;
        self.bytes -= command.size();
    }
}
