//! Receipts: what became of records that were handed over.

mod times;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::sync::oneshot;

pub use self::times::AppendTimes;
use super::{Outcome, Unwritten};
use crate::error::{Error, Reason};

/// Ready when the outcome of each record is known, in the order of the records. Never fails as a whole.
pub type Receipt = Box<dyn Pending>;

/// The outcomes of records, once all are known. Only polled until it is ready.
pub trait Pending: Future<Output = Vec<Outcome>> + Send + Unpin {
    /// What is known now of each record, for those who wait no longer; what is not is `may_be_written`.
    fn so_far(&mut self) -> Vec<Outcome>;
}

/// A receipt that whoever writes the records answers at once for all. If nobody does, they may be written.
pub(crate) struct Answer {
    answered: oneshot::Receiver<Vec<Outcome>>,
    records: usize,
}

impl Answer {
    pub(crate) fn to(records: usize, answered: oneshot::Receiver<Vec<Outcome>>) -> Self {
        Self { answered, records }
    }

    /// Nothing was handed over, and it is written.
    pub(crate) fn nothing() -> Self {
        let (answer, answered) = oneshot::channel();
        // The receiver is right here.
        let _ = answer.send(Vec::new());
        Self::to(0, answered)
    }

    /// The outcomes if they are there.
    pub(crate) fn try_take(&mut self) -> Option<Vec<Outcome>> {
        self.answered.try_recv().ok()
    }
}

impl Future for Answer {
    type Output = Vec<Outcome>;

    fn poll(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Self::Output> {
        let records = self.records;
        let answered = Pin::new(&mut self.answered).poll(ctx);
        answered.map(|outcomes| outcomes.unwrap_or_else(|_| vec![Err(abandoned()); records]))
    }
}

impl Pending for Answer {
    fn so_far(&mut self) -> Vec<Outcome> {
        self.try_take().unwrap_or_else(|| vec![Err(unanswered()); self.records])
    }
}

/// Not known yet, and nobody waits any longer.
pub(crate) fn unanswered() -> Unwritten {
    Unwritten {
        may_be_written: true,
        error: Arc::new(Error::new(
            Reason::DeadlineExceeded,
            "the deadline passed before the log answered",
        )),
    }
}

fn abandoned() -> Unwritten {
    Unwritten {
        may_be_written: true,
        error: Arc::new(Error::new(
            Reason::LogUnavailable,
            "the log was closed before it answered",
        )),
    }
}
