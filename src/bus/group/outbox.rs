//! The outbox of one stream: frames wait here until the client reads; what it does not read can be taken back.

mod commands;

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use futures_util::Stream;
use tokio::sync::{Notify, mpsc};

pub(in crate::bus) use self::commands::{CommandBox, Offer};
use super::{Delivery, Ending, Frame, Signal, StreamKey};
use crate::{
    bus::{commands::Leaving, observe::Tally},
    error::{Error, Result},
};

/// Deliveries beyond this many bytes or events wait in the group, where any stream can get them.
const ROOM_BYTES: usize = 256 * 1024;
const ROOM_EVENTS: usize = 4_096;
/// Answers beyond this many stop the reading of the client's frames.
const MAX_ANSWERS: usize = 256;

pub(super) struct Outbox {
    state: Mutex<State>,
    read: Notify,
    signals: mpsc::UnboundedSender<Signal>,
    tally: Arc<Tally>,
}

struct State {
    frames: VecDeque<Frame>,
    bytes: usize,
    events: usize,
    commands: commands::Unread,
    /// Answers that are to come.
    promised: usize,
    ending: Option<Ending>,
    ended: bool,
    reader: Option<Waker>,
    /// The group waits for room.
    wanted: Option<StreamKey>,
    /// Since when deliveries lie here unread.
    unread_since: Option<Instant>,
}

impl Outbox {
    pub(super) fn new(signals: mpsc::UnboundedSender<Signal>, tally: Arc<Tally>) -> Arc<Self> {
        let state = State {
            frames: VecDeque::new(),
            bytes: 0,
            events: 0,
            commands: commands::Unread::default(),
            promised: 0,
            ending: None,
            ended: false,
            reader: None,
            wanted: None,
            unread_since: None,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            read: Notify::new(),
            signals,
            tally,
        })
    }

    /// Adds deliveries; answers whether there is room for more. If not, `Signal::Room` comes when there is.
    pub(super) fn deliver(&self, key: StreamKey, deliveries: Vec<Delivery>, now: Instant) -> bool {
        let mut state = self.lock();
        state.events += deliveries.len();
        state.bytes += bytes(&deliveries);
        state.unread_since.get_or_insert(now);
        match state.frames.back_mut() {
            Some(Frame::Deliveries(waiting)) => waiting.extend(deliveries),
            _ => state.frames.push_back(Frame::Deliveries(deliveries)),
        }
        let room = state.has_room();
        state.wanted = (!room).then_some(key);
        state.wake();
        room
    }

    pub(super) fn push(&self, frame: Frame) {
        let mut state = self.lock();
        if matches!(&frame, Frame::AckResult(report) if report.sequence != 0) {
            state.promised = state.promised.saturating_sub(1);
        }
        if state.ending.is_none() && !state.ended {
            state.frames.push_back(frame);
            state.wake();
        }
    }

    /// Nothing follows. What waits is read first.
    pub(super) fn finish(&self, ending: Ending) {
        let mut state = self.lock();
        if state.ending.is_none() && !state.ended {
            state.ending = Some(ending);
            state.wake();
        }
        drop(state);
        self.read.notify_waiters();
    }

    /// Since when deliveries lie here unread.
    pub(super) fn unread_since(&self) -> Option<Instant> {
        self.lock().unread_since
    }

    /// Takes the deliveries back that nobody has read. `Signal::Room` comes when the client reads again.
    pub(super) fn recall(&self, key: StreamKey) -> Vec<Delivery> {
        let mut state = self.lock();
        let mut recalled = Vec::new();
        state.frames.retain_mut(|frame| match frame {
            Frame::Deliveries(deliveries) => {
                recalled.append(deliveries);
                false
            }
            _ => true,
        });
        state.took(&recalled);
        if !recalled.is_empty() {
            state.wanted = Some(key);
        }
        recalled
    }

    /// Nothing waits here.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().frames.is_empty()
    }

    /// An answer will come: it counts as if it lay here.
    pub(super) fn promise(&self) {
        self.lock().promised += 1;
    }

    /// Waits while too many answers are promised or lie unread.
    pub(super) async fn until_read(&self) {
        loop {
            let read = self.read.notified();
            if self.lock().takes_answers() {
                return;
            }
            read.await;
        }
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.bytes < ROOM_BYTES && self.events < ROOM_EVENTS
    }

    fn takes_answers(&self) -> bool {
        self.frames.len() + self.promised < MAX_ANSWERS || self.ended || self.ending.is_some()
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn took(&mut self, deliveries: &[Delivery]) {
        self.events -= deliveries.len();
        self.bytes -= bytes(deliveries);
        if self.events == 0 {
            self.unread_since = None;
        }
    }
}

impl State {
    /// Nothing waits: the end, if it has come.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame>>> {
        match self.ending.take() {
            Some(ending) => {
                self.ended = true;
                Poll::Ready(ending.err().map(Err))
            }
            None if self.ended => Poll::Ready(None),
            None => {
                self.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn bytes(deliveries: &[Delivery]) -> usize {
    deliveries.iter().map(|delivery| delivery.item().size as usize).sum()
}

/// The frames of one stream. It ends with `None` if all went well, or with an error.
pub struct Frames {
    key: StreamKey,
    outbox: Arc<Outbox>,
    /// While it takes commands.
    pub(super) listening: Option<Leaving>,
}

impl Frames {
    pub(super) fn new(key: StreamKey, outbox: Arc<Outbox>) -> Self {
        Self {
            key,
            outbox,
            listening: None,
        }
    }

    /// This delivery fits into no message to the client.
    pub fn too_large(&self, delivery: u64, error: Error) {
        let _ = self.outbox.signals.send(Signal::TooLarge(self.key, delivery, error));
    }
}

impl Stream for Frames {
    type Item = Result<Frame>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.outbox.lock();
        let frame = state.next_frame();
        if let Some(Frame::Deliveries(deliveries)) = &frame {
            state.took(deliveries);
        }
        if state.has_room()
            && let Some(key) = state.wanted.take()
        {
            let _ = self.outbox.signals.send(Signal::Room(key));
        }
        let Some(frame) = frame else {
            return state.poll_end(context);
        };
        drop(state);
        if let Frame::Deliveries(deliveries) = &frame {
            self.outbox.tally.sent(deliveries);
        }
        self.outbox.read.notify_waiters();
        Poll::Ready(Some(Ok(frame)))
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.outbox.lock().ended = true;
        self.outbox.read.notify_waiters();
        let _ = self.outbox.signals.send(Signal::Gone(self.key));
    }
}
