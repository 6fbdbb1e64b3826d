//! Appends under way: a slot for each, where the outcome of each of its records is noted.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use slab::Slab;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::log::{
    AppendTimes, Outcome, Pending,
    receipt::{Answer, unanswered},
};

/// Which record of which call a delivery report is about, in the one word that librdkafka carries for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) call: u32,
    pub(super) record: u32,
}

impl Ticket {
    pub(super) fn to_word(self) -> usize {
        const { assert!(usize::BITS == 64, "a ticket needs a word of 64 bits") };
        ((self.call as usize) << 32) | self.record as usize
    }

    pub(super) fn from_word(word: usize) -> Self {
        Self {
            call: (word >> 32) as u32,
            record: word as u32,
        }
    }
}

#[derive(Default)]
pub(super) struct Calls {
    slots: Mutex<Slab<Call>>,
    times: AppendTimes,
}

struct Call {
    began: Instant,
    outcomes: Vec<Option<Outcome>>,
    /// Records whose outcome is not known.
    open: usize,
    answer: oneshot::Sender<Vec<Outcome>>,
    /// The bytes that the call takes of the queue.
    _room: OwnedSemaphorePermit,
}

impl Calls {
    pub(super) fn timed(times: AppendTimes) -> Self {
        let slots = Mutex::default();
        Self { slots, times }
    }

    pub(super) fn begin(self: &Arc<Self>, records: usize, room: OwnedSemaphorePermit) -> (u32, CallReceipt) {
        let (answer, answered) = oneshot::channel();
        let call = Call {
            began: Instant::now(),
            outcomes: vec![None; records],
            open: records,
            answer,
            _room: room,
        };
        let slot = self.lock().insert(call);
        let slot = u32::try_from(slot).expect("each call takes memory; there are never four billion");
        let receipt = CallReceipt {
            calls: Arc::clone(self),
            slot,
            answer: Answer::to(records, answered),
        };
        (slot, receipt)
    }

    /// Notes the outcome of a record; each is noted once.
    pub(super) fn note(&self, ticket: Ticket, outcome: Outcome) {
        let slot = ticket.call as usize;
        let mut calls = self.lock();
        let Some(call) = calls.get_mut(slot) else { return };
        let Some(place) = call.outcomes.get_mut(ticket.record as usize) else {
            return;
        };
        if place.replace(outcome).is_none() {
            call.open -= 1;
        }
        if call.open == 0 {
            let call = calls.remove(slot);
            drop(calls);
            self.times.tell(call.began.elapsed());
            // Whoever asked may have left.
            let _ = call.answer.send(call.outcomes.into_iter().flatten().collect());
        }
    }

    /// Takes back a call of which nothing was sent.
    pub(super) fn cancel(&self, slot: u32) -> Option<OwnedSemaphorePermit> {
        self.lock().try_remove(slot as usize).map(|call| call._room)
    }

    /// Nothing panics while it holds this lock, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, Slab<Call>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ready when the outcome of each record is known.
pub(super) struct CallReceipt {
    calls: Arc<Calls>,
    slot: u32,
    answer: Answer,
}

impl Future for CallReceipt {
    type Output = Vec<Outcome>;

    fn poll(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answer).poll(ctx)
    }
}

impl Pending for CallReceipt {
    fn so_far(&mut self) -> Vec<Outcome> {
        // A call that ends is answered under this lock: either the answer is here, or the slot is still ours.
        let calls = self.calls.lock();
        if let Some(outcomes) = self.answer.try_take() {
            return outcomes;
        }
        let known = calls.get(self.slot as usize).map_or(&[][..], |call| &call.outcomes);
        let or_unanswered = |outcome: &Option<Outcome>| outcome.clone().unwrap_or_else(|| Err(unanswered()));
        known.iter().map(or_unanswered).collect()
    }
}
