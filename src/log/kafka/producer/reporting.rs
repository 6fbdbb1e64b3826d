//! The thread that hears what became of a producer's records, until its owner is dropped.
//!
//! The binding's own (`ThreadedProducer`) asks librdkafka anew each 100 ms, and spins through the last millisecond of each:
//! 1 % of a processor while nothing happens.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rdkafka::producer::{BaseProducer, ProducerContext};

use crate::error::{Error, Reason, Result};

/// How long one question waits; what comes meanwhile is told at once.
const QUESTION: Duration = Duration::from_secs(1);

/// A producer whose reports are told to its context as they come.
pub(super) struct Reporting<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    is_over: Arc<AtomicBool>,
}

impl<C: ProducerContext + 'static> Reporting<C> {
    pub(super) fn start(producer: BaseProducer<C>) -> Result<Self> {
        let (producer, is_over) = (Arc::new(producer), Arc::<AtomicBool>::default());
        let (of, over) = (Arc::clone(&producer), Arc::clone(&is_over));
        // Nobody waits for its end, which comes within a question's time: it holds the producer and nothing else.
        let listen = move || {
            while !over.load(Ordering::Relaxed) {
                of.poll(QUESTION);
            }
        };
        let started = thread::Builder::new().name("reports".to_owned()).spawn(listen);
        started.map_err(|error| Error::new(Reason::Internal, format!("start a producer's thread: {error}")))?;
        Ok(Self { producer, is_over })
    }
}

impl<C: ProducerContext + 'static> Deref for Reporting<C> {
    type Target = BaseProducer<C>;

    fn deref(&self) -> &Self::Target {
        &self.producer
    }
}

impl<C: ProducerContext + 'static> Drop for Reporting<C> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
