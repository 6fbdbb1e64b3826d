//! One stream that takes commands: which it has, and which of them it has answered.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use super::words::{InstanceName, NotDelivered, ReplyFault, SentCommand};
use crate::{
    bus::group::{CommandBox, Offer},
    log::LogTime,
    name::Group,
};

/// Commands that one stream may have and not have answered.
const MOST_UNANSWERED: usize = 64;
/// Commands that are remembered, so that a late or second reply is told from a foreign one.
const MOST_REMEMBERED: usize = 256;

pub(in crate::bus) struct Instance {
    pub(super) group: Group,
    pub(super) name: InstanceName,
    outbox: CommandBox,
    /// The largest command that it takes.
    most_bytes: usize,
    /// What lies before was sent before it opened.
    from: AtomicI64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// It takes no more.
    is_closed: bool,
    given: VecDeque<Given>,
}

struct Given {
    id: String,
    expires: LogTime,
    answered: bool,
}

impl Instance {
    pub(in crate::bus) fn new(
        group: Group,
        name: InstanceName,
        (outbox, most_bytes): (CommandBox, usize),
        from: i64,
    ) -> Self {
        Self {
            group,
            name,
            outbox,
            most_bytes,
            from: AtomicI64::new(from),
            state: Mutex::default(),
        }
    }

    /// Whether a command that lies there was sent when it was open.
    pub(super) fn is_open_at(&self, offset: i64) -> bool {
        self.from.load(Ordering::Relaxed) <= offset
    }

    /// The topic was made anew.
    pub(super) fn begin_anew(&self) {
        self.from.store(0, Ordering::Relaxed);
    }

    /// Puts a command into the stream's outbox, unless it cannot take it.
    pub(super) fn give(&self, command: &Arc<SentCommand>, now: LogTime) -> Result<(), NotDelivered> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(NotDelivered::Ending);
        }
        if command.size() > self.most_bytes {
            return Err(NotDelivered::TooLarge);
        }
        if state.unanswered(now).count() >= MOST_UNANSWERED {
            return Err(NotDelivered::Busy);
        }
        match self.outbox.offer(command) {
            Offer::Full => return Err(NotDelivered::Busy),
            Offer::Ended => return Err(NotDelivered::Ending),
            Offer::Taken => {}
        }
        if state.given.len() >= MOST_REMEMBERED {
            state.forget_one(now);
        }
        state.given.push_back(Given {
            id: command.id.clone(),
            expires: command.expires,
            answered: false,
        });
        Ok(())
    }

    /// The stream answers a command: once, in time.
    pub(super) fn answer(&self, id: &str, now: LogTime) -> Result<(), ReplyFault> {
        let mut state = self.lock();
        let given = state.given.iter_mut().find(|given| given.id == id);
        let given = given.ok_or(ReplyFault::Unknown)?;
        if given.answered {
            return Err(ReplyFault::Repeated);
        }
        if now >= given.expires {
            return Err(ReplyFault::Late);
        }
        given.answered = true;
        Ok(())
    }

    /// Its answer was not written: it may answer again.
    pub(super) fn take_back(&self, id: &str) {
        if let Some(given) = self.lock().given.iter_mut().find(|given| given.id == id) {
            given.answered = false;
        }
    }

    /// It takes no more; what it has it may answer.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
    }

    /// It takes no more and answers no more. The commands that it has not answered, once.
    pub(super) fn leave(&self, now: LogTime) -> Vec<String> {
        let mut state = self.lock();
        state.is_closed = true;
        let unanswered = state.unanswered(now).map(|given| given.id.clone()).collect();
        state.given.clear();
        unanswered
    }

    pub(super) fn outbox(&self) -> &CommandBox {
        &self.outbox
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn unanswered(&self, now: LogTime) -> impl Iterator<Item = &Given> {
        self.given
            .iter()
            .filter(move |given| !given.answered && now < given.expires)
    }

    /// The oldest that is over. There is one, as fewer may be unanswered than are remembered.
    fn forget_one(&mut self, now: LogTime) {
        let is_over = |given: &Given| given.answered || now >= given.expires;
        if let Some(index) = self.given.iter().position(is_over) {
            self.given.remove(index);
        }
    }
}
